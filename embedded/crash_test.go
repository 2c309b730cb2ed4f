package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// children are the programs that tests kill: this test binary runs one of them when EMBEDDED_CHILD names it.
var children = map[string]func(o embedded.Options) error{
	"counter": runCounter,
	"append":  runAppend,
	"dev":     runDev,
}

func TestMain(m *testing.M) {
	child := children[os.Getenv("EMBEDDED_CHILD")]
	if child == nil {
		os.Exit(m.Run())
	}
	o := embedded.Options{Brokers: []string{os.Getenv("EMBEDDED_BROKER")}, StateDir: os.Getenv("EMBEDDED_STATE"), WorkerID: "w1", Partitions: 2, Logger: testLog()}
	if err := child(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runCounter is an application with a kill waiting for it.
func runCounter(o embedded.Options) error {
	return greeterApp("greeter", o).Run(context.Background())
}

// runDev is an application on a broker of its own, with a kill waiting for it.
func runDev(embedded.Options) error {
	app, _ := counterApp(embedded.Options{DevBroker: true, Logger: testLog()})
	ended := make(chan error, 1)
	go func() { ended <- app.Run(context.Background()) }()
	if _, err := app.View(context.Background(), greeterType.At("Ada")); err != nil {
		return err
	}
	fmt.Println("ready")
	return <-ended
}

// runAppend appends a record, says so, and never processes it.
func runAppend(o embedded.Options) error {
	app := embedded.New("counter", o)
	names := embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType))
	app.Ingress(names)
	app.Function(statefun.Function{Type: greeterType, States: []statefun.State{visits}, Invoke: func(ctx *statefun.Context, _ statefun.Message) error {
		fmt.Println("called")
		select {}
	}})
	app.Egress("example/greets")
	go func() {
		if err := names.Append(context.Background(), "Ada", []byte("hello")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Println("appended")
	}()
	return app.Run(context.Background())
}

// spawn starts a child; it is killed by kill, or when the test ends. Says gives the lines that it prints.
func spawn(t *testing.T, name, broker, state string) (says <-chan string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EMBEDDED_CHILD="+name, "EMBEDDED_BROKER="+broker, "EMBEDDED_STATE="+state)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, kill
}

// TestARecordThatWasAppendedOutlivesTheProcess kills the process between the end of Append and the effects of the record.
func TestARecordThatWasAppendedOutlivesTheProcess(t *testing.T) {
	broker, state := startBroker(t, "greetings"), t.TempDir()
	says, kill := spawn(t, "append", broker, state)
	heard, limit := map[string]bool{}, within(t)
	for !heard["appended"] || !heard["called"] {
		select {
		case line, open := <-says:
			if !open {
				t.Fatal("the child has ended")
			}
			heard[line] = true
		case <-limit.Done():
			t.Fatalf("the child has only said %v", heard)
		}
	}
	kill()

	o := quiet(t, broker)
	o.StateDir, o.Partitions = state, 2
	app, _ := counterApp(o)
	stop := start(t, app)
	out := readerOf(t, o.Brokers, "greetings")
	if got := texts(out.next(1)); !slices.Equal(got, []string{"Ada=1"}) {
		t.Errorf("greetings %v", got)
	}
	stop()

	again, names := counterApp(o)
	start(t, again)
	if err := names.Append(within(t), "Ada", nil); err != nil {
		t.Fatal(err)
	}
	if got := texts(out.next(1)); !slices.Equal(got, []string{"Ada=2"}) {
		t.Errorf("the first record had its effects again: %v", got)
	}
}

// TestAProgramThatIsKilledCountsEachRecordOnce kills it four times amid its work. One that the session of its group
// outlives comes back under its name at once.
func TestAProgramThatIsKilledCountsEachRecordOnce(t *testing.T) {
	const rounds, each, keys = 4, 2000, 10
	broker, state := startBroker(t, "names", "greetings"), t.TempDir()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	out := readerOf(t, []string{broker}, "greetings")
	var got []string
	for range rounds {
		_, kill := spawn(t, "counter", broker, state)
		for n := range each {
			client.Produce(within(t), &kgo.Record{Topic: "names", Key: fmt.Appendf(nil, "key-%d", n%keys), Value: []byte("x")}, nil)
		}
		for before := len(got); len(got) < before+each/2; {
			fetches := out.client.PollRecords(within(t), 50)
			got = append(got, texts(fetches.Records())...)
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
		}
		kill()
	}
	spawn(t, "counter", broker, state)
	for len(got) < rounds*each {
		fetches := out.client.PollFetches(within(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d came: %v", len(got), rounds*each, err)
		}
		got = append(got, texts(fetches.Records())...)
	}
	counts := map[string]int{}
	for _, g := range got {
		key, n, _ := strings.Cut(g, "=")
		if counts[key]++; n != fmt.Sprint(counts[key]) {
			t.Fatalf("%s is %s where %d is due", key, n, counts[key])
		}
	}
}
