package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

const patience = 30 * time.Second

// within is a context that ends a test which hangs.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// startBroker is a broker that outlives the applications of a test: the development broker, or a real Kafka of the version
// that EMBEDDED_TEST_KAFKA names.
func startBroker(t *testing.T, topics ...string) string {
	t.Helper()
	if version := os.Getenv("EMBEDDED_TEST_KAFKA"); version != "" {
		return startKafka(t, version, topics)
	}
	c := broker.Config{}
	for _, name := range topics {
		c.Topics = append(c.Topics, broker.Topic{Name: name, Partitions: 2})
	}
	b, err := broker.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

func startKafka(t *testing.T, version string, topics []string) string {
	t.Helper()
	k, err := realkafka.Start(within(t), realkafka.Options{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Stop() })
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(within(t), 2, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
	return k.Addr()
}

// quiet are options of a test: its own broker and folder, and a log that is shown when EMBEDDED_TEST_LOG is set.
func quiet(t *testing.T, brokers ...string) embedded.Options {
	return embedded.Options{Brokers: brokers, DevBroker: len(brokers) == 0, StateDir: t.TempDir(), WorkerID: "w1", Logger: testLog()}
}

func testLog() *slog.Logger {
	if os.Getenv("EMBEDDED_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// start runs an application until stop is called, or the test ends.
func start(t *testing.T, app *embedded.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	})
	t.Cleanup(stop)
	if _, err := app.Brokers(within(t)); err != nil {
		stop()
		t.FailNow()
	}
	return stop
}

// brokersOf are the brokers of a running application.
func brokersOf(t *testing.T, app *embedded.App) []string {
	t.Helper()
	brokers, err := app.Brokers(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return brokers
}

// awaitReady waits until an application has all its partitions.
func awaitReady(t *testing.T, app *embedded.App) {
	t.Helper()
	await(t, "the application is ready", func() bool { return app.Ready() == nil })
}

// await looks again and again: it is for what nothing tells of.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not met: %s", what)
		}
	}
}

// produce writes records of the form key=value.
func produce(t *testing.T, brokers []string, topic string, records ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		key, value, _ := strings.Cut(r, "=")
		if err := client.ProduceSync(within(t), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// reader reads the committed records of a topic.
type reader struct {
	t      *testing.T
	client *kgo.Client
}

func readerOf(t *testing.T, brokers []string, topic string) *reader {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &reader{t, client}
}

// next waits for n records, which are all that may come.
func (r *reader) next(n int) (records []*kgo.Record) {
	r.t.Helper()
	ctx := within(r.t)
	for len(records) < n {
		fetches := r.client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("%d of %d records came: %s", len(records), n, texts(records))
		}
		records = append(records, fetches.Records()...)
	}
	if len(records) > n {
		r.t.Fatalf("%d records came and not %d: %s", len(records), n, texts(records))
	}
	return records
}

func texts(records []*kgo.Record) []string {
	var list []string
	for _, r := range records {
		list = append(list, fmt.Sprintf("%s=%s", r.Key, r.Value))
	}
	return list
}

var (
	text   = statefun.Bytes("example/text")
	visits = statefun.Value[int64]("visits")
)

const greeterType statefun.TypeName = "example/greeter"

// greeter counts how often each name comes by.
var greeter = statefun.Function{Type: greeterType, States: []statefun.State{visits}, Invoke: func(ctx *statefun.Context, _ statefun.Message) error {
	n, err := visits.Get(ctx)
	if err != nil {
		return err
	}
	visits.Set(ctx, n+1)
	ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID, Value: fmt.Append(nil, n+1)})
	return nil
}}
