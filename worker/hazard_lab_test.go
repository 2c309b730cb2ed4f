package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// patience is how long a test waits for what has to come.
const patience = 8 * time.Second

// lab is a world whose broker can be told to misbehave, and one worker with an in-process function that is killed and
// started again on the same disk.
type lab struct {
	*world
	cluster *kfake.Cluster
	admin   *kadm.Client
	said    *logBuffer
	disk    *vfs.MemFS
	change  func(*Config) // of the next start
	manual  *kgo.Client

	worker  *Worker
	metrics *prometheus.Registry
	network *network
	wake    func() // ends a stall
	cancel  context.CancelFunc
	ended   chan error
	err     error // of the last Run

	mu       sync.Mutex
	function script
}

// script is a function under test: it sees a call and builds its answer. An error is a failed call.
type script func(ctx context.Context, call *callOf, r *reply) error

// setting says what differs from the usual lab: two partitions, the newest protocol, moduleText, topics in and out.
type setting struct {
	partitions int32
	version    string // of Kafka; 3.9 has the first transaction protocol
	module     string
	topics     []string // more of them
}

func newLab(t *testing.T, s setting, f script) *lab {
	t.Helper()
	if s.partitions == 0 {
		s.partitions = 2
	}
	if s.module == "" {
		s.module = moduleText
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1), kfake.SeedTopics(s.partitions, append([]string{"in", "out"}, s.topics...)...),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "315360000000", "group.initial.rebalance.delay.ms": "0"}),
	}
	if s.version != "" {
		options = append(options, kfake.MaxVersions(kversion.FromString(s.version)))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	l := &lab{
		world: newWorldAt(t, s.module, cluster.ListenAddrs()...), cluster: cluster, said: &logBuffer{},
		disk: vfs.NewCrashableMem(), function: f, change: func(*Config) {},
	}
	l.admin = kadm.NewClient(l.client)
	l.reconnect()
	l.endWithTest()
	return l
}

// beside gives another worker of the same application, under a name of its own, on a disk of its own.
func (l *lab) beside(name string) *lab {
	other := &lab{
		world: l.world, cluster: l.cluster, admin: l.admin, manual: l.manual, said: &logBuffer{},
		disk: vfs.NewCrashableMem(), function: l.function,
	}
	change := l.change
	other.change = func(c *Config) {
		change(c)
		c.WorkerID = name
	}
	other.endWithTest()
	return other
}

func (l *lab) endWithTest() {
	l.t.Cleanup(func() {
		if l.worker != nil {
			l.network.thaw()
			l.wake()
			l.cancel()
			<-l.ended
		}
		if l.t.Failed() {
			l.t.Logf("the worker said:\n%s", l.said.tail(60))
		}
	})
}

// stall stops the process as SIGSTOP does: nothing reaches it or leaves it, and its loop stands still. wake lets it go
// on.
func (l *lab) stall() (wake func()) {
	l.network.freeze()
	still := make(chan struct{})
	l.worker.post(func() { <-still })
	network := l.network
	l.wake = sync.OnceFunc(func() {
		close(still)
		network.thaw()
	})
	return l.wake
}

// owns reports whether the worker runs exactly these partitions.
func (l *lab) owns(partitions ...int32) (all bool) {
	if l.worker.Ready() != nil {
		return false
	}
	l.loop(func(w *Worker) {
		all = len(w.partitions) == len(partitions)
		for _, id := range partitions {
			p := w.partitions[id]
			all = all && p != nil && p.stage == running
		}
	})
	return all
}

// says waits until the worker has said all the words in one line.
func (l *lab) says(words ...string) {
	l.t.Helper()
	l.until(fmt.Sprintf("the worker says %q", words), func() bool { return l.said.has(words...) })
}

// reconnect gives the test's own producer what it should know of topics that were made anew or have grown.
func (l *lab) reconnect(options ...kgo.Opt) {
	l.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(l.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
	}, options...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(client.Close)
	l.manual = client
}

// bothProtocols runs a test with the second and with the first transaction protocol.
func bothProtocols(t *testing.T, test func(t *testing.T, version string)) {
	for _, version := range []string{"v4.1", "v3.9"} {
		t.Run(version, func(t *testing.T) { test(t, version) })
	}
}

// become changes the function.
func (l *lab) become(f script) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.function = f
}

func (l *lab) invoke(ctx context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
	call, err := parseCall(request)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	f := l.function
	l.mu.Unlock()
	if !call.knows("count") {
		return missing("count"), nil
	}
	var r reply
	if err := f(ctx, &call, &r); err != nil {
		return nil, err
	}
	return r.bytes(), nil
}

// start begins a process on the disk as it is. It does not wait.
func (l *lab) start() {
	l.t.Helper()
	l.network, l.wake, l.metrics = &network{}, func() {}, prometheus.NewRegistry()
	c := l.config("/state")
	c.Functions, c.FileSystem, c.Registerer = l.invoke, l.disk, l.metrics
	c.SessionTimeout, c.TransactionTimeout = 4*time.Second, 4*time.Second
	c.Logger = slog.New(slog.NewTextHandler(l.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.ClientOptions = []kgo.Opt{
		kgo.Dialer(l.network.dial), kgo.WithHooks(l.network), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
	}
	l.change(&c)
	worker, err := New(inProcess(c))
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.worker, l.cancel, l.ended = worker, cancel, make(chan error, 1)
	go func(ended chan error) { ended <- worker.Run(ctx) }(l.ended)
}

// up starts a worker and waits until all its partitions run.
func (l *lab) up() {
	l.t.Helper()
	l.start()
	l.until("the partitions run", func() bool { return l.worker.Ready() == nil })
}

// stop ends the process cleanly and gives what Run returned.
func (l *lab) stop() error {
	l.cancel()
	return l.over()
}

// over waits until the process has ended.
func (l *lab) over() error {
	l.t.Helper()
	select {
	case l.err = <-l.ended:
	case <-time.After(patience):
		l.t.Fatal("the worker does not end")
	}
	l.worker = nil
	return l.err
}

// kill ends the process as kill -9 does: its connections break, nothing more of it reaches the broker or the disk,
// which keeps what the operating system had.
func (l *lab) kill() {
	l.t.Helper()
	l.network.cut()
	l.wake()
	clone := l.crashed()
	worker := l.worker
	worker.post(func() { worker.fail(errKilled) })
	l.cancel()
	l.over()
	l.disk = clone
}

// crashed is the disk as a process leaves it that ends now: what the operating system had, and no lock.
func (l *lab) crashed() *vfs.MemFS {
	return l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// dead notes that the process has ended by itself.
func (l *lab) dead() {
	l.disk, l.worker = l.crashed(), nil
}

// killAndWipe is a kill after which the disk is gone too: what counts is in Kafka.
func (l *lab) killAndWipe() {
	l.t.Helper()
	l.kill()
	l.disk = vfs.NewCrashableMem()
}

// until polls a condition for which there is no event.
func (l *lab) until(what string, is func() bool) {
	l.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case err := <-l.ended:
			l.worker = nil
			l.t.Fatalf("waiting until %s: the worker ended: %v", what, err)
		case <-tick.C:
		case <-deadline.C:
			l.openTransactions()
			l.t.Fatalf("it did not come that %s", what)
		}
	}
}

// openTransactions reports what holds the changelog back, for a test that waits in vain.
func (l *lab) openTransactions() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	topic := "app-changelog"
	committed, _ := l.admin.ListCommittedOffsets(ctx, topic)
	ends, _ := l.admin.ListEndOffsets(ctx, topic)
	producers, _ := l.admin.DescribeProducers(ctx, kadm.TopicsSet{topic: {0: {}, 1: {}}})
	transactions, _ := l.admin.ListTransactions(ctx, nil, nil)
	l.t.Logf("committed to %v\nends at %v\nproducers %v\ntransactions %v", committed, ends, producers, transactions)
}

// loop runs f on the worker's loop and waits for it.
func (l *lab) loop(f func(w *Worker)) {
	l.t.Helper()
	over := make(chan struct{})
	worker := l.worker
	worker.post(func() { f(worker); close(over) })
	select {
	case <-over:
	case <-time.After(patience):
		l.t.Fatal("the loop does not turn")
	}
}

// settled waits until the paths between the partitions are local and nothing is to be committed.
func (l *lab) settled() {
	l.t.Helper()
	l.until("the paths are local", func() (all bool) {
		l.loop(func(w *Worker) {
			all = w.running == nil && !w.dirty()
			for _, p := range w.partitions {
				all = all && p.stage == running && p.path.state == local
			}
		})
		return all
	})
}

// put writes a record to an ingress partition and gives its offset.
func (l *lab) put(topic string, partition int32, key, value string) int64 {
	l.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: []byte(value)}
	if err := l.manual.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	return r.Offset
}

// read gives all committed records of a topic up to its end as it is now.
func (l *lab) read(topic string) []*kgo.Record {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := l.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := ends.Error(); err != nil {
		return nil // a test that faults metadata looks again
	}
	log := l.world.logs[topic]
	if log == nil {
		log = l.world.follow(topic, slices.Collect(maps.Keys(ends[topic])))
	}
	if err := log.readTo(ctx, ends[topic]); err != nil {
		l.t.Fatalf("read topic %s to its end: %v", topic, err)
	}
	return log.records
}

// outputs gives the values that the egress has for each key, in order.
func (l *lab) outputs() map[string][]string {
	l.t.Helper()
	out := map[string][]string{}
	for _, r := range l.read("out") {
		out[string(r.Key)] = append(out[string(r.Key)], string(r.Value))
	}
	return out
}

// expect waits for the outputs of a key and checks that they are these, in this order, and no more.
func (l *lab) expect(key string, values ...string) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s has %d outputs", key, len(values)), func() bool { return len(l.outputs()[key]) >= len(values) })
	if got := l.outputs()[key]; strings.Join(got, " ") != strings.Join(values, " ") {
		l.t.Errorf("outputs of %s are %v, want %v", key, got, values)
	}
}

// metric gives the sum of a counter or gauge over the labels that match; pairs are label, value.
func (l *lab) metric(name string, pairs ...string) (sum float64) {
	families, err := l.metrics.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := " "
			for _, p := range m.GetLabel() {
				labels += p.GetName() + "=" + p.GetValue() + " "
			}
			fits := true
			for i := 0; i < len(pairs); i += 2 {
				fits = fits && strings.Contains(labels, " "+pairs[i]+"="+pairs[i+1]+" ")
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// above gives how many observations of a histogram lie above a bound of one of its buckets, and how many there are.
func (l *lab) above(name string, bound float64) (above, all uint64) {
	families, err := l.metrics.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		for _, b := range h.GetBucket() {
			if b.GetUpperBound() == bound {
				return h.GetSampleCount() - b.GetCumulativeCount(), h.GetSampleCount()
			}
		}
	}
	l.t.Fatalf("no histogram %s with a bucket up to %v", name, bound)
	return 0, 0
}

// groupOffset is the committed offset of the application's group.
func (l *lab) groupOffset(topic string, partition int32) int64 {
	info := l.cluster.GroupInfo("app")
	if info == nil {
		return -1
	}
	if c, is := info.Commits[topic][partition]; is {
		return c.Offset
	}
	return -1
}

// rows folds the changelog.
func (l *lab) rows() map[rowKey][]byte {
	return (&sim{world: l.world, admin: l.admin}).foldChangelog()
}

// replaced is moduleText with lines replaced: old, new, old, new…
func replaced(lines ...string) string { return strings.NewReplacer(lines...).Replace(moduleText) }

// functionAt is the address of test/f with an id.
func functionAt(id string) protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: "test", Name: "f"}, ID: id}
}
