package worker

import (
	"context"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// endpoint has the addresses that are ready for one endpoint of the module, first come first served, and its calls
// in flight. Only the loop touches it.
type endpoint struct {
	spec   *module.Endpoint
	call   func(ctx context.Context, fn protocol.TypeName, request []byte) ([]byte, error)
	close  func()
	ready  []*task.Mailbox
	flight int
	limit  limit
}

// flight is the calls in flight of the worker, in the order they were made.
type flight struct {
	count       int
	first, last *call
}

// call is one invocation with its place in the order of the calls in flight. Its task.Call belongs to the goroutine
// that carries it, the rest to the loop.
type call struct {
	*task.Call
	partition  *partition
	task       *task.Task
	endpoint   *endpoint
	ctx        context.Context
	prev, next *call
}

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

// ready queues a mailbox for its endpoint. A function that no endpoint serves any more keeps its inputs until the
// module serves it again.
func (w *Worker) ready(m *task.Mailbox) {
	spec, served := w.router.Endpoint(m.Target.Type)
	if !served {
		m.Task.Shelve(m)
		w.log.Warn("no endpoint of the module serves this function, its inputs are kept", "address", m.Target.String())
		return
	}
	e := w.byEndpoint[spec]
	e.ready = append(e.ready, m)
}

// dispatch makes calls for as long as there are ready addresses and slots. Because of H11 an endpoint holds at most
// half of the slots while others wait.
func (w *Worker) dispatch() {
	if w.stopping || w.answerBytes.Load() >= w.Module.Application.Limits.AnswerBytes {
		return
	}
	slots := w.Module.Application.Limits.InFlight
	waiting := 0
	for _, e := range w.endpoints {
		if len(e.ready) > 0 {
			waiting++
		}
	}
	for again := waiting > 0; again && w.flight.count < slots; {
		again = false
		for _, e := range w.endpoints {
			if len(e.ready) == 0 || w.flight.count >= slots || e.flight >= e.limit.now() {
				continue
			}
			if len(w.endpoints) > 1 && e.flight >= slots/2 {
				continue
			}
			m := e.ready[0]
			e.ready[0] = nil
			if e.ready = e.ready[1:]; len(e.ready) == 0 {
				e.ready = nil
			}
			w.callNext(e, m)
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
	c := &call{Call: made, partition: p, task: t, endpoint: e, ctx: w.epoch.ctx}
	e.flight++
	w.flight.add(c)
	w.metrics.called(c)
	w.spawn(func() { w.carry(c) })
}

// batchInputs bounds a batch where the module sets no bound.
const batchInputs = 10000
