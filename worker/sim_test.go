package worker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/router"
)

// The simulation runs the real worker on a broker in the process, lets faults fall on every step of a transaction,
// kills the worker with its disk kept, cut short, lost or put back from an older copy, and holds what
// read_committed readers, the changelog and the store have at the end against what the records asked for.
// A seed decides the load and the faults; goroutines and clocks remain, so a seed repeats a run only in kind.
var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed only")
	simFirst = flag.Uint64("sim.first", 1, "first seed")
	simFault = flag.String("sim.fault", "", "only faults whose name contains this")
	simRuns  = flag.Uint64("sim.runs", 12, "number of seeds")
)

func TestSimulation(t *testing.T) {
	first, n := *simFirst, *simRuns
	if *simSeed != 0 {
		first, n = *simSeed, 1
	}
	faults := map[string]int{}
	inputs := 0
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			s := newSim(t, seed)
			s.run()
			inputs += len(s.want)
			for f, count := range s.faults {
				faults[f] += count
			}
		})
		if t.Failed() {
			break
		}
	}
	for _, f := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%-40s %d", f, faults[f])
	}
	t.Logf("%d inputs checked", inputs)
}

const (
	simPartitions = 3
	simAddresses  = 9
)

// sim is one run.
type sim struct {
	*world
	rng     *rand.Rand
	cluster *kfake.Cluster
	admin   *kadm.Client
	want    map[string]int // input id → address that must process it once
	sent    []ingressRecord
	faults  map[string]int
	pending []*kfake.FaultHandle // that may not have happened yet
	log     *logBuffer
	mood    atomic.Int64 // of the functions
	manual  *kgo.Client

	processes []*process
}

// process is one worker under its name, with its disk.
type process struct {
	s       *sim
	name    string
	worker  *Worker
	ended   chan error
	cancel  context.CancelFunc
	network *network
	disk    *vfs.MemFS
	old     *vfs.MemFS // an older copy of the disk
}

type ingressRecord struct {
	partition int32
	offset    int64
	address   int
	id        string
}

func newSim(t *testing.T, seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 7))
	options := []kfake.Opt{
		kfake.NumBrokers(3), kfake.SeedTopics(simPartitions, "in", "out"), kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "315360000000", "group.initial.rebalance.delay.ms": "0"}),
	}
	if seed%2 == 0 {
		options = append(options, kfake.MaxVersions(kversion.FromString("v3.9")))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &sim{
		world: newWorldAt(t, moduleText, cluster.ListenAddrs()...), rng: rng, cluster: cluster,
		want: map[string]int{}, faults: map[string]int{}, log: &logBuffer{},
	}
	workers := 1
	if seed%3 == 0 {
		workers = 2
	}
	for i := range workers {
		s.processes = append(s.processes, &process{s: s, name: fmt.Sprint("w", i+1), disk: vfs.NewCrashableMem()})
	}
	s.admin = kadm.NewClient(s.client)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d: the worker said:\n%s", seed, s.log.tail(400))
			s.dump("out")
			s.dump("app-changelog")
		}
	})
	return s
}

func (s *sim) count(fault string) { s.faults[fault]++ }

// start begins a process on the disk as it is.
func (p *process) start() {
	s := p.s
	p.network = &network{}
	c := s.config("/state")
	c.WorkerID, c.Functions, c.FileSystem = p.name, s.function, p.disk
	c.SessionTimeout, c.TransactionTimeout = 2*time.Second, 2*time.Second
	c.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("process", p.name)
	c.ClientOptions = []kgo.Opt{
		kgo.Dialer(p.network.dial), kgo.WithHooks(p.network), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
	}
	worker, err := New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.worker, p.cancel, p.ended = worker, cancel, make(chan error, 1)
	go func(ended chan error) { ended <- worker.Run(ctx) }(p.ended)
}

// kill ends the process as kill -9 does: its connections break, nothing more of it reaches broker or disk.
func (p *process) kill() {
	s := p.s
	p.network.cut()
	clone := p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: rand.New(rand.NewPCG(s.rng.Uint64(), 1))})
	worker := p.worker
	worker.post(func() { worker.fail(errKilled) })
	p.cancel()
	<-p.ended
	switch s.rng.IntN(8) {
	case 0:
		s.count("disk lost")
		clone = vfs.NewCrashableMem()
	case 1:
		if p.old != nil {
			s.count("disk put back from an older copy")
			clone = p.old.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		}
	case 2:
		p.old = clone
	}
	p.disk = clone
}

var errKilled = errors.New("killed")

func (s *sim) run() {
	for _, p := range s.processes {
		p.start()
	}
	for range 25 {
		s.load(4 + s.rng.IntN(10))
		s.fault(s.processes[s.rng.IntN(len(s.processes))])
		time.Sleep(time.Duration(s.rng.IntN(30)) * time.Millisecond) // the pace of the load; nothing waits for it
		for _, p := range s.processes {
			select {
			case err := <-p.ended:
				s.t.Fatalf("%s ended by itself: %v", p.name, err)
			default:
			}
		}
	}
	for _, f := range s.pending {
		f.Remove()
	}
	for _, p := range s.processes {
		p.network.heal()
		p.worker.catalog.Forget("out") // else a refused record is remembered for longer than the test waits
	}
	s.settle()
	for _, p := range s.processes {
		p.cancel()
		if err := <-p.ended; err != nil {
			s.t.Fatalf("clean stop of %s: %v", p.name, err)
		}
	}
	s.checkRows()
}

// load produces records; some of them to another partition than their key's, as a producer with a partitioner of its
// own does.
func (s *sim) load(n int) {
	for range n {
		a := s.rng.IntN(simAddresses)
		id := fmt.Sprintf("r%d", len(s.sent))
		p := router.Partition(address(a), simPartitions)
		if s.rng.IntN(5) == 0 {
			p = int32(s.rng.IntN(simPartitions))
		}
		r := &kgo.Record{Topic: "in", Partition: p, Key: []byte(address(a)), Value: []byte(id)}
		if err := s.producer().ProduceSync(context.Background(), r).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
		s.sent = append(s.sent, ingressRecord{r.Partition, r.Offset, a, id})
		s.expect(id, a)
	}
}

func (s *sim) producer() *kgo.Client {
	if s.manual == nil {
		client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(client.Close)
		s.manual = client
	}
	return s.manual
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
