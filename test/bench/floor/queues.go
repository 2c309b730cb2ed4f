package main

import (
	"sync"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// origin tells whether an input counts against the read-ahead.
type origin bool

const (
	fromTopic    origin = true
	fromFunction origin = false
)

// input is one invocation that waits for its call.
type input struct {
	invocation []byte
	origin     origin
}

// instance is one address: its inputs, its state, and whether a call for it is in flight.
type instance struct {
	address protocol.Address
	inputs  []input
	states  []protocol.StateValue
	busy    bool // in the ready queue or in a call
}

// queues hold the inputs by address. The addresses with inputs and without a call queue up, first come first served.
type queues struct {
	readAhead, batch int

	mu        sync.Mutex
	instances map[protocol.Address]*instance
	ready     []*instance
	head      int // next of ready
	waiting   int // inputs of the topic that no call has taken
	closed    bool
	some      sync.Cond // ready got longer
	room      sync.Cond // waiting got smaller
}

func newQueues(readAhead, batch int) *queues {
	q := &queues{readAhead: readAhead, batch: batch, instances: map[protocol.Address]*instance{}}
	q.some.L, q.room.L = &q.mu, &q.mu
	return q
}

// add queues one input; one from the topic waits while the read-ahead is used up. It is false after close.
func (q *queues) add(to protocol.Address, invocation []byte, from origin) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if from == fromTopic {
		for q.waiting >= q.readAhead && !q.closed {
			q.room.Wait()
		}
		q.waiting++
	}
	if q.closed {
		return false
	}
	in := q.instances[to]
	if in == nil {
		in = &instance{address: to}
		q.instances[to] = in
	}
	in.inputs = append(in.inputs, input{invocation, from})
	if !in.busy {
		q.push(in)
	}
	return true
}

func (q *queues) push(in *instance) {
	in.busy = true
	if q.head > len(q.ready)/2 && q.head > 1024 {
		q.ready = append(q.ready[:0], q.ready[q.head:]...)
		q.head = 0
	}
	q.ready = append(q.ready, in)
	q.some.Signal()
}

// take waits for an address and returns it with the inputs of its next call, appended to batch[:0]; nil after close.
func (q *queues) take(batch [][]byte) (*instance, [][]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.ready) && !q.closed {
		q.some.Wait()
	}
	if q.closed {
		return nil, nil
	}
	in := q.ready[q.head]
	q.ready[q.head] = nil
	q.head++
	n := min(len(in.inputs), q.batch)
	batch = batch[:0]
	for _, i := range in.inputs[:n] {
		batch = append(batch, i.invocation)
		if i.origin == fromTopic {
			q.waiting--
		}
	}
	rest := copy(in.inputs, in.inputs[n:])
	clear(in.inputs[rest:])
	in.inputs = in.inputs[:rest]
	q.room.Signal()
	return in, batch
}

// done ends the call of in: it queues up again when inputs have come meanwhile.
func (q *queues) done(in *instance) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(in.inputs) > 0 {
		q.push(in)
	} else {
		in.busy = false
	}
}

func (q *queues) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Broadcast()
	q.room.Broadcast()
}
