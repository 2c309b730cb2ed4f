package realkafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func needKafka(t *testing.T) {
	t.Helper()
	if err := Available(); err != nil {
		t.Fatal(err)
	}
}

// run starts a broker and stops it with the test.
func run(t *testing.T, o Options) *Broker {
	t.Helper()
	needKafka(t)
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if _, err := installed(t.Context(), version(o)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Kafka %s is up after %v", b.Version(), time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func version(o Options) string {
	if o.Version == "" {
		return Version4
	}
	return o.Version
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// Kafka 4 is here for transaction.version 2 and Kafka 3 for the protocol before it; a version that silently
// finalized another level would test one of them twice.
func TestEachVersionCommitsTransactionsAndComesBackAfterKill(t *testing.T) {
	for version, level := range map[string]int16{Version4: 2, Version3: 0} {
		t.Run(version, func(t *testing.T) {
			b := run(t, Options{Version: version})
			if got := transactionVersion(t, b); got != level {
				t.Errorf("transaction.version is finalized at %d, want %d", got, level)
			}
			commitOne(t, b)
			addr := b.Addr()
			if err := b.Kill(); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := b.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("Kafka %s is up again after kill -9 in %v", version, time.Since(begin).Round(time.Millisecond))
			if b.Addr() != addr {
				t.Errorf("address changed from %s to %s", addr, b.Addr())
			}
			reader := client(t, b, kgo.ConsumeTopics("events"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			records := reader.PollFetches(ctx).Records()
			if len(records) != 1 || string(records[0].Value) != "before" {
				t.Errorf("read %d records after the restart, want the one written before", len(records))
			}
		})
	}
}

func transactionVersion(t *testing.T, b *Broker) (level int16) {
	t.Helper()
	brokers, err := kadm.NewClient(client(t, b)).ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	brokers.Each(func(v kadm.BrokerApiVersions) {
		for _, f := range v.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				level = f.MaxVersionLevel
			}
		}
	})
	return level
}

// commitOne commits one record to the topic events in a transaction, and an offset outside of it: the two
// internal topics can be created on one node.
func commitOne(t *testing.T, b *Broker) {
	t.Helper()
	cl := client(t, b, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("events"))
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "events"); err != nil {
		t.Fatal(err)
	}
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("before")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("events", 0, 1, -1)
	if err := admin.CommitAllOffsets(t.Context(), "group", offsets); err != nil {
		t.Fatal(err)
	}
}

func TestPropertiesOfTheCallerBeatTheDefaultsAndStopRemovesOnlyItsOwnFolder(t *testing.T) {
	needKafka(t)
	b, err := Start(t.Context(), Options{Properties: map[string]string{"transaction.max.timeout.ms": "12345"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(b.LogFile())
	configs, err := kadm.NewClient(client(t, b)).DescribeBrokerConfigs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, c := range configs[0].Configs {
		seen = seen || c.Key == "transaction.max.timeout.ms" && c.MaybeValue() == "12345"
	}
	if !seen {
		t.Error("the broker does not know transaction.max.timeout.ms=12345")
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary folder %s is still there: %v", dir, err)
	}
}

func TestBrokerThatCannotStartSaysWhy(t *testing.T) {
	needKafka(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = Start(t.Context(), Options{Dir: t.TempDir(), Port: taken.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Start on a port in use: %v", err)
	}
}

// The test runs itself as the parent, kills it with -9 and looks for the broker.
func TestBrokerDiesWithItsParent(t *testing.T) {
	if file := os.Getenv("REALKAFKA_PARENT"); file != "" {
		b, err := Start(t.Context(), Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(b.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Println("up")
		<-b.Done()
		return
	}
	needKafka(t)
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(os.Args[0], "-test.run=^TestBrokerDiesWithItsParent$")
	parent.Env = append(os.Environ(), "REALKAFKA_PARENT="+file, "TMPDIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	// Both held the pipe's other end or not, the process table decides: signal 0 asks whether a process is there.
	deadline := time.After(10 * time.Second)
	for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		select {
		case <-deadline:
			t.Fatalf("process %d still runs after its parent was killed", pid)
		case <-time.After(10 * time.Millisecond):
		}
	}
	// That the test's own child is a zombie until Wait does not matter: the broker is init's child by now.
	if err := parent.Wait(); err == nil {
		t.Error("the parent ended well after kill -9")
	}
}
