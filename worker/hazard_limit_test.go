package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// putMany writes records of one ingress partition in batches.
func (l *lab) putMany(topic string, partition int32, n int, record func(i int) (key, value string)) {
	l.t.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		key, value := record(i)
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: []byte(value)}
	}
	if err := l.manual.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// A thousand inputs of one byte wait. They hold far more heap than a thousand bytes, and that is what the read
// budget must count.
func TestH9WaitingInputsCountWithTheirCost(t *testing.T) {
	g := newGate("X")
	l := newLab(t, setting{partitions: 1}, g.behind(echo))
	l.up()
	l.put("in", 0, "X", "x")
	l.until("X is called", func() bool { return g.held() == 1 })
	l.putMany("in", 0, 1000, func(int) (string, string) { return "X", "x" })
	l.until("they are read", func() bool { return l.metric("statefun_worker_records_total", "topic", "in") == 1001 })
	held := int64(0)
	l.loop(func(w *Worker) { held = w.budget.held.Load() })
	if held < 1001*100 {
		t.Errorf("1001 inputs count for %d bytes", held)
	}
	g.open()
	l.until("all is given back", func() bool {
		l.loop(func(w *Worker) { held = w.budget.held.Load() })
		return held == 0
	})
}

// What a batch keeps of a fetch must be its own: one kept payload would pin the whole fetch, and no limit would know.
// The fetch's buffer is overwritten here; what was decoded before must not change.
func TestH9PayloadsAreCopiedOutOfTheFetch(t *testing.T) {
	m := loadModule(t, moduleText)
	w := &Worker{Config: Config{Module: m}, router: router.New(m), plan: &topics.Plan{Partitions: 1}, metrics: newMetrics(prometheus.NewRegistry())}
	key, value := router.Encode(protocol.Envelope{Target: functionAt("mailed"), Invocation: []byte("invocation")})
	fetch := []byte("keyvaluebad" + string(key) + string(value))
	mailed := fetch[len("keyvaluebad"):]
	in, served := &m.Ingresses[0], func(protocol.TypeName) bool { return true }
	r := &reader{w: w, feeds: map[module.TopicPartition]*feed{
		{Topic: "in"}:          {decoder: ingress.NewDecoder(in, &in.Topics[0], served, 0), invalid: module.InvalidHandling{Type: module.InvalidDeadLetter}},
		{Topic: "app-mailbox"}: {invalid: module.InvalidHandling{Type: module.InvalidDeadLetter}},
	}}
	w.log, w.names = discard(), names{maxRecordBytes: 1 << 20, deadLetterBytes: 1 << 20}
	fetched := func(topic string, record kgo.Record) *batch {
		record.Topic = topic
		return r.decode(t.Context(), kgo.FetchTopicPartition{Topic: topic, FetchPartition: kgo.FetchPartition{Records: []*kgo.Record{&record}}})
	}
	read := fetched("in", kgo.Record{Key: fetch[:3], Value: fetch[3:8]})
	invalid := fetched("in", kgo.Record{Value: fetch[8:11]})
	mail := fetched("app-mailbox", kgo.Record{Key: mailed[:len(key)], Value: mailed[len(key):]})
	clear(fetch)
	if e := read.envelopes[0]; e.Target.ID != "key" || !strings.Contains(string(e.Invocation), "value") {
		t.Errorf("an ingress record's message aliases the fetch: %q %q", e.Target.ID, e.Invocation)
	}
	if e := mail.envelopes[0]; e.Target.ID != "mailed" || string(e.Invocation) != "invocation" {
		t.Errorf("a mailbox record's message aliases the fetch: %q %q", e.Target.ID, e.Invocation)
	}
	if d := invalid.items[0].deadLetter; string(d.Value) != "bad" {
		t.Errorf("a dead-letter record aliases the fetch: %q", d.Value)
	}
}

// 20,000 addresses fail, each with an input of 1 KB: 24 MB of heap, and the budget is 4 MiB. They are copied and
// leave memory, so that the healthy keys behind them are read.
func TestH9ParkedAddressesDoNotStopReading(t *testing.T) {
	const parked = 20_000 / slower
	text := replaced("  id: app", fmt.Sprintf("  id: app\n  limits: {readBudget: %d KB}", 4000/slower))
	l := newLab(t, setting{partitions: 1, module: text}, func(ctx context.Context, call *callOf, r *reply) error {
		if strings.HasPrefix(call.target.ID, "parked") {
			return errors.New("not today")
		}
		return echo(ctx, call, r)
	})
	l.change = func(c *Config) { c.Logger = discard() } // a line for each failed call is a lot
	l.up()
	value := strings.Repeat("v", 1000)
	l.putMany("in", 0, parked, func(i int) (string, string) { return fmt.Sprint("parked", i), value })
	l.putMany("in", 0, 50, func(i int) (string, string) { return fmt.Sprint("healthy", i), "r" })
	l.until("the healthy keys are served", func() bool { return len(l.outputs()) == 50 })
	l.until("the inputs of the others are copied", func() bool { return l.metric("statefun_worker_pending_inputs") == parked })
}

// One address hangs with many inputs, not a few, in the window of its partition. They are its own: the healthy keys
// behind them must not wait until they are a minute old.
func TestH9AHungAddressWithManyInputsDoesNotStopReading(t *testing.T) {
	text := replaced("  id: app", "  id: app\n  limits: {recordsPerSource: 100}")
	g := newGate("hung")
	l := newLab(t, setting{partitions: 1, module: text}, g.behind(echo))
	l.up()
	l.putMany("in", 0, 100, func(int) (string, string) { return "hung", "r" })
	l.until("they are read", func() bool { return l.metric("statefun_worker_records_total", "topic", "in") == 100 })
	l.putMany("in", 0, 400, func(i int) (string, string) { return fmt.Sprint("healthy", i), "r" })
	l.until("the healthy keys are served", func() bool { return len(l.outputs()) == 400 })
}

// One record makes 300 messages and each of those 300 more: 90,000 messages from 301 answers. Each is processed
// once, and no transaction is larger than its limit by more than one answer, though commits are slow, so that
// answers come faster than they are committed.
func TestH10AFanOutStormStaysInBoundedTransactions(t *testing.T) {
	text := replaced("  id: app", "  id: app\n  limits: {transactionEffects: 3000}")
	l := newLab(t, setting{partitions: 2, module: text}, storm)
	l.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		l.cluster.SleepControl(func() { time.Sleep(20 * time.Millisecond) }) // a broker that is far away
		return nil, nil, false
	})
	l.up()
	l.settled()
	l.put("in", 0, "root", "0")
	l.until("every leaf has its 300", func() bool {
		full := 0
		for key, values := range l.outputs() {
			if strings.HasPrefix(key, "leaf") && values[len(values)-1] == "300" {
				full++
			}
		}
		return full == 300
	})
	above, all := l.above("statefun_worker_transaction_effects", 4096)
	t.Logf("%d transactions", all)
	if above > 0 {
		t.Errorf("%d of %d transactions have more than 4096 effects, the limit is 3000 and the largest answer 300", above, all)
	}
}

// storm spreads from root over 300 branches to 300 leaves, which count what comes to them.
func storm(_ context.Context, call *callOf, r *reply) error {
	n, _ := strconv.Atoi(string(call.states["count"]))
	for range call.arguments {
		to := ""
		switch {
		case call.target.ID == "root":
			to = "branch"
		case strings.HasPrefix(call.target.ID, "branch"):
			to = "leaf"
		}
		if to == "" {
			n++
			continue
		}
		for i := range 300 {
			r.send(functionAt(fmt.Sprint(to, i)), "m")
		}
	}
	if strings.HasPrefix(call.target.ID, "leaf") {
		r.set("count", fmt.Sprint(n))
		r.egress("test/out", "out", call.target.ID, fmt.Sprint(n))
	}
	return nil
}

// The records of an ingress belong to another partition than they lie in, and a commit takes long. What crosses is
// collected for the next transaction; that must hold back reading too, not only answers, or it has no bound in bytes.
func TestH10CrossingRecordsStayInBoundedTransactions(t *testing.T) {
	text := replaced("  id: app", "  id: app\n  limits: {transactionEffects: 3000}")
	l := newLab(t, setting{partitions: 2, module: text}, echo)
	l.up()
	l.settled()
	blocked, release := l.blockEndTxn(nil)
	l.put("in", 0, idIn(0, 2, 0), "first")
	<-blocked
	elsewhere := idIn(1, 2, 0)
	l.putMany("in", 0, 30_000, func(int) (string, string) { return elsewhere, "r" })
	l.until("the limit is reached", func() bool { return l.metric("statefun_worker_records_total", "topic", "in") >= 3000 })
	<-time.After(200 * time.Millisecond) // that nothing more is read has no event
	if n := l.metric("statefun_worker_records_total", "topic", "in"); n > 3000+5*recordsPerPoll {
		t.Errorf("%v records were read and collected while the commit ran, the limit is 3000", n)
	}
	release()
	l.until("all is done", func() bool { return l.groupOffset("in", 0) == 30_001 })
}

// slow/f hangs on 100 ids. It holds half of the slots at most, and test/f goes on.
func TestH11AHangingEndpointDoesNotTakeEverySlot(t *testing.T) {
	const second = "---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: slow/*\n  urlPathTemplate: http://localhost:1/\n---\nkind: io.statefun.kafka.v1/ingress"
	text := replaced("  id: app", "  id: app\n  limits: {inFlight: 16}", "---\nkind: io.statefun.kafka.v1/ingress", second,
		"      targets: [test/f]", "      targets: [test/f]\n    - topic: slow\n      valueType: test/command\n      targets: [slow/f]")
	var hung atomic.Int64
	l := newLab(t, setting{partitions: 1, module: text, topics: []string{"slow"}}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.Type.Namespace == "slow" {
			hung.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}
		return echo(ctx, call, r)
	})
	l.up()
	l.putMany("slow", 0, 100, func(i int) (string, string) { return fmt.Sprint("id", i), "r" })
	l.until("slow/f has its share", func() bool { return hung.Load() >= 8 })
	l.putMany("in", 0, 200, func(i int) (string, string) { return fmt.Sprint("id", i), "r" })
	l.until("test/f is served", func() bool { return len(l.outputs()) == 200 })
	if n := hung.Load(); n != 8 {
		t.Errorf("slow/f has %d of 16 slots, want half", n)
	}
}

// 100 ids of one endpoint hang. A slow function holds back its own address only (P-3): the other ids of the same
// endpoint go on for as long as the worker has slots.
func TestH11HangingIDsDoNotTakeTheirWholeEndpoint(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if strings.HasPrefix(call.target.ID, "hung") {
			<-ctx.Done()
			return ctx.Err()
		}
		return echo(ctx, call, r)
	})
	l.up()
	l.putMany("in", 0, 100, func(i int) (string, string) { return fmt.Sprint("hung", i), "r" })
	l.putMany("in", 0, 100, func(i int) (string, string) { return fmt.Sprint("healthy", i), "r" })
	l.until("the healthy ids are served", func() bool { return len(l.outputs()) == 100 })
}
