package e2e

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// away is how long a broker is away, for a worker that would say so again and again.
const away = 3 * time.Second

// TestBrokerAway starts a worker before its broker, and takes the broker away again while the worker runs.
func TestBrokerAway(t *testing.T) {
	ends := map[string][]syscall.Signal{
		kafka41: {syscall.SIGKILL, syscall.SIGTERM}, kafka39: {syscall.SIGKILL, syscall.SIGTERM},
		embedded: {syscall.SIGTERM}, // a kill may tear its log
	}
	onEachKind(t, func(t *testing.T, kind string) {
		c := ownBroker(t, kind, nil)
		s := newScripted(t, c)
		c.send(t, s.input("one", 0))
		c.end(t, ends[kind][0])
		w := s.app.start()
		line := w.awaitLine(t, 15*time.Second, c.addr(), `"level":"WARN"`)
		t.Logf("says: %s", line)
		w.awaitUnready(t)
		checkAway(t, w, 0)
		c.restart(t)
		w.awaitReady(readyLimit)
		s.awaitProcessed(t, "one", 1)
		for i, end := range ends[kind] {
			c.send(t, s.input("one", 2*i+1))
			s.awaitProcessed(t, "one", 2*i+2)
			said := len(w.complaints())
			c.end(t, end)
			w.awaitUnready(t)
			checkAway(t, w, said)
			c.restart(t)
			w.awaitReady(readyLimit)
			c.send(t, s.input("one", 2*i+2))
			s.awaitProcessed(t, "one", 2*i+3)
		}
		w.stop()
		s.checkLives()
	})
}

// checkAway holds a worker without a broker to: waits, says so once, alive, unready. One that had partitions also says that they
// are lost. It had complained of some things before.
func checkAway(t *testing.T, w *worker, before int) {
	t.Helper()
	for end := time.Now().Add(away); time.Now().Before(end); {
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
	lines := w.complaints()[before:]
	named := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, w.app.cluster.addr()) })
	if len(named) != 1 || len(lines) > 2 {
		t.Errorf("the worker complained %d times in %v, %d times of its broker, not once: %q", len(lines), away, len(named), lines)
	}
}

func (w *worker) awaitUnready(t *testing.T) {
	t.Helper()
	await(t, 30*time.Second, "the worker to be unready", func() bool { return !w.ready() })
}

// complaints are the lines of all warnings and errors in the log, but for what is said of the module.
func (w *worker) complaints() (lines []string) {
	text, err := os.ReadFile(w.Log)
	if err != nil {
		w.app.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if slices.Contains([]string{"WARN", "ERROR"}, process.Attribute(line, "level")) && process.Attribute(line, "msg") != "module" {
			lines = append(lines, line)
		}
	}
	return lines
}
