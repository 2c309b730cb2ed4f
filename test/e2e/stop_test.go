package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestStopWhileAFunctionHangs stops a worker that waits for an answer which will not come: it leaves in time and
// cleanly, and the next one takes up what was unfinished.
func TestStopWhileAFunctionHangs(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		s := newScripted(t, c)
		w := s.app.startReady()
		s.faults.set("hangs", hanging)
		for i := range 3 {
			c.send(t, s.input("hangs", i), s.input("healthy", i))
		}
		await(t, 20*time.Second, "a hanging call", func() bool { return s.faults.count("hangs") > 0 })
		s.awaitProcessed(t, "healthy", 3)
		t.Logf("stopped in %v", w.stop())
		s.faults.set("hangs", nil)
		c.send(t, s.input("healthy", 3))
		w = s.app.startReady()
		s.awaitProcessed(t, "hangs", 3)
		s.awaitProcessed(t, "healthy", 4)
		w.stop()
		s.checkLives()
	})
}

// TestStopWhileTheBrokerStandsStill stops a worker whose commit cannot end: it leaves in time all the same. A second signal
// ends such a worker at once. Nothing is lost either way.
func TestStopWhileTheBrokerStandsStill(t *testing.T) {
	c := ownBroker(t, kafka41, nil)
	s := newScripted(t, c)
	const ids = 50
	began := 0
	stalled := func() *worker {
		w := s.app.startReady()
		for id := range ids {
			c.send(t, s.input(fmt.Sprintf("id-%d", id), began))
		}
		began++
		if err := c.real.Stall(); err != nil {
			t.Fatal(err)
		}
		w.signal(syscall.SIGTERM)
		w.awaitLine(t, stopLimit, `"msg":"stopping`)
		return w
	}
	resume := func() {
		if err := c.real.Resume(); err != nil {
			t.Fatal(err)
		}
	}

	w := stalled()
	at := time.Now()
	if code, took := w.exit(t, stopLimit+5*time.Second), time.Since(at); code != 0 || took > stopLimit {
		t.Errorf("one signal ended the worker with %d after %v, want 0 within %v", code, took, stopLimit)
	}
	resume()

	w = stalled()
	select {
	case <-w.Done():
		t.Fatalf("the worker ended (%v) before the second signal, which shows nothing then", w.Err())
	case <-time.After(500 * time.Millisecond): // it is in the middle of its stop
	}
	w.signal(syscall.SIGINT)
	at = time.Now()
	if code, took := w.exit(t, stopLimit), time.Since(at); code != exitInterrupted || took > time.Second {
		t.Errorf("the second signal ended the worker with %d after %v, want %d at once", code, took, exitInterrupted)
	}
	resume()

	w = s.app.startReady()
	for id := range ids {
		s.awaitProcessed(t, fmt.Sprintf("id-%d", id), began)
	}
	w.stop()
	s.checkLives()
}

// exitInterrupted is what a shell says of a program that an interrupt ended.
const exitInterrupted = 128 + int(syscall.SIGINT)

// TestStall stops a worker with SIGSTOP for longer than any session, and lets it go on: what it had begun must not be
// seen twice, and it must find its way back.
func TestStall(t *testing.T) {
	c := needBroker(t, kafka41)
	s := newScripted(t, c)
	w := s.app.startReady()
	const ids = 30
	round := func(n int) {
		for id := range ids {
			c.send(t, s.input(fmt.Sprintf("id-%d", id), n))
		}
	}
	round(0)
	w.signal(syscall.SIGSTOP)
	round(1)
	time.Sleep(stallLength)
	w.signal(syscall.SIGCONT)
	round(2)
	for id := range ids {
		s.awaitProcessed(t, fmt.Sprintf("id-%d", id), 3)
	}
	w.awaitReady(readyLimit)
	w.stop()
	s.checkLives()
}

// stallLength is longer than the session time-out of the worker.
const stallLength = 15 * time.Second
