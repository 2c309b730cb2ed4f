package worker

import (
	"context"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// endpoint has the addresses that are ready for one endpoint of the module and its calls in flight. Only the loop touches it.
type endpoint struct {
	spec    *module.Endpoint
	call    func(ctx context.Context, target protocol.Address, request []byte) ([]byte, error)
	close   func()
	queues  [2]queue // of ready addresses: those with inputs born inside since the last cut, and the others
	turns   int
	flight  int
	stalled int       // of them
	called  time.Time // last
	limit   limit
	circuit *invoker.Circuit
	outage  outage
}

// queue is first come first served.
type queue struct{ waiting []*task.Mailbox }

func (q *queue) push(m *task.Mailbox) { q.waiting = append(q.waiting, m) }

func (q *queue) pop() *task.Mailbox {
	m := q.waiting[0]
	q.waiting[0] = nil
	if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return m
}

const (
	fresh = 0 // index of the queue for inputs born inside since the last cut
	other = 1

	// otherShare gives every fourth call to the other queue. Fresh inputs come first because one that is done before
	// the next cut needs no pending row; a chain of functions then costs no copies, and gives its output early.
	otherShare = 4
)

// learns tells whether an answered call says how many calls the function can work on at once. One that hangs beside
// quick ones does not; where all take long, it does.
func (e *endpoint) learns(c *call) bool {
	return !c.stalled || e.limit.floor == 0 || e.limit.floor >= stalledAfter/2
}

func (e *endpoint) ready() int { return e.unsuspected() + len(e.outage.suspects.waiting) }

// unsuspected is the number of ready addresses that are not put last because of an outage.
func (e *endpoint) unsuspected() int {
	return len(e.queues[fresh].waiting) + len(e.queues[other].waiting)
}

// next takes the address that is called next.
func (e *endpoint) next() *task.Mailbox {
	if e.unsuspected() == 0 {
		return e.outage.suspects.pop()
	}
	e.turns++
	first := fresh
	if e.turns%otherShare == 0 {
		first = other
	}
	if len(e.queues[first].waiting) == 0 {
		first = 1 - first
	}
	return e.queues[first].pop()
}

func (e *endpoint) forget() {
	e.queues, e.outage.waiting, e.outage.suspects = [2]queue{}, nil, queue{}
}

// flight is the calls in flight of the worker, in the order they were made.
type flight struct {
	count       int
	first, last *call
	oldestLive  *call // the first call that is not stalled
}

// age marks the calls that have become stalled.
func (f *flight) age(now time.Time) {
	c := f.oldestLive
	if c == nil {
		c = f.first
	}
	for ; c != nil && now.Sub(c.Started) >= stalledAfter; c = c.next {
		if !c.stalled {
			c.stalled = true
			c.endpoint.stalled++
		}
	}
	f.oldestLive = c
}

// call is one invocation with its place in the order of the calls in flight. Its task.Call belongs to the goroutine
// that carries it, the rest to the loop.
type call struct {
	*task.Call
	task       *task.Task
	endpoint   *endpoint
	ctx        context.Context
	stalled    bool // counts for the worker's slots only, see flight.age
	prev, next *call
}

// stalledAfter is when a call no longer counts for the limit of its endpoint. The limit finds how many calls a function
// can work on at once; a call that hangs is none of them, and would keep the endpoint's other addresses waiting (P-3).
const stalledAfter = time.Second

func (f *flight) add(c *call) {
	f.count++
	if c.prev = f.last; f.last != nil {
		f.last.next = c
	} else {
		f.first = c
	}
	f.last = c
}

// young reports whether a call that began after t is in flight.
func (f *flight) young(t time.Time) bool { return f.last != nil && f.last.Started.After(t) }

func (f *flight) remove(c *call) {
	f.count--
	if c.stalled {
		c.endpoint.stalled--
	}
	if f.oldestLive == c {
		f.oldestLive = c.next
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		f.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		f.last = c.prev
	}
	c.prev, c.next = nil, nil
}

// ready queues a mailbox for its endpoint. A function that no endpoint serves, because the module has lost it or
// another worker's newer module has it already, keeps its inputs until a worker has the partition whose module serves
// it.
func (w *Worker) ready(m *task.Mailbox) {
	spec, served := w.router.Endpoint(m.Target.Type)
	if !served {
		m.Task.Shelve(m)
		if !w.unserved[m.Target.Type] {
			w.unserved[m.Target.Type] = true
			w.log.Warn("no endpoint of this worker's module serves a function: its inputs are kept until the partition is with a worker whose module does", "function", m.Target.Type.String(), "first_address", m.Target.String(), "metric", "statefun_worker_unserved_addresses")
		}
		return
	}
	e := w.byEndpoint[spec]
	e.outage.add(m)
	if m.Suspect() && e.circuit.Open() {
		e.outage.suspects.push(m)
		return
	}
	if m.Fresh() {
		e.queues[fresh].push(m)
		return
	}
	e.queues[other].push(m)
}

// dispatch makes calls for as long as there are ready addresses and slots. Because of H11 an endpoint holds at most
// half of the slots while others wait.
func (w *Worker) dispatch() {
	if w.stopping || w.bodies.Full() {
		return
	}
	w.flight.age(w.now)
	slots := w.Module.Application.Limits.InFlight
	waiting := 0
	for _, e := range w.endpoints {
		if e.ready() > 0 {
			waiting++
		}
	}
	for again := waiting > 0; again && w.flight.count < slots; {
		again = false
		for _, e := range w.endpoints {
			if e.ready() == 0 || w.flight.count >= slots || e.flight-e.stalled >= e.limit.now() {
				continue
			}
			if len(w.endpoints) > 1 && e.flight >= slots/2 {
				continue
			}
			if !e.circuit.Allows(w.now, e.flight-e.stalled) {
				continue
			}
			w.callNext(e, e.next())
			again = true
		}
	}
}

// callNext calls one mailbox.
func (w *Worker) callNext(e *endpoint, m *task.Mailbox) {
	t := m.Task
	p := w.partitions[t.Partition]
	if p == nil || p.task != t || p.stage != running {
		return // of a task that was lost or is being revoked
	}
	inputs := e.spec.MaxNumBatchRequests
	if inputs <= 0 {
		inputs = batchInputs
	}
	made, err := t.Take(m, inputs, int(w.Module.Application.Limits.BatchBytes), w.now)
	if err != nil {
		w.fail(err)
		return
	}
	if made == nil {
		return
	}
	c := &call{Call: made, task: t, endpoint: e, ctx: w.epoch.ctx}
	e.circuit.Began(w.now)
	e.flight++
	e.called = w.now
	w.flight.add(c)
	w.metrics.called(c)
	w.launch(c)
}

// batchInputs bounds a batch where the module sets no bound.
const batchInputs = 10000
