package worker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// carriers are goroutines that carry calls, one after the other: on a new one each call would first grow its stack, which
// costs more than a small function does. A call is given to one that waits, else to a new one, so none ever waits behind a
// function that is slow.
type carriers struct {
	group *sync.WaitGroup
	next  chan *call // without a buffer
	idle  atomic.Int32
}

// idleCarriers is how many of them wait for a call at most.
const idleCarriers = 64

func newCarriers(group *sync.WaitGroup) *carriers {
	return &carriers{group: group, next: make(chan *call)}
}

// launch carries a call on a goroutine of its own for as long as it takes. Run waits for all of them, but for those in
// process not for ever: such a function ends when it likes.
func (w *Worker) launch(c *call) {
	k := w.remote
	if c.endpoint.spec.Transport.Kind == module.TransportInProcess {
		k = w.inProcess
	}
	select {
	case k.next <- c:
	default:
		spawnIn(k.group, func() { w.carryAll(k, c) })
	}
}

// carryAll carries a call, and then others that come until there are enough who wait.
func (w *Worker) carryAll(k *carriers, c *call) {
	defer func() {
		if c != nil { // else its address would wait for ever, and say nothing
			w.hand(&answer{call: c, err: errGoexit, ended: time.Now()})
		}
	}()
	for {
		w.carry(c)
		c = nil
		if k.idle.Add(1) > idleCarriers {
			k.idle.Add(-1)
			return
		}
		select {
		case c = <-k.next:
			k.idle.Add(-1)
		case <-w.done:
			return
		}
	}
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
	patience := time.NewTimer(time.Until(w.stopBegan().Add(stopTimeout)))
	defer patience.Stop()
	select {
	case <-over:
	case <-patience.C:
		w.log.Error("functions in process take no notice of the end of their context and are left to themselves, their answers are dropped", "after", stopTimeout.String())
	}
}
