package worker

import (
	"errors"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// launch carries a call on a goroutine of its own. Run waits for all of them, but for those in process not for ever: such
// a function ends when it likes.
func (w *Worker) launch(c *call) {
	if c.endpoint.spec.Transport.Kind != module.TransportInProcess {
		w.spawn(func() { w.carry(c) })
		return
	}
	spawnIn(&w.calls, func() {
		carried := false
		defer func() {
			if !carried { // else its address would wait for ever, and say nothing
				w.hand(&answer{call: c, err: errGoexit, ended: time.Now()})
			}
		}()
		w.carry(c)
		carried = true
	})
}

// errGoexit is the failure of a function that ended the goroutine on which it was called.
var errGoexit = &invoker.Error{Kind: invoker.KindPanic, URL: "in-process", Attempts: 1,
	Err: errors.New("the function ended its goroutine (runtime.Goexit, which the FailNow of a test calls too)")}

// awaitCalls waits for the functions in process, whose contexts have ended, until the time for a clean stop is over.
// One that takes no notice is left to itself: its answer would be dropped in any case.
func (w *Worker) awaitCalls() {
	over := make(chan struct{})
	go func() {
		w.calls.Wait()
		close(over)
	}()
	began := w.stopped
	if began.IsZero() { // the loop has failed
		began = time.Now()
	}
	patience := time.NewTimer(time.Until(began.Add(stopTimeout)))
	defer patience.Stop()
	select {
	case <-over:
	case <-patience.C:
		w.log.Error("functions in process take no notice of the end of their context and are left to themselves, their answers are dropped", "after", stopTimeout.String())
	}
}
