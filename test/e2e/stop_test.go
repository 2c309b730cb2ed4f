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

// TestSecondSignalExitsAtOnce sends SIGTERM twice under load; the worker must not finish anything, and lose nothing.
func TestSecondSignalExitsAtOnce(t *testing.T) {
	c := needBroker(t, kafka41)
	s := newScripted(t, c)
	w := s.app.startReady()
	const ids, inputs = 50, 20
	for i := range inputs {
		for id := range ids {
			c.send(t, s.input(fmt.Sprintf("id-%d", id), i))
		}
	}
	w.signal(syscall.SIGTERM)
	w.signal(syscall.SIGINT)
	began := time.Now()
	code := w.exit(t, stopLimit)
	t.Logf("exit code %d after %v", code, time.Since(began))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the second signal took %v", took)
	}
	w = s.app.startReady()
	for id := range ids {
		s.awaitProcessed(t, fmt.Sprintf("id-%d", id), inputs)
	}
	w.stop()
	s.checkLives()
}

// TestBrokerAway starts a worker before its broker, and takes the broker away again while the worker runs.
func TestBrokerAway(t *testing.T) {
	program := needProgram(t)
	for _, kind := range []string{kafka41, kafka39} {
		t.Run(kind, func(t *testing.T) {
			needBroker(t, kind) // skips when it is not asked for
			c, err := startBroker(kind, program)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.close)
			s := newScripted(t, c)
			c.send(t, s.input("one", 0))
			if err := c.real.Kill(); err != nil {
				t.Fatal(err)
			}
			w := s.app.start()
			checkAway(t, w)
			restart(t, c)
			w.awaitReady(readyLimit)
			s.awaitProcessed(t, "one", 1)
			for i, end := range []func() error{c.real.Kill, c.real.Stop} {
				c.send(t, s.input("one", 2*i+1))
				if err := end(); err != nil {
					t.Fatal(err)
				}
				await(t, 30*time.Second, "the worker to be unready", func() bool { return !w.ready() })
				restart(t, c)
				w.awaitReady(readyLimit)
				c.send(t, s.input("one", 2*i+2))
				s.awaitProcessed(t, "one", 2*i+3)
			}
			w.stop()
			s.checkLives()
		})
	}
}

// checkAway holds a worker without a broker to: waits, says so once, alive, unready.
func checkAway(t *testing.T, w *worker) {
	t.Helper()
	line := w.awaitLine(t, 15*time.Second, w.app.cluster.addr(), `"level":"WARN"`)
	t.Logf("says: %s", line)
	const watched = 3 * time.Second
	for end := time.Now().Add(watched); time.Now().Before(end); {
		if w.Ended() {
			t.Fatalf("the worker ended (%v) because its broker is away", w.Err())
		}
		if w.ready() {
			t.Fatal("ready without a broker")
		}
		if status, body := w.get("/healthz"); status != 200 {
			t.Fatalf("/healthz without a broker: %d %s", status, body)
		}
	}
	if n := w.Count(w.app.cluster.addr(), `"level":"WARN"`) + w.Count(`"level":"ERROR"`); n > 2 {
		t.Errorf("the worker complained %d times in %v", n, watched)
	}
}

func restart(t *testing.T, c *cluster) {
	t.Helper()
	if err := c.real.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

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
