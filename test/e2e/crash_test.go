package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/program"
	"github.com/statefun-kafka/statefun-kafka/test/reader"
)

const (
	loadKeys      = 67 // three function types each: about 200 addresses
	loadTick      = 20 * time.Millisecond
	settleLimit   = 3 * time.Minute // from the last kill until every input is done
	silenceBeyond = 3 * time.Second // how much longer than the latest cancelled message would wait the end is watched
)

// TestCrash kills the worker again and again under a random load, and holds all that it wrote against a model.
func TestCrash(t *testing.T) {
	plans := []struct {
		broker       string
		kills, wipes int
	}{
		{kafka41, *killsFlag, 5},
		{kafka39, max(4, *killsFlag/4), 2},
		{embedded, max(4, *killsFlag/4), 2},
	}
	for _, plan := range plans {
		t.Run(plan.broker, func(t *testing.T) {
			r := newCrashRun(t, needBroker(t, plan.broker))
			r.feed()
			r.killOften(plan.kills, plan.wipes)
			r.settle()
			r.check()
		})
	}
}

// TestCrashOfAnEmbeddedProgram does the same to a program on package embedded, which calls two of three functions itself and
// the third over HTTP.
func TestCrashOfAnEmbeddedProgram(t *testing.T) {
	const kills, wipes, late = 8, 2, 12 * time.Second
	r := newCrashRun(t, needBroker(t, kafka41))
	t.Setenv(program.EgressEnv, egressOfLoad)
	t.Setenv(program.TopicEnv, r.app.topic("out"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r.app.program, r.app.mode, r.generator.Late = self, program.Mode, late
	r.feed()
	r.killOften(kills, wipes)
	r.settle()
	r.check()
}

// egressOfLoad is where the functions of the load write.
const egressOfLoad = "e2e.load/out"

// crashRun is one application under load.
type crashRun struct {
	t         *testing.T
	random    *rand.Rand
	app       *app
	generator *load.Generator
	ingresses []load.Ingress
	entries   *entries
	lastRoot  time.Time
	stopFeed  func()
}

func newCrashRun(t *testing.T, c *cluster) *crashRun {
	t.Helper()
	r := &crashRun{t: t, random: random(t), app: newApp(t, c)}
	out := r.app.topic("out")
	functions := load.Functions{Egress: egressOfLoad, Topic: out, FailureRate: program.FailureRate, Now: time.Now}
	handler, err := functions.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r.app.setModule(
		endpoint("e2e.load/*", serve(t, handler).url()),
		ingress("e2e.load/in",
			ingressTopic{"in", load.CommandType, []string{"e2e.load/a"}},
			ingressTopic{"side", load.CommandType, []string{"e2e.load/b"}},
			ingressTopic{"both", load.CommandType, []string{"e2e.load/b", "e2e.load/c"}}),
		egress(egressOfLoad))
	// The first topic is as wide as the application; the other two are not, so that their records cross.
	r.ingresses = []load.Ingress{
		{Topic: r.app.topic("in"), Partitions: 4, Targets: []string{"a"}},
		{Topic: r.app.topic("side"), Partitions: 3, Targets: []string{"b"}},
		{Topic: r.app.topic("both"), Partitions: 3, Targets: []string{"b", "c"}},
	}
	for _, in := range r.ingresses {
		c.createTopic(t, in.Topic, in.Partitions)
	}
	c.createTopic(t, out, 3)
	r.generator = load.NewGenerator(shared.seed, r.ingresses, loadKeys)
	r.entries = &entries{t: t, reader: c.read(t, out), got: map[string]int{}}
	return r
}

// feed produces roots at a steady rate with bursts until stopFeed is called.
func (r *crashRun) feed() {
	ctx, cancel := context.WithCancel(context.Background())
	var fed sync.WaitGroup
	fed.Go(func() {
		tick := time.NewTicker(loadTick)
		defer tick.Stop()
		for ctx.Err() == nil {
			n := int(time.Duration(*rateFlag) * loadTick / time.Second)
			if r.random.IntN(100) == 0 {
				n *= 30
			}
			for range n {
				r.produce(r.generator.Next())
			}
			<-tick.C
		}
		for r.generator.Owes() {
			r.produce(r.generator.Next())
		}
	})
	r.stopFeed = sync.OnceFunc(func() {
		cancel()
		fed.Wait()
		r.lastRoot = time.Now()
		if err := r.app.cluster.manual.Flush(context.Background()); err != nil {
			r.t.Errorf("flush the load: %v", err)
		}
	})
	r.t.Cleanup(r.stopFeed)
}

func (r *crashRun) produce(root load.Root) {
	record := &kgo.Record{
		Topic: root.Ingress.Topic, Partition: root.Partition,
		Key: []byte(root.Key), Value: root.Command.Encode(),
	}
	r.app.cluster.manual.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
		if err != nil {
			r.t.Errorf("produce the load: %v", err)
		}
	})
}

// killOften lets workers live for random times and ends each with -9; before some starts the state folder is deleted.
func (r *crashRun) killOften(kills, wipes int) {
	random := rand.New(rand.NewPCG(shared.seed, 2)) // not the one of feed, which runs beside it
	wiped := map[int]bool{}
	for len(wiped) < min(wipes, kills-1) {
		wiped[1+random.IntN(kills-1)] = true
	}
	starting, stalls := 0, 0
	for life := range kills {
		if wiped[life] {
			if err := os.RemoveAll(r.app.folder); err != nil {
				r.t.Fatal(err)
			}
		}
		w := r.app.start()
		if life > 0 && random.IntN(4) == 0 {
			starting++
			pause(random, 0, 400*time.Millisecond)
		} else {
			w.awaitReady(readyLimit)
			if random.IntN(4) == 0 {
				stalls++
				pause(random, 0, 300*time.Millisecond)
				w.signal(syscall.SIGSTOP)
				pause(random, 100*time.Millisecond, 800*time.Millisecond)
				w.signal(syscall.SIGCONT)
			}
			pause(random, 50*time.Millisecond, 1500*time.Millisecond)
		}
		if w.Ended() {
			r.t.Fatalf("the worker ended by itself in life %d: %v", life, w.Err())
		}
		w.Kill()
	}
	r.stopFeed()
	r.t.Logf("%d kills, %d of them during the start, %d stalls, %d times without the state folder", kills, starting, stalls, len(wiped))
}

// pause is the random instant of a fault, not a wait for something.
func pause(random *rand.Rand, from, to time.Duration) {
	time.Sleep(from + time.Duration(random.Int64N(int64(to-from))))
}

// settle waits until every input is done and nothing more can come; then it wipes the state folder once more and
// sends every key one input more, whose entry shows what the changelog alone brought back.
func (r *crashRun) settle() {
	began := time.Now()
	w := r.app.startReady()
	r.entries.awaitAll(w, r.generator.Inputs)
	r.t.Logf("settled %v after the last kill", time.Since(began).Round(time.Millisecond))
	r.entries.awaitSilence(time.Until(r.lastRoot.Add(r.generator.Late + silenceBeyond)))
	w.stop()
	if err := os.RemoveAll(r.app.folder); err != nil {
		r.t.Fatal(err)
	}
	for _, in := range r.ingresses {
		for _, key := range r.generator.Keys() {
			r.produce(r.generator.Probe(in, key))
		}
	}
	w = r.app.startReady()
	r.entries.awaitAll(w, r.generator.Inputs)
	r.entries.awaitSilence(2 * time.Second)
	w.stop()
}

func (r *crashRun) check() {
	report := history.Check(r.generator.Inputs, r.entries.list)
	r.t.Logf("%d inputs over %d addresses, %d entries, %d orders compared, %d cancellations held (%d too late to say)",
		report.Inputs, report.Addresses, report.Entries, report.Pairs, report.Cancelled, report.Undecided)
	if report.Undecided*10 > report.Cancelled {
		r.t.Errorf("%d cancellations came too late to be checked, %d were checked: the worker is too slow for this load",
			report.Undecided, report.Cancelled)
	}
	const shown = 30
	for i, v := range report.Violations {
		if i == shown {
			r.t.Logf("… and %d more", len(report.Violations)-shown)
			break
		}
		r.t.Errorf("%s: %s", v.Rule, v.Text)
	}
}

// entries decodes what a reader sees.
type entries struct {
	t      *testing.T
	reader *reader.Reader
	list   []history.Entry
	got    map[string]int // by input and address
}

func entryKey(input, address string) string { return input + "@" + address }

func (e *entries) decode(records []*kgo.Record) {
	for _, record := range records[len(e.list):] {
		var entry history.Entry
		if err := json.Unmarshal(record.Value, &entry); err != nil {
			e.t.Fatalf("an egress record is not an entry: %v: %q", err, record.Value)
		}
		e.list = append(e.list, entry)
		e.got[entryKey(entry.Input, entry.Address)]++
	}
}

// awaitAll waits until every input that must be processed has an entry, for as long as the worker lives.
func (e *entries) awaitAll(w *worker, inputs []history.Input) {
	e.t.Helper()
	missing := map[string]bool{}
	for _, in := range inputs {
		if !in.Never && in.Canceller == "" {
			missing[entryKey(in.ID, in.Address)] = true
		}
	}
	deadline := time.After(settleLimit)
	for {
		records, more := e.reader.All()
		e.decode(records)
		maps.DeleteFunc(missing, func(key string, _ bool) bool { return e.got[key] > 0 })
		if len(missing) == 0 {
			return
		}
		select {
		case <-more:
		case <-w.Done():
			e.t.Fatalf("the worker ended by itself: %v", w.Err())
		case <-deadline:
			lost := slices.Sorted(maps.Keys(missing))
			e.t.Errorf("%d inputs have no entry after %v, for example %v", len(lost), settleLimit, lost[:min(5, len(lost))])
			return
		}
	}
}

// awaitSilence lets the given time pass, in which nothing is expected; the check finds what came.
func (e *entries) awaitSilence(d time.Duration) {
	over := time.After(d)
	for {
		records, more := e.reader.All()
		e.decode(records)
		select {
		case <-more:
		case <-over:
			return
		}
	}
}
