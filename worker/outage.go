package worker

import (
	"errors"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// outage is an endpoint's being down for everybody: its circuit is open. Its inputs wait on disk then, so that they
// hold no position and no memory, and what is for other endpoints is read on.
type outage struct {
	on      bool
	waiting []*task.Mailbox // ready addresses whose inputs are still to be held

	// suspects are ready addresses that failed themselves. They are probes only when there is no other: a few poisoned
	// ones may have opened the circuit, and one that is well would wait for the failures of all of them.
	suspects queue
}

// add notes an address that became ready.
func (o *outage) add(m *task.Mailbox) {
	if o.on {
		o.waiting = append(o.waiting, m)
	}
}

// isDown tells a call that ended because its endpoint's circuit is open. What it failed with is not its address' fault.
func isDown(err error) bool {
	var call *invoker.Error
	return errors.As(err, &call) && call.Down
}

// holdOutages follows the circuits. Inputs become rows in portions, or a transaction of them would not end in time.
func (w *Worker) holdOutages() {
	for _, e := range w.endpoints {
		o := &e.outage
		switch open := e.circuit.Open(); {
		case open && !o.on:
			o.on = true
			for i := range e.queues {
				o.waiting = append(o.waiting, e.queues[i].waiting...)
			}
			o.waiting = append(o.waiting, o.suspects.waiting...)
			// What the function could do at once before says nothing about what it can do when it comes back.
			e.limit = newLimit(e.limit.most)
		case !open && (o.on || len(o.suspects.waiting) > 0):
			e.queues[other].waiting = append(e.queues[other].waiting, o.suspects.waiting...)
			*o = outage{}
		}
		inputs := 0
		for len(o.waiting) > 0 && inputs < w.Module.Application.Limits.TransactionEffects/4 {
			m := o.waiting[0]
			o.waiting = o.waiting[1:]
			if p := w.partitions[m.Task.Partition]; p != nil && p.task == m.Task && p.stage == running {
				inputs += m.Task.Hold(m)
			}
		}
	}
}

// nextProbe is when the loop has to wake up to look whether an endpoint is back; zero: not.
func (w *Worker) nextProbe() (at time.Time) {
	for _, e := range w.endpoints {
		if next := e.circuit.NextProbe(); e.ready() > 0 && next.After(w.now) && (at.IsZero() || next.Before(at)) {
			at = next
		}
	}
	return at
}
