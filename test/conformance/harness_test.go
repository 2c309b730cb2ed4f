package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long anything may take that must come.
const patience = 30 * time.Second

// bench is what all cases share: the built program, a broker, a host of functions and one worker.
type bench struct {
	folder  string
	program string
	broker  *process
	address string // of the broker
	client  *kgo.Client
	admin   *kadm.Client
	host    *host
	out     *reader // every egress and dead-letter topic

	once   sync.Once
	common *worker
	err    error // why there is no common worker
}

// newBench starts a broker that has the topics of all cases. It builds the program when no path of one is given.
func newBench(program string, cases []Case) (b *bench, err error) {
	b = &bench{program: program}
	if b.folder, err = os.MkdirTemp("", "statefun-conformance-"); err != nil {
		return b, fmt.Errorf("make a folder for the run: %w", err)
	}
	if b.program == "" {
		b.program = filepath.Join(b.folder, "statefun-kafka")
		build := exec.Command("go", "build", "-o", b.program, "github.com/statefun-kafka/statefun-kafka/cmd/statefun-kafka")
		if out, err := build.CombinedOutput(); err != nil {
			return b, fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	if b.broker, err = launch(b.program, "broker", "--addr", "127.0.0.1:0", "--log-format", "json"); err != nil {
		return b, err
	}
	if b.address, err = b.broker.logged(`"broker":"([^"]+)"`); err != nil {
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
	var topics []string
	for i := range cases {
		topics = append(topics, "in-"+cases[i].namespace(), "out-"+cases[i].namespace())
	}
	if err := b.createTopics(topics...); err != nil {
		return b, err
	}
	b.out, err = newReader(b.address)
	return b, err
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
	if b.broker != nil {
		b.broker.kill()
	}
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
	return nil
}

// commonApp is the application of the worker that most cases share.
const commonApp = "conformance"

// startCommon starts the worker that most cases share, when the first case asks for it.
func (b *bench) startCommon(cases []Case) (*worker, error) {
	b.once.Do(func() {
		documents := []string{application(), egress("conformance/out")}
		var routes []route
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
			routes = append(routes, route{"in-" + c.namespace(), []string{c.namespace() + "/f"}})
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
