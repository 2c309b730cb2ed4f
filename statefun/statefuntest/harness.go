package statefuntest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// TB is the part of a [testing.TB] that a Harness uses.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// panics stands for a test that is not there.
type panics struct{}

func (panics) Helper()                           {}
func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// maxCalls ends a test whose functions send to each other for ever.
const maxCalls = 100_000

var errEndless = fmt.Errorf("after %d calls there is still something to deliver: functions send to each other for ever", maxCalls)

// maxBatch is the largest batch that a seed makes.
const maxBatch = 8

// A Harness runs functions for a test. It is for one goroutine.
type Harness struct {
	t       TB
	handler *statefun.Handler
	served  func(statefun.TypeName) bool
	now     time.Time
	random  *rand.Rand // nil: first come first served

	queue   []input
	timers  []timer // by time, and by order of sending among equals
	specs   map[statefun.TypeName]map[string]protocol.StateSpec
	states  map[stateKey]stored
	sent    []Sent
	egress  map[statefun.TypeName][]statefun.Message
	failure error // the first of the running delivery
}

// An Option changes a new Harness.
type Option func(*Harness)

// Seed makes the harness choose what is delivered next, and how many messages go into one call, by chance.
func Seed(seed uint64) Option {
	return func(h *Harness) { h.random = rand.New(rand.NewPCG(seed, seed)) }
}

// StartAt sets the clock; without it a test begins at the first second of the year 2000, UTC.
func StartAt(now time.Time) Option { return func(h *Harness) { h.now = now } }

// New makes a harness for functions. Without a test, such as in an example, t is nil: failures panic then.
func New(t TB, functions ...statefun.Function) *Harness {
	if t != nil {
		t.Helper()
	}
	return NewWith(t, functions)
}

// NewWith is New with options.
func NewWith(t TB, functions []statefun.Function, options ...Option) *Harness {
	if t == nil {
		t = panics{}
	}
	t.Helper()
	h := &Harness{
		t:      t,
		now:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		specs:  map[statefun.TypeName]map[string]protocol.StateSpec{},
		states: map[stateKey]stored{},
		egress: map[statefun.TypeName][]statefun.Message{},
	}
	for _, option := range options {
		option(h)
	}
	handler, err := statefun.NewHandler(functions...)
	if err != nil {
		t.Fatalf("statefuntest: %v", err)
		return h
	}
	handler.Clock = h.Now
	h.handler, h.served = handler, servedBy(functions)
	return h
}

// servedBy tells the types that one of the functions serves.
func servedBy(functions []statefun.Function) func(statefun.TypeName) bool {
	types := map[statefun.TypeName]bool{}
	for _, f := range functions {
		types[f.Type] = true
	}
	return func(n statefun.TypeName) bool {
		namespace, _, err := n.Split()
		return err == nil && (types[n] || types[statefun.TypeName(namespace+"/*")])
	}
}

// Send sends a message as an ingress does, with no caller, and delivers it and all that comes of it. The test fails if a
// function fails.
func (h *Harness) Send(to statefun.Address, v statefun.TypedValue) {
	h.t.Helper()
	h.must(h.Try(to, v))
}

// SendFrom is Send for a message that another instance has sent.
func (h *Harness) SendFrom(caller, to statefun.Address, v statefun.TypedValue) {
	h.t.Helper()
	h.must(h.deliver(&caller, to, v))
}

// SendAll sends several messages at once, as an ingress with a backlog does, before the first is delivered.
func (h *Harness) SendAll(to statefun.Address, values ...statefun.TypedValue) {
	h.t.Helper()
	for _, v := range values {
		h.must(h.accept(nil, to, v))
	}
	h.must(h.run())
}

// Try is Send that returns the first error of a function.
func (h *Harness) Try(to statefun.Address, v statefun.TypedValue) error { return h.deliver(nil, to, v) }

// Now is the time of the harness' clock.
func (h *Harness) Now() time.Time { return h.now }

// Advance turns the clock on by d. Delayed messages are delivered on the way, each at its time.
func (h *Harness) Advance(d time.Duration) {
	h.t.Helper()
	h.must(h.TryAdvance(d))
}

// TryAdvance is Advance that returns the first error of a function.
func (h *Harness) TryAdvance(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("advance by %s: the clock does not go back", d)
	}
	var failures []error
	for end := h.now.Add(d); ; {
		if len(h.timers) == 0 || h.timers[0].at.After(end) {
			h.now = end
			return errors.Join(failures...)
		}
		if at := h.timers[0].at; at.After(h.now) {
			h.now = at
		}
		err := h.run()
		if errors.Is(err, errEndless) {
			return err
		}
		failures = append(failures, err) // Join leaves out what is nil
	}
}

func (h *Harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("statefuntest: %v", err)
	}
}

func (h *Harness) deliver(caller *statefun.Address, to statefun.Address, v statefun.TypedValue) error {
	if err := h.accept(caller, to, v); err != nil {
		return err
	}
	return h.run()
}

// accept queues a message that comes from outside.
func (h *Harness) accept(caller *statefun.Address, to statefun.Address, v statefun.TypedValue) error {
	argument, err := v.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	target, err := toWire(to)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	if !h.served(to.Type) {
		return fmt.Errorf("send to %s: the harness has no function of that type", to)
	}
	in := input{target: target, argument: argument}
	if caller != nil {
		from, err := toWire(*caller)
		if err != nil {
			return fmt.Errorf("send to %s: caller: %w", to, err)
		}
		in.caller = &from
	}
	h.queue = append(h.queue, in)
	return nil
}

// run calls functions until there is nothing to deliver at this time.
func (h *Harness) run() error {
	h.failure = nil
	for calls := 0; ; calls++ {
		h.fire()
		if len(h.queue) == 0 {
			return h.failure
		}
		if calls == maxCalls {
			return errEndless
		}
		target, batch := h.take()
		if err := h.call(context.Background(), target, batch); err != nil && h.failure == nil {
			h.failure = err
		}
	}
}
