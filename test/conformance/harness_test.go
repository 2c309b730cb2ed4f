package conformance

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// patience is how long anything may take that must come.
const patience = 30 * time.Second

// embedded is the program's own broker; the others are versions of Kafka.
const embedded = "embedded"

// bench is what all cases share: the built program, a broker, a host of functions and one worker.
type bench struct {
	folder  string
	program string
	end     func() // of the broker
	address string // of the broker
	client  *kgo.Client
	admin   *kadm.Client
	host    *host
	out     *reader // every egress and dead-letter topic

	once   sync.Once
	common *worker
	err    error // why there is no common worker
}

// newBench starts a broker: the embedded one or a version of Kafka.
func newBench(program, broker string) (b *bench, err error) {
	b = &bench{program: program, end: func() {}}
	if b.folder, err = os.MkdirTemp("", "statefun-conformance-"); err != nil {
		return b, fmt.Errorf("make a folder for the run: %w", err)
	}
	if err := b.startBroker(broker); err != nil {
		return b, err
	}
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.ProducerBatchMaxBytes(8<<20))
	if err != nil {
		return b, fmt.Errorf("open a client: %w", err)
	}
	b.admin = kadm.NewClient(b.client)
	if b.host, err = newHost(); err != nil {
		return b, err
	}
	b.out, err = newReader(b.address)
	return b, err
}

func (b *bench) startBroker(kind string) error {
	if kind != embedded {
		broker, err := realkafka.Start(context.Background(), realkafka.Options{Version: kind})
		if err != nil {
			return err
		}
		b.address, b.end = broker.Addr(), func() { _ = broker.Stop() }
		return nil
	}
	broker, err := launch(b.program, "broker", "--addr", "127.0.0.1:0", "--log-format", "json")
	if err != nil {
		return err
	}
	b.end = broker.kill
	b.address, err = broker.logged(`"broker":"([^"]+)"`)
	return err
}

// close ends all processes and removes what the run left behind.
func (b *bench) close() {
	if b.common != nil && b.common.process != nil {
		b.common.kill()
	}
	if b.out != nil {
		b.out.close()
	}
	if b.client != nil {
		b.client.Close()
	}
	b.end()
	_ = os.RemoveAll(b.folder)
}

func (b *bench) createTopics(names ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	created, err := b.admin.CreateTopics(ctx, partitions, 1, nil, names...)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		return fmt.Errorf("create topics %s: %w", strings.Join(names, ", "), err)
	}
	return b.usable(ctx, partitions, names...)
}

// usable waits until the topics have so many partitions, each with a leader: Kafka answers a creation before its brokers
// have heard of it.
func (b *bench) usable(ctx context.Context, n int, names ...string) error {
	for b.led(ctx, names) != n*len(names) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for leaders of the topics %s: %w", strings.Join(names, ", "), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// led is how many partitions of the topics have a leader.
func (b *bench) led(ctx context.Context, names []string) (leaders int) {
	request := kmsg.NewPtrMetadataRequest() // what kadm answers may be from its cache
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	answer, err := request.RequestWith(ctx, b.client)
	if err != nil {
		return 0 // it is asked again
	}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode == 0 && p.Leader >= 0 {
				leaders++
			}
		}
	}
	return leaders
}

// commonApp is the application of the worker that most cases share.
const commonApp = "conformance"

// startCommon starts the worker that most cases share, when the first case asks for it.
func (b *bench) startCommon(cases []Case) (*worker, error) {
	b.once.Do(func() {
		documents := []string{application(), egress("conformance/out")}
		var routes []route
		var topics []string
		for i := range cases {
			c := &cases[i]
			if c.Alone || c.Run == nil {
				continue
			}
			lines := c.Endpoint
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "transport") }) {
				lines = slices.Concat(lines, shortCall)
			}
			documents = append(documents, endpoint(c.namespace()+"/*", b.host.url(c.namespace()), lines...))
			routes = append(routes, route{c.in(), []string{c.namespace() + "/f"}})
			topics = append(topics, c.in())
		}
		if b.err = b.createTopics(topics...); b.err != nil {
			return
		}
		documents = append(documents, ingress("conformance/in", routes...))
		b.common, b.err = b.newWorker(commonApp, documents...)
		if b.err == nil {
			b.err = b.common.start()
		}
	})
	return b.common, b.err
}

// reader collects what a read_committed consumer sees on all egress and dead-letter topics, from their beginning.
type reader struct {
	client *kgo.Client
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	records map[string][]*kgo.Record // by topic
	changed chan struct{}            // closed and replaced at every record
}

func newReader(broker string) (*reader, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeRegex(), kgo.ConsumeTopics("^out-.*", ".*-dead-letter$"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("open a reader: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{client: client, cancel: cancel, ended: make(chan struct{}), records: map[string][]*kgo.Record{}, changed: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for ctx.Err() == nil {
			r.add(client.PollFetches(ctx).Records())
		}
	}()
	return r, nil
}

func (r *reader) add(records []*kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range records {
		r.records[one.Topic] = append(r.records[one.Topic], one)
	}
	if len(records) > 0 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// of is what was seen so far of a topic, and a channel that closes when there is more of any.
func (r *reader) of(topic string) ([]*kgo.Record, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records[topic]), r.changed
}

func (r *reader) close() {
	r.cancel()
	<-r.ended
	r.client.Close()
}

// await asks again and again, at each change at the latest, until met says yes.
func await(t *testing.T, what string, met func() (bool, <-chan struct{})) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, more := met()
		if ok {
			return
		}
		select {
		case <-more:
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}
