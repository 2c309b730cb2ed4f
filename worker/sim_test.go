package worker

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/router"
)

// The simulation runs one to four real workers on brokers in the process, lets faults fall on every step of a
// transaction and of the membership, kills and stalls workers, with their disks kept, cut short, lost or put back from
// an older copy, adds and stops some, and holds what read_committed readers, the changelog and the stores have at the
// end against what the records asked for. A seed decides the load, the faults and the shape of the group; goroutines and clocks remain, so a seed repeats a run only in kind.
//
// Some worlds have more: a sink, a topic that the programs fill themselves, an egress or an ingress on another cluster. What
// goes to a sink or there may come again, under the same id, and is otherwise held against the committed egress records.
var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed only")
	simFirst = flag.Uint64("sim.first", 1, "first seed")
	simFault = flag.String("sim.fault", "", "only faults whose name contains this")
	simRuns  = flag.Uint64("sim.runs", 12, "number of seeds")
	// The longest waits by design are a parked address' pause and the transaction time-out, a few seconds each.
	simSettle = flag.Duration("sim.settle", 20*time.Second, "how long the workers may take for what is left when the faults are over")
)

func TestSimulation(t *testing.T) {
	first, n := *simFirst, *simRuns
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	faults, tally := map[string]int{}, map[string]int{}
	runs, inputs := 0, 0
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			s := newSim(t, seed)
			s.run()
			runs++
			inputs += len(s.want)
			for f, count := range s.faults {
				faults[f] += count
			}
			s.tally["deletions of records that are done"] += int(s.deletions.Load())
			for what, count := range s.tally {
				tally[what] += count
			}
			t.Log(s.summary())
		})
		if t.Failed() {
			break
		}
	}
	total := 0
	for _, f := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%-50s %d", f, faults[f])
		total += faults[f]
	}
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%-50s %d", what, tally[what])
	}
	t.Logf("%d runs, seeds %d to %d: %d inputs checked, %d faults of %d kinds", runs, first, first+n-1, inputs, total, len(faults))
}

const (
	simPartitions = 3
	simUnaligned  = 2 // partitions of the second ingress topic
	simAddresses  = 9
	simBrokers    = 3
	simSession    = time.Second
	// simTransaction is how long the brokers leave a silent transaction open.
	simTransaction = 2 * time.Second
)

// sim is one run.
type sim struct {
	*world
	seed    uint64
	shape   shape
	rng     *rand.Rand
	cluster *kfake.Cluster
	admin   *kadm.Client
	want    map[string]int // input id → address that must process it once
	sent    []ingressRecord
	// committed are what the egress has of each input, by its id.
	committed map[string]string
	faults    map[string]int
	tally     map[string]int // of what a run was about, beside inputs and faults
	pending   []armed        // faults that may not have happened yet
	log       *logBuffer
	mood      atomic.Int64 // of the functions
	manual    *kgo.Client
	loaded    int    // records produced
	named     int    // names given
	doing     string // the fault that is being done
	missed    bool   // its moment did not come

	processes []*process
	sink      *sink      // nil: there is none
	far       *elsewhere // nil: there is none
	appends   appends
	deletions atomic.Int64 // of records that are done
}

type ingressRecord struct {
	topic     string
	partition int32
	offset    int64
	address   int
	id        string
}

func newSim(t *testing.T, seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 7))
	shape := shapeOf(seed)
	options := []kfake.Opt{
		kfake.NumBrokers(simBrokers), kfake.SeedTopics(simPartitions, "in", "out"), kfake.SeedTopics(simUnaligned, "in2"),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "315360000000", "group.initial.rebalance.delay.ms": "0"}),
	}
	if versions := shape.versions(); versions != nil {
		options = append(options, kfake.MaxVersions(versions))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &sim{
		seed: seed, shape: shape, rng: rng, cluster: cluster, want: map[string]int{}, faults: map[string]int{}, tally: map[string]int{}, log: &logBuffer{},
		appends: appends{unsure: map[string]int{}},
	}
	s.outfit(t)
	s.admin = kadm.NewClient(s.client)
	s.shortRebalances()
	if shape.redpanda {
		s.likeRedpanda()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d, %s: the workers said:\n%s", seed, shape, s.log.tail(400))
			s.dump("out")
			s.dump("app-changelog")
			s.dump("app-mailbox")
		}
	})
	return s
}

// outfit gives the application what is not on its own brokers.
func (s *sim) outfit(t *testing.T) {
	s.world = &world{t: t}
	address := ""
	if s.shape.far || s.shape.away {
		s.far = newElsewhere(s)
		address = s.far.address()
	}
	s.world = newWorldAt(t, s.shape.module(address), s.cluster.ListenAddrs()...)
	if s.shape.sink {
		s.sink = &sink{arrivals: newArrivals(s, "the sink")}
		s.world.module.Sinks = []module.Sink{{ID: testSink}}
	}
	if s.shape.own {
		own := ofProgram(t, simPartitions, s.brokers)
		s.world.module.Ingresses = append(s.world.module.Ingresses, own.Ingresses...)
		s.watchDeletions()
		s.tellEnds()
	}
}

func (s *sim) count(fault string) { s.faults[fault]++ }

// armed is a fault of the brokers that comes with the next request that fits.
type armed struct {
	name   string
	handle *kfake.FaultHandle
}

func (s *sim) arm(f kfake.Fault) { s.pending = append(s.pending, armed{s.doing, s.cluster.Fault(f)}) }

// disarm takes back the faults that have not happened, and does not count them.
func (s *sim) disarm() {
	for _, f := range s.pending {
		f.handle.Remove()
		if f.handle.Hits() > 0 {
			s.count(f.name)
		}
	}
}

// summary is one line on a run that is over.
func (s *sim) summary() string {
	n := 0
	for _, count := range s.faults {
		n += count
	}
	return fmt.Sprintf("seed %d: %s: %d records, %d inputs, %d faults", s.seed, s.shape, len(s.sent), len(s.want), n)
}

func (s *sim) run() {
	for range s.shape.workers {
		s.add()
	}
	for step := range s.shape.steps {
		s.load(2 + s.rng.IntN(8))
		s.fault(s.processes[s.rng.IntN(len(s.processes))])
		if s.shape.own && s.rng.IntN(2) == 0 {
			s.trim()
		}
		s.change(step)
		time.Sleep(time.Duration(s.rng.IntN(s.shape.pause)) * time.Millisecond) // the pace of the load; nothing waits for it
		s.supervise()
	}
	s.disarm()
	for _, p := range s.processes {
		p.network.heal()
	}
	if s.far != nil {
		s.far.come()
	}
	s.settle()
	s.stopAll()
	s.checkRows()
	if s.shape.rebuilt && !s.t.Failed() {
		s.again()
	}
}

func (s *sim) stopAll() {
	for _, p := range s.processes {
		p.stop()
	}
}

// again goes on with one new worker after every disk was lost: each address must have the state that it had.
func (s *sim) again() {
	s.processes = nil
	s.add()
	for a := range simAddresses {
		s.loadOne(a)
	}
	s.settle()
	s.stopAll()
	s.checkRows()
}

// load produces records of random addresses.
func (s *sim) load(n int) {
	for range n {
		s.loadOne(s.rng.IntN(simAddresses))
	}
}

// loadOne produces a record of an address: in the topic that is aligned with the application or in the other one, and
// now and then to another partition than its key's, as a producer with a partitioner of its own does.
func (s *sim) loadOne(a int) {
	if s.shape.own && s.rng.IntN(3) == 0 {
		s.loadOwn(s.processes[s.rng.IntN(len(s.processes))], a)
		return
	}
	id := fmt.Sprintf("r%d", s.loaded)
	s.loaded++
	topic, partitions := "in", int32(simPartitions)
	if s.rng.IntN(4) == 0 {
		topic, partitions = "in2", simUnaligned
	}
	p := router.Partition(address(a), partitions)
	if s.rng.IntN(5) == 0 {
		p = int32(s.rng.IntN(int(partitions)))
	}
	client, name := s.producer(), topic
	if s.shape.away && topic == "in" && s.rng.IntN(3) == 0 {
		client, name = s.far.client, "in elsewhere"
	}
	r := &kgo.Record{Topic: topic, Partition: p, Key: []byte(address(a)), Value: []byte(id)}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	s.sent = append(s.sent, ingressRecord{name, r.Partition, r.Offset, a, id})
	s.expect(id, a)
}

func (s *sim) producer() *kgo.Client {
	if s.manual == nil {
		s.manual = manualProducer(s.t, s.brokers)
	}
	return s.manual
}

func manualProducer(t *testing.T, brokers []string) *kgo.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func (s *sim) expect(id string, address int) {
	s.want[id] = address
	for _, c := range children(id, address) {
		if c.kind != cancelled {
			s.expect(c.id, c.to)
		}
	}
}

// logBuffer keeps what the worker said, for a failed run.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	if os.Getenv("WORKER_TEST_LOG") != "" {
		return os.Stderr.Write(p)
	}
	return len(p), nil
}

// has reports whether one line has all the words.
func (b *logBuffer) has(words ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines[max(0, len(b.lines)-n):], "")
}
