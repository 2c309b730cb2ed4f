package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/outbox"
)

// sink is the program's code that takes what functions send to it. At times it fails, panics, or does so when it has taken
// the message; some messages it refuses for ever.
type sink struct {
	*arrivals
	mu    sync.Mutex
	calls int
	dying *network      // of the process that is about to die
	dead  chan struct{} // closed when it has
}

func (k *sink) take(ctx context.Context, n *network, item outbox.Item) error {
	r, err := outbox.ParseRecord(item.Payload)
	if err != nil {
		k.s.t.Errorf("the sink got a row that is no message: %v", err)
		return nil
	}
	value := string(r.Value)
	if string(r.Key) != "test/alarm" || r.Topic != "" {
		k.s.t.Errorf("the sink got %s with the type %s and the topic %s", value, r.Key, r.Topic)
	}
	k.mu.Lock()
	k.calls++
	call := k.calls
	k.mu.Unlock()
	switch call % 151 {
	case 7:
		return errFlaky
	case 23:
		panic("the sink is unwell")
	case 41:
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.came("", item.ID, item.Sender, value)
	k.die(n)
	switch {
	case refusedBySink(value):
		return &outbox.Refusal{Reason: "refused", Certain: true, Err: errSinkRefuses}
	case call%151 == 61: // it has it, and nobody knows
		return errFlaky
	case call%151 == 79:
		panic("the sink is unwell behind a message")
	}
	return nil
}

var errSinkRefuses = errors.New("the sink takes no such message")

func refusedBySink(value string) bool {
	id, _, _ := parseOutput(value)
	return hash(id+"refused", 31) == 0
}

// die lets nothing of a process out any more when it is to die with a message delivered and its row not removed.
func (k *sink) die(n *network) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dying == n && n != nil {
		n.freeze()
		k.dying = nil
		close(k.dead)
	}
}

// killAtDelivery kills the process when the sink has the next message of it.
func (p *process) killAtDelivery() {
	k := p.s.sink
	k.mu.Lock()
	k.dying, k.dead = p.network, make(chan struct{})
	dead := k.dead
	k.mu.Unlock()
	came := p.s.await(dead)
	k.mu.Lock()
	k.dying = nil
	k.mu.Unlock()
	if came {
		p.kill()
		p.start()
	}
}

// checkDeadLetters: what the sink has refused for ever is there once, under its id, and nothing else is.
func (s *sim) checkDeadLetters() {
	seen := map[string]bool{}
	if s.sink != nil { // code of it that was left to itself may be at work
		s.sink.arrivals.mu.Lock()
		defer s.sink.arrivals.mu.Unlock()
	}
	s.eachRecord("app-dead-letter", func(r *kgo.Record) {
		value, id := string(r.Value), ""
		for _, h := range r.Headers {
			if h.Key == outbox.HeaderID {
				id = string(h.Value)
			}
		}
		switch {
		case s.sink == nil || !refusedBySink(value):
			s.t.Errorf("dead letter %s: %s", value, shownHeaders(r.Headers))
		case seen[id]:
			s.t.Errorf("dead letter %s is there twice", value)
		case s.sink.values[id] != value:
			s.t.Errorf("dead letter %s has the id %q: %s", value, id, shownHeaders(r.Headers))
		}
		seen[id] = true
	})
	for id, value := range s.committed {
		if s.sink != nil && refusedBySink(value) && !seen[s.sink.ids[value]] {
			s.t.Errorf("%s of input %s was refused and is no dead letter", value, id)
		}
	}
}
