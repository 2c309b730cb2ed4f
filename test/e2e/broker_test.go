package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/reader"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// The brokers that the suite runs on.
const (
	embedded = "embedded"
	kafka41  = realkafka.Version4
	kafka39  = realkafka.Version3
)

// cluster is one running broker with clients of the tests.
type cluster struct {
	kind     string
	settings map[string]string // of a real one, beside those of all tests
	folder   string            // where an embedded one keeps its log; empty: in memory
	real     *realkafka.Broker // nil for the embedded one
	own      *child
	listen   string
	client   *kgo.Client // partitions by key, like any producer
	manual   *kgo.Client // partitions as the record says
	admin    *kadm.Client
}

// onEachBroker runs a test on every broker.
func onEachBroker(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Helper()
	onEachKind(t, func(t *testing.T, kind string) { test(t, needBroker(t, kind)) })
}

// onEachKind is for a test with brokers of its own.
func onEachKind(t *testing.T, test func(t *testing.T, kind string)) {
	t.Helper()
	for _, kind := range []string{embedded, kafka41, kafka39} {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// needBroker is the shared broker of a kind, started by the first test that needs it.
func needBroker(t *testing.T, kind string) *cluster {
	t.Helper()
	program := asked(t, kind)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if c := shared.brokers[kind]; c != nil {
		return c
	}
	c := &cluster{kind: kind}
	if err := c.start(program); err != nil {
		t.Fatal(err)
	}
	shared.brokers[kind] = c
	return c
}

// ownBroker is a broker that nobody else uses, until the end of the test. Its log outlives a clean stop, that of a real one
// a kill too. Settings are for a real one.
func ownBroker(t *testing.T, kind string, settings map[string]string) *cluster {
	t.Helper()
	c := &cluster{kind: kind, settings: settings, folder: filepath.Join(t.TempDir(), "broker")}
	if err := c.start(asked(t, kind)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// asked skips a test on a broker that the run leaves out, and builds the program for it otherwise.
func asked(t *testing.T, kind string) (program string) {
	t.Helper()
	program = needProgram(t)
	if !strings.Contains(","+*brokersFlag+",", ","+kind+",") {
		t.Skipf("broker %s is not among -brokers", kind)
	}
	return program
}

// start runs the broker and opens the clients.
func (c *cluster) start(program string) (err error) {
	if c.kind == embedded {
		err = c.startEmbedded(program, "127.0.0.1:0")
	} else {
		// Restart needs the folder after Stop, so it is not left to Stop.
		folder := filepath.Join(shared.folder, fmt.Sprintf("kafka-%s-%d", c.kind, children.Add(1)))
		c.real, err = realkafka.Start(context.Background(), realkafka.Options{Version: c.kind, Dir: folder, Properties: c.settings})
	}
	if err != nil {
		return err
	}
	return c.connect()
}

// startEmbedded runs the program's own broker as a process.
func (c *cluster) startEmbedded(program, addr string) (err error) {
	args := []string{"broker", "--addr", addr}
	if c.folder != "" {
		args = append(args, "--data-dir", c.folder)
	}
	if c.own, err = launch("broker", program, args...); err != nil {
		return err
	}
	line := c.own.Await(context.Background(), 15*time.Second, `"broker":"`)
	if c.listen = process.Attribute(line, "broker"); c.listen == "" {
		return fmt.Errorf("the embedded broker does not say where it listens:\n%s", c.own.Tail(shownLines))
	}
	return nil
}

// largestRecord is more than any test sends.
const largestRecord = 5_000_000

// connect opens the clients of the tests.
func (c *cluster) connect() (err error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(c.addr()), kgo.ProducerLinger(0), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.ProducerBatchMaxBytes(largestRecord),
	}
	if c.client, err = kgo.NewClient(options...); err != nil {
		return fmt.Errorf("open a client of %s: %w", c.addr(), err)
	}
	if c.manual, err = kgo.NewClient(append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
		return fmt.Errorf("open a client of %s: %w", c.addr(), err)
	}
	c.admin = kadm.NewClient(c.client)
	return nil
}

func (c *cluster) addr() string {
	if c.real != nil {
		return c.real.Addr()
	}
	return c.listen
}

// end takes the broker away, by a signal; restart brings it back at its address.
func (c *cluster) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	var err error
	switch {
	case c.real == nil:
		c.own.signal(signal)
		c.own.exit(t, stopLimit)
	case signal == syscall.SIGKILL:
		err = c.real.Kill()
	default:
		err = c.real.End()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) restart(t *testing.T) {
	t.Helper()
	var err error
	if c.real != nil {
		err = c.real.Restart(t.Context())
	} else {
		err = c.startEmbedded(needProgram(t), c.listen)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) close() {
	c.client.Close()
	c.manual.Close()
	if c.real != nil {
		_ = c.real.Stop()
		return
	}
	c.own.Kill()
}

// createTopic makes a topic; settings are pairs of name and value.
func (c *cluster) createTopic(t *testing.T, name string, partitions int32, settings ...string) {
	t.Helper()
	configs := map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, err := c.admin.CreateTopic(ctx, partitions, 1, configs, name)
	if err == nil {
		err = resp.Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	await(t, 20*time.Second, "topic "+name+" to have leaders", func() bool { return c.usable(name, partitions) })
}

// usable says whether the broker knows the topic: Kafka answers a creation before its brokers have heard of it.
func (c *cluster) usable(name string, partitions int32) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest() // what kadm answers may be from its cache
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(ctx, c.client)
	if err != nil || len(answer.Topics) != 1 {
		return false
	}
	led := slices.DeleteFunc(answer.Topics[0].Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader < 0 })
	return int32(len(led)) == partitions
}

// alterTopic changes one setting of a topic.
func (c *cluster) alterTopic(t *testing.T, name, setting, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	responses, err := c.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: setting, Value: &value}}, name)
	if err == nil {
		_, err = responses.On(name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		t.Fatalf("set %s of topic %s: %v", setting, name, err)
	}
}

// read starts a reader that ends with the test. The topics must exist.
func (c *cluster) read(t *testing.T, topics ...string) *reader.Reader {
	t.Helper()
	return reader.Start(t, reader.Options{Brokers: c.addr(), Topics: topics})
}

// send produces records and waits until the broker has them.
func (c *cluster) send(t *testing.T, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := c.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce %d records: %v", len(records), err)
	}
}
