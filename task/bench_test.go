package task

import (
	"fmt"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

const (
	benchAddresses = 10_000
	// benchCut is how many records go into one transaction.
	benchCut = 1000
)

// memory is a store that costs next to nothing, so that what is measured is the loop's own work.
type memory map[string][]byte

func (s memory) Get(key []byte) ([]byte, error)                                 { return s[string(key)], nil }
func (s memory) Scan(_, _ []byte, _ int, _ func(key, value []byte) error) error { return nil }

// bench is a task with one source and the ready queue of a worker.
type bench struct {
	*Task
	store   memory
	source  *Source
	ready   []*Mailbox
	targets []protocol.Address
	offset  int64
	now     time.Time
	value   []byte
	cutRows int
}

func newBench(b *testing.B) *bench {
	s := &bench{store: memory{}, now: time.UnixMilli(1000), value: make([]byte, 100)}
	r := NewRegistry()
	for i := range benchAddresses {
		s.targets = append(s.targets, address(fmt.Sprintf("f/%08d", i)))
	}
	if _, err := r.Register(s.targets[0].Type, []protocol.StateSpec{{Name: "seen", Type: "t/long"}}); err != nil {
		b.Fatal(err)
	}
	s.Task = New(Config{Store: s.store, Registry: r, Ready: func(m *Mailbox) { s.ready = append(s.ready, m) }, Held: func(int64) {}})
	if err := s.Restore(1); err != nil {
		b.Fatal(err)
	}
	s.source = NewSource("in", 0, [16]byte{1}, state.Progress{})
	s.AddSource(s.source)
	return s
}

// record lets the next record arrive, for one address after the other.
func (s *bench) record() {
	target := s.targets[int(s.offset)%benchAddresses]
	s.Arrive(s.source, s.offset, []protocol.Envelope{{Target: target, Invocation: s.value}}, 1000)
	s.offset++
}

// call takes the first address that is ready and answers its call.
func (s *bench) call(b *testing.B, answer func(c *Call) Effects) {
	m := s.ready[0]
	s.ready = s.ready[1:]
	c, err := s.Take(m, 1000, 1<<20, s.now)
	if err != nil {
		b.Fatal(err)
	}
	e := answer(c)
	if err := s.Check(c, &e); err != nil {
		b.Fatal(err)
	}
	if err := s.Apply(c, &e, s.now); err != nil {
		b.Fatal(err)
	}
	for _, m := range e.Messages {
		s.Deliver(m, 1000)
	}
}

func (s *bench) commit() {
	c := s.Cut("worker/nonce/1", s.now)
	s.cutRows += len(c.Rows)
	s.Committed()
}

func (s *bench) report(b *testing.B) {
	b.ReportMetric(float64(s.cutRows)/float64(b.N), "rows/op")
}

// BenchmarkRecord is one record through the loop: it arrives, is called, and its answer writes a state.
func BenchmarkRecord(b *testing.B) {
	s := newBench(b)
	answer := func(c *Call) Effects {
		return Effects{Mutations: []protocol.Mutation{{Name: "seen", Type: "t/long", Value: s.value}}}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.record()
		s.call(b, answer)
		if i%benchCut == benchCut-1 {
			s.commit()
		}
	}
	s.report(b)
}

// BenchmarkChain is a record whose function sends one message to another function, which is called before the cut.
func BenchmarkChain(b *testing.B) {
	s := newBench(b)
	next := protocol.TypeName{Namespace: "t", Name: "g"}
	send := func(c *Call) Effects {
		to := protocol.Address{Type: next, ID: c.Target.ID}
		return Effects{Messages: []protocol.Envelope{{Target: to, Invocation: s.value}}}
	}
	nothing := func(*Call) Effects { return Effects{} }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.record()
		s.call(b, send)
		s.call(b, nothing)
		if i%benchCut == benchCut-1 {
			s.commit()
		}
	}
	s.report(b)
}

// BenchmarkBacklog is a record that waits behind 50,000 others: with a wide window the cuts' progress rows weigh.
func BenchmarkBacklog(b *testing.B) {
	s := newBench(b)
	answer := func(c *Call) Effects {
		return Effects{Mutations: []protocol.Mutation{{Name: "seen", Type: "t/long", Value: s.value}}}
	}
	for range 50_000 {
		s.record()
	}
	b.ReportAllocs()
	inputs := 0
	for done := 0; b.Loop(); done++ {
		s.record()
		if inputs--; inputs < 0 {
			inputs = len(s.ready[0].head)
			s.call(b, answer)
		}
		if done%benchCut == benchCut-1 {
			s.commit()
		}
	}
	s.report(b)
}

// BenchmarkPending is an input that becomes a row at one cut and is done at the next.
func BenchmarkPending(b *testing.B) {
	s := newBench(b)
	nothing := func(*Call) Effects { return Effects{} }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Deliver(protocol.Envelope{Target: s.targets[i%benchAddresses], Invocation: s.value}, 1000)
		if i%benchCut == benchCut-1 {
			s.commit()
			for len(s.ready) > 0 {
				s.call(b, nothing)
			}
		}
	}
	s.report(b)
}

// BenchmarkWideCut is one cut with a full window whose records are done here and there: the dearest progress row.
func BenchmarkWideCut(b *testing.B) {
	s := newBench(b)
	for range 65_536 {
		s.record()
	}
	nothing := func(*Call) Effects { return Effects{} }
	for i := range s.ready { // every other address is done, so every other record is
		if m := s.ready[0]; i%2 == 1 {
			s.call(b, nothing)
		} else {
			s.ready = append(s.ready[1:], m)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s.source.moved = true
		s.commit()
	}
}
