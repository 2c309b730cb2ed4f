package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/rescale"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// command is a rescale of the application by the command line.
func (f *flock) command(code int, args ...string) (out, err string) {
	f.t.Helper()
	text := strings.Replace(rescaledModule, ", partitions: %d", "", 1)
	return run(f.t, code, append([]string{"rescale", "--module", writeModule(f.t, text, f.addr)}, args...))
}

func TestRescaleWantsToKnowWhatToDo(t *testing.T) {
	for _, args := range [][]string{
		{"rescale", "--module", "x.yaml"}, {"rescale", "--partitions", "-1"}, {"rescale", "--abort", "--partitions", "3"},
		{"rescale", "--abort", "--delete-old"}, {"rescale", "--partitions", "3", "--output", "xml"},
	} {
		run(t, exitUsage, args)
	}
}

func TestARunningApplicationIsNotRescaled(t *testing.T) {
	f := newFlock(t)
	_, said := f.command(exitFailure, "--partitions", "3")
	has(t, said, "there is no application app on this cluster")
	stop := f.start(4)
	_, said = f.command(exitFailure, "--partitions", "3")
	has(t, said, "application app runs", "w1")
	out, _ := f.command(exitFailure, "--partitions", "3", "--dry-run")
	has(t, out, "dry run, 4 partitions to 3", "in the way: a worker runs")
	stop()
	out, _ = f.command(exitOK, "--partitions", "3", "--dry-run", "--output", "json")
	var report rescale.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.State != rescale.StateDryRun || len(report.From) != 4 || len(report.To) != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	out, said = f.command(exitOK, "--partitions", "3")
	has(t, out, "complete, 4 partitions to 3", "KIND", "state", "NEW PARTITION", "rescale --delete-old")
	has(t, said, "verify app-changelog-g2")
	out, _ = f.command(exitOK, "--partitions", "3")
	has(t, out, "nothing to do")
	out, _ = f.command(exitOK, "--verify-only")
	has(t, out, "verified")
	f.start(3)()
	_, said = f.command(exitFailure, "--verify-only")
	has(t, said, "the application has run since")
	out, _ = f.command(exitOK, "--delete-old")
	has(t, out, "deleted app-changelog", "deleted app-mailbox")
	out, _ = f.command(exitOK, "--delete-old")
	has(t, out, "nothing to do")
}

func TestAnotherCountInTheModuleNamesTheRescale(t *testing.T) {
	f := newFlock(t)
	f.start(4)()
	_, said := run(t, exitFailure, []string{"topics", "--module", writeModule(t, fmt.Sprintf(rescaledModule, 6), f.addr)})
	has(t, said, "partitions is 4, want 6", "statefun-kafka rescale --partitions 6")
}

func TestAnIncompleteRescaleIsAborted(t *testing.T) {
	f := newFlock(t)
	stop := f.start(4)
	f.send("id-1", "note")
	f.await(func(string) bool { return true })
	stop()
	c := f.config(3)
	crash := errors.New("crash")
	c.At = func(point string) error {
		if point == "switch" {
			return crash
		}
		return nil
	}
	if _, err := rescale.Run(context.Background(), c); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	_, said := f.command(exitFailure, "--delete-old")
	has(t, said, "is incomplete, its old topics are still needed")
	if err := f.startError(4); err == nil || !strings.Contains(err.Error(), "statefun-kafka rescale --partitions N, which goes on with it, or statefun-kafka rescale --abort") {
		t.Fatal(err)
	}
	out, _ := f.command(exitOK, "--abort")
	has(t, out, "aborted")
	stop = f.start(4)
	f.send("id-1", "note")
	f.await(func(string) bool { return true })
	stop()
	f.check()
	c.At = func(point string) error {
		if point == "done" {
			return crash
		}
		return nil
	}
	if _, err := rescale.Run(context.Background(), c); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	_, said = f.command(exitFailure, "--abort")
	has(t, said, "has gone over to its 3 partitions", "rescale --partitions 3 again")
	f.command(exitOK, "--partitions", "3")
}

// startError runs a worker that is expected to refuse.
func (f *flock) startError(n int) error {
	f.t.Helper()
	w, err := worker.New(worker.Config{Module: f.inProcess(n), Brokers: []string{f.addr}, StateDir: f.t.TempDir(), WorkerID: "w2", Logger: slog.New(slog.DiscardHandler),
		Functions: func(ctx context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			return f.invoke(ctx, request)
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return w.Run(ctx)
}

// TestAWorkerThatWasStartedBeforeTheRescaleRefuses stops a worker, as SIGSTOP does, between its look at the topics and its
// joining the group, until the rescale is over.
func TestAWorkerThatWasStartedBeforeTheRescaleRefuses(t *testing.T) {
	f := newFlock(t)
	f.start(4)()
	held, release := make(chan struct{}), make(chan struct{})
	w, err := worker.New(worker.Config{Module: f.inProcess(4), Brokers: []string{f.addr}, StateDir: t.TempDir(), WorkerID: "w2",
		Logger: slog.New(holdAt{slog.DiscardHandler, "worker starts", held, release}),
		Functions: func(ctx context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			return f.invoke(ctx, request)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	<-held
	if _, err := rescale.Run(ctx, f.config(3)); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the application was rescaled since this worker started") {
		t.Fatal(err)
	}
	stop := f.start(3)
	f.send("id-1", "note")
	f.await(func(string) bool { return true })
	stop()
	f.check()
}

// holdAt is a log handler that stops whoever logs a message.
type holdAt struct {
	slog.Handler
	message       string
	held, release chan struct{}
}

func (h holdAt) Enabled(context.Context, slog.Level) bool { return true }

func (h holdAt) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		close(h.held)
		<-h.release
	}
	return nil
}

func TestAnOpenTransactionIsNotSwept(t *testing.T) {
	f := newFlock(t)
	f.start(4)()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.TransactionalID("app-w9-0"), kgo.TransactionTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "app-changelog", Partition: 1, Key: []byte("b"), Value: []byte{1}}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, said := f.command(exitFailure, "--partitions", "3")
	has(t, said, "transactions of app-w9-0 are open", "--fence")
	f.command(exitOK, "--partitions", "3", "--fence")
	if err := client.EndTransaction(context.Background(), kgo.TryCommit); err == nil {
		t.Error("the transaction of a worker that was fenced could end")
	}
}

func TestAnOffsetThatSomebodyChangedIsNotOverwritten(t *testing.T) {
	f := newFlock(t)
	stop := f.start(4)
	f.send("id-1", "note")
	f.await(func(string) bool { return true })
	stop()
	if err := kadm.NewClient(f.client).CommitAllOffsets(context.Background(), "app", kadm.Offsets{"in": {0: {Topic: "in", Partition: 0, At: 42}}}); err != nil {
		t.Fatal(err)
	}
	_, said := f.command(exitFailure, "--partitions", "3")
	has(t, said, "group app is at offset 42, the application at", "--accept-offset-reset")
	f.command(exitOK, "--abort")
}
