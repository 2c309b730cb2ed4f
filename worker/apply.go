package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
)

const (
	// firstPause and longestPause bound how long a parked address waits before it is tried again.
	firstPause   = 200 * time.Millisecond
	longestPause = time.Minute

	// mendPause is how long an address waits at most whose answer was refused by the topic of an egress record: the topic
	// may be mended at any time, and nobody else's failure tells when. mendShare keeps many of them from calling all the
	// time: a partition makes no more such calls than one in that time.
	mendPause = 5 * time.Second
	mendShare = 10 * time.Millisecond

	// roundsWithoutNews is how often a function may ask for states that it was sent already.
	roundsWithoutNews = 3
	// rounds is how often one batch may be answered by a request for states.
	rounds = 100
)

// answered takes a call back. A call of a task that is no longer the one running, or that was abandoned, is dropped
// with all its effects: another call of its inputs has been or will be made.
func (w *Worker) answered(a *answer) {
	c := a.call
	w.flight.remove(c)
	c.endpoint.flight--
	w.bodies.Applied(a.size)
	w.metrics.answered(a)
	p := w.partitions[c.task.Partition]
	if p == nil || p.task != c.task || p.stage != running || !c.task.Current(c.Call) || w.stopping {
		return
	}
	switch {
	case errors.Is(a.err, errStore): // this machine's fault, not the function's: its policy must not drop the input
		w.fail(a.err)
	case a.err != nil && isTooLarge(a.err) && c.task.Halve(c.Call):
		w.log.Debug("request body too large for the function, batch halved", "address", c.Target.String(), "inputs", c.Inputs())
	case a.err != nil:
		w.failed(a, a.err)
	case a.asked:
		w.again(a)
	default:
		if c.endpoint.learns(c) {
			c.endpoint.limit.observe(a.ended.Sub(c.Started), c.endpoint.flight, a.ended)
		}
		w.apply(p, a)
	}
}

// apply takes the effects of an answer as one step.
func (w *Worker) apply(p *partition, a *answer) {
	c := a.call
	if err := c.task.Check(c.Call, &a.effects); err != nil {
		w.failed(a, fmt.Errorf("%w: %w", errRefused, err))
		return
	}
	if err := c.task.Apply(c.Call, &a.effects, w.now); err != nil {
		w.fail(err)
		return
	}
	sender := w.metrics.function(a.Target.Type)
	for _, e := range a.effects.Messages {
		if w.send(p, e) {
			sender.sentThroughMailbox.Inc()
		} else {
			sender.sentLocal.Inc()
		}
	}
	sender.egress.Add(float64(len(a.records) + len(a.parcels)))
	for _, r := range a.records {
		w.collect(r)
	}
	for _, c := range a.parcels {
		w.stow(p, a.Target.ID, c)
	}
}

// again registers the states that a function misses and sends the same inputs once more.
func (w *Worker) again(a *answer) {
	c := a.call
	news, err := w.registry.Register(c.Target.Type, a.missing)
	if err == nil && c.Rounds >= rounds || news == 0 && c.Rounds >= roundsWithoutNews {
		err = errors.New("the function keeps asking for states that it was sent")
	}
	if err != nil {
		w.failed(a, fmt.Errorf("%w: %w", errRefused, err))
		return
	}
	c.task.Again(c.Call)
	next := &call{Call: c.Call, task: c.task, endpoint: c.endpoint, ctx: w.epoch.ctx}
	next.Started = w.now
	c.endpoint.flight++
	w.flight.add(next)
	w.metrics.called(next)
	w.launch(next)
}

// failed parks the address, or ends its inputs when the endpoint's policy says so.
func (w *Worker) failed(a *answer, err error) {
	c := a.call
	if c.ctx.Err() != nil {
		return // abandoned with its epoch
	}
	if isDown(err) {
		c.task.Return(c.Call)
		return
	}
	attempts := c.Mailbox.Attempts() + 1
	policy := c.endpoint.spec.OnFailure
	if policy != module.FailureRetry && !errors.Is(err, invoker.ErrNoRoom) { // the call has used up its budget or its attempts
		if refusedBatch(err) && c.task.Halve(c.Call) {
			w.log.Warn("call failed, its inputs are tried in smaller batches to find the one", "address", c.Target.String(), "inputs", c.Inputs(), "error", err)
			return
		}
		w.giveUp(c, policy, err)
		return
	}
	wait := parkedFor(attempts, c.task.Parked(), err)
	wait += time.Duration(rand.Int64N(int64(wait) / 4))
	w.log.Warn("call failed, address is parked", "address", c.Target.String(), "inputs", c.Inputs(), "attempts", attempts,
		"retry_in", wait.Round(time.Millisecond).String(), "error", err)
	if attempts > 1 && taken(err) { // the first time it may be chance
		c.Narrow() // a batch that no call gets through as a whole must not keep its address for ever
	}
	c.task.Failed(c.Call, w.now.Add(wait))
}

// parkedFor is how long an address waits after so many failures, beside others that are parked.
func parkedFor(attempts, parked int, err error) time.Duration {
	wait := min(firstPause<<min(attempts-1, 20), longestPause)
	if isMendable(err) {
		wait = min(wait, max(mendPause, mendShare*time.Duration(parked)))
	}
	return wait
}

// isMendable tells an answer that may be taken when it comes again.
func isMendable(err error) bool {
	var why *egress.Refusal
	return errors.As(err, &why) && why.Mendable()
}

// refusedBatch tells a failure that one input of a batch may have caused from one of the endpoint as a whole, where
// every smaller batch would only use up the budget again. A connection that is dropped to the last attempt is how a
// function's process ends that crashes over its input, and how some servers refuse a body for its size; a server that is
// away lets nobody connect.
func refusedBatch(err error) bool {
	var call *invoker.Error
	if errors.Is(err, errRefused) || !errors.As(err, &call) {
		return errors.Is(err, errRefused)
	}
	switch call.Kind {
	case invoker.KindFunction, invoker.KindPanic, invoker.KindAnswerTooLarge, invoker.KindClosed:
		return true
	case invoker.KindStatus:
		return !call.Busy()
	}
	return false
}

// taken tells a failure after which fewer inputs may be answered: the function was reached, and may have been given more
// than it can do in the time of a call.
func taken(err error) bool {
	var call *invoker.Error
	if refusedBatch(err) || !errors.As(err, &call) {
		return refusedBatch(err)
	}
	switch call.Kind {
	case invoker.KindWriteTimeout, invoker.KindReadTimeout, invoker.KindCallTimeout:
		return true
	}
	return false
}

// giveUp ends the inputs of a call by policy.
func (w *Worker) giveUp(c *call, policy string, err error) {
	w.log.Error("call failed for good", "address", c.Target.String(), "inputs", c.Inputs(), "policy", policy, "error", err)
	for _, d := range c.task.Drop(c.Call) {
		if policy != module.FailureSkip {
			w.deadLetterInput(d, err)
		}
	}
}
