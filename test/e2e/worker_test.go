package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// readyLimit is how long a worker may take until it is ready: a wiped folder may leave a ghost of its former self in
// the group, which goes with the session time-out.
const readyLimit = 90 * time.Second

// stopLimit is the promise: a clean stop takes 10 s at most.
const stopLimit = 10 * time.Second

// app is one application under test on one broker.
type app struct {
	t       *testing.T
	cluster *cluster
	id      string
	module  string // file
	folder  string // of its state
	worker  string // its worker id
	program string
	mode    string // the program's first argument
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// newApp makes an application with a name of its own. It needs a module before a worker can start.
func newApp(t *testing.T, c *cluster) *app {
	t.Helper()
	name := strings.Trim(notWord.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	a := &app{
		t: t, cluster: c, program: needProgram(t), mode: "run", worker: "worker-1",
		id: fmt.Sprintf("%s-%x", name, time.Now().UnixMilli()&0xffffff),
	}
	a.folder = filepath.Join(t.TempDir(), "state")
	return a
}

// setModule writes the module for the next worker; %[1]s in it stands for the application's name and %[2]s for the
// broker's address.
func (a *app) setModule(documents ...string) {
	a.t.Helper()
	a.module = filepath.Join(a.t.TempDir(), "module.yaml")
	text := strings.NewReplacer("%[1]s", a.id, "%[2]s", a.cluster.addr()).Replace(strings.Join(documents, ""))
	if err := os.WriteFile(a.module, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// topic is the name of a topic of the application.
func (a *app) topic(suffix string) string { return a.id + "-" + suffix }

// worker is one started worker.
type worker struct {
	*child
	app       *app
	admin     string
	startedAt time.Time
}

// start starts a worker; it does not wait for anything.
func (a *app) start(extra ...string) *worker {
	a.t.Helper()
	args := append([]string{a.mode, "--module", a.module, "--brokers", a.cluster.addr(), "--application-id", a.id,
		"--state-dir", a.folder, "--admin-addr", "127.0.0.1:0", "--worker-id", a.worker}, extra...)
	w := &worker{app: a, startedAt: time.Now()}
	w.child = start(a.t, "worker", a.program, args...)
	return w
}

// startReady starts a worker and waits until it is ready.
func (a *app) startReady(extra ...string) *worker {
	a.t.Helper()
	w := a.start(extra...)
	w.awaitReady(readyLimit)
	return w
}

// address is where the worker's admin server listens; it waits for the line that says so.
func (w *worker) address() string {
	w.app.t.Helper()
	if w.admin == "" {
		line := w.awaitLine(w.app.t, 15*time.Second, `"admin":`)
		if w.admin = process.Attribute(line, "admin"); w.admin == "" {
			w.app.t.Fatalf("the worker's log names no admin address in %s", line)
		}
	}
	return w.admin
}

// probes never keep a connection: the worker may be killed at any time.
var probes = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get asks the admin server; status 0 means no answer.
func (w *worker) get(path string) (status int, body string) {
	resp, err := probes.Get("http://" + w.address() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (w *worker) ready() bool {
	status, _ := w.get("/readyz")
	return status == http.StatusOK
}

// awaitReady waits until /readyz says yes.
func (w *worker) awaitReady(limit time.Duration) {
	w.app.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !w.ready() {
		if w.Ended() {
			w.app.t.Fatalf("the worker ended (%v) before it was ready", w.Err())
		}
		if time.Now().After(deadline) {
			_, body := w.get("/readyz")
			w.app.t.Fatalf("the worker is not ready after %v: %s", limit, body)
		}
		<-tick.C
	}
}

// metric is the sum of all series of a metric whose name and labels hold all the parts.
func (w *worker) metric(parts ...string) float64 {
	w.app.t.Helper()
	status, body := w.get("/metrics")
	if status != http.StatusOK {
		w.app.t.Fatalf("get /metrics: %d %s", status, body)
	}
	sum := 0.0
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		line := lines.Text()
		name, value, ok := cutLast(line, " ")
		if !ok || strings.HasPrefix(line, "#") || !process.HoldsAll(name, parts) {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			sum += n
		}
	}
	return sum
}

func cutLast(s, sep string) (before, after string, ok bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return "", "", false
	}
	return s[:at], s[at+len(sep):], true
}

// stop asks the worker to leave and holds it to the promise: exit 0 in time.
func (w *worker) stop() time.Duration {
	w.app.t.Helper()
	began := time.Now()
	w.signal(syscall.SIGTERM)
	if code := w.exit(w.app.t, stopLimit+5*time.Second); code != 0 {
		w.app.t.Errorf("the worker left with exit code %d after SIGTERM, not 0", code)
	}
	took := time.Since(began)
	if took > stopLimit {
		w.app.t.Errorf("the worker took %v to stop, more than %v", took, stopLimit)
	}
	return took
}
