package load

import (
	"container/heap"
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

var testIngresses = []Ingress{
	{Topic: "in", Partitions: 4, Targets: []string{"a"}},
	{Topic: "both", Partitions: 3, Targets: []string{"b", "c"}},
}

func TestTheSameSeedMakesTheSameLoad(t *testing.T) {
	one, two, other := NewGenerator(7, testIngresses, 20), NewGenerator(7, testIngresses, 20), NewGenerator(8, testIngresses, 20)
	differs := false
	for range 200 {
		a, b, c := one.Next(), two.Next(), other.Next()
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed 7 made %+v and %+v", a, b)
		}
		differs = differs || !reflect.DeepEqual(a, c)
	}
	if !differs {
		t.Error("seeds 7 and 8 make the same load")
	}
}

// TestANaiveRuntimePassesTheCheck holds the model of the load, the functions and the checker against each other: a
// runtime of a few lines that never crashes must pass.
func TestANaiveRuntimePassesTheCheck(t *testing.T) {
	g := NewGenerator(1, testIngresses, 20)
	run := naive{states: map[statefun.Address]map[string]any{}, live: map[string]*timer{}, now: time.UnixMilli(1_000_000)}
	run.functions = Functions{Egress: "e2e.load/out", Topic: "out", Now: func() time.Time { return run.now }}
	for range 3000 {
		r := g.Next()
		for _, target := range r.Ingress.Targets {
			run.deliver(t, target+"/"+r.Key, r.Command)
		}
		run.advance(t, run.now.Add(time.Millisecond))
	}
	run.advance(t, run.now.Add(time.Minute))
	report := history.Check(g.Inputs, run.entries)
	if len(report.Violations) > 0 {
		t.Fatalf("%d violations, first: %v", len(report.Violations), report.Violations[0])
	}
	if report.Cancelled < 100 || report.Pairs < 1000 || report.Undecided > 0 {
		t.Errorf("the load proves little: %+v", report)
	}
	run.entries = slices.Delete(run.entries, 1000, 1001)
	if report := history.Check(g.Inputs, run.entries); len(report.Violations) == 0 {
		t.Error("a missing entry was not noticed")
	}
}

// naive runs commands one after another in memory, on a clock of its own.
type naive struct {
	functions Functions
	states    map[statefun.Address]map[string]any
	queue     []statefun.MessageBuilder
	timers    timers
	live      map[string]*timer
	entries   []history.Entry
	now       time.Time
}

type timer struct {
	at      time.Time
	number  int
	token   string
	message statefun.MessageBuilder
	gone    bool
}

type timers []*timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].number < h[j].number
}
func (h timers) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)   { *h = append(*h, x.(*timer)) }
func (h *timers) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// deliver processes a command and all that it sends at once.
func (n *naive) deliver(t *testing.T, address string, cmd Command) {
	t.Helper()
	ctx := &naiveContext{Context: context.Background(), run: n}
	kind, id := address[:1], address[2:]
	ctx.Send(statefun.MessageBuilder{
		Target: statefun.Address{FunctionType: statefun.TypeNameFrom(Namespace + "/" + kind), Id: id},
		Value:  cmd, ValueType: commandType,
	})
	for len(n.queue) > 0 {
		next := n.queue[0]
		n.queue = n.queue[1:]
		message, err := next.ToMessage()
		if err != nil {
			t.Fatal(err)
		}
		if err := n.functions.Invoke(&naiveContext{Context: context.Background(), run: n, self: next.Target}, message); err != nil {
			t.Fatal(err)
		}
	}
}

// advance fires what is due until then.
func (n *naive) advance(t *testing.T, until time.Time) {
	t.Helper()
	for len(n.timers) > 0 && !n.timers[0].at.After(until) {
		due := heap.Pop(&n.timers).(*timer)
		if due.gone {
			continue
		}
		delete(n.live, due.token)
		n.now = due.at
		target := due.message.Target
		n.deliver(t, target.FunctionType.GetType()+"/"+target.Id, due.message.Value.(Command))
	}
	n.now = until
}

// naiveContext is the context of one invocation.
type naiveContext struct {
	context.Context
	run  *naive
	self statefun.Address
}

func (c *naiveContext) Self() statefun.Address                 { return c.self }
func (c *naiveContext) Caller() *statefun.Address              { return nil }
func (c *naiveContext) Storage() statefun.AddressScopedStorage { return c }

func (c *naiveContext) Send(m statefun.MessageBuilder) {
	cmd := m.Value.(Command)
	cmd.SlowMs = 0 // the clock of this runtime does not see it
	m.Value = cmd
	c.run.queue = append(c.run.queue, m)
}

func (c *naiveContext) SendAfter(delay time.Duration, m statefun.MessageBuilder) {
	heap.Push(&c.run.timers, &timer{at: c.run.now.Add(delay), number: len(c.run.timers), message: m})
}

func (c *naiveContext) SendAfterWithCancellationToken(delay time.Duration, token statefun.CancellationToken, m statefun.MessageBuilder) {
	if c.run.live[token.Token()] != nil {
		panic("token " + token.Token() + " is live already")
	}
	due := &timer{at: c.run.now.Add(delay), token: token.Token(), message: m}
	c.run.live[due.token] = due
	heap.Push(&c.run.timers, due)
}

func (c *naiveContext) CancelDelayedMessage(token statefun.CancellationToken) {
	if due := c.run.live[token.Token()]; due != nil {
		due.gone = true
		delete(c.run.live, due.token)
	}
}

func (c *naiveContext) SendEgress(e statefun.EgressBuilder) {
	c.run.entries = append(c.run.entries, e.(statefun.KafkaEgressBuilder).Value.(history.Entry))
}

func (c *naiveContext) state() map[string]any {
	if c.run.states[c.self] == nil {
		c.run.states[c.self] = map[string]any{}
	}
	return c.run.states[c.self]
}

func (c *naiveContext) Get(spec statefun.ValueSpec, receiver any) bool {
	value, ok := c.state()[spec.Name]
	if ok {
		reflect.ValueOf(receiver).Elem().Set(reflect.ValueOf(value))
	}
	return ok
}

func (c *naiveContext) Set(spec statefun.ValueSpec, value any) { c.state()[spec.Name] = value }
func (c *naiveContext) Remove(spec statefun.ValueSpec)         { delete(c.state(), spec.Name) }
