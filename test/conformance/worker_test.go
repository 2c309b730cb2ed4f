package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// worker is one application and the process that runs it, if one does.
type worker struct {
	bench  *bench
	app    string
	module string // file
	folder string // of its state
	admin  string // address
	*process
}

// newWorker writes the module of an application; it starts nothing.
func (b *bench) newWorker(app string, documents ...string) (*worker, error) {
	w := &worker{bench: b, app: app, module: filepath.Join(b.folder, app+".yaml"), folder: filepath.Join(b.folder, app+"-state")}
	return w, w.write(documents...)
}

// write gives the next process of the worker its module.
func (w *worker) write(documents ...string) error {
	text := strings.NewReplacer("BROKER", w.bench.address, "APP", w.app).Replace(strings.Join(documents, ""))
	if err := os.WriteFile(w.module, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the module of %s: %w", w.app, err)
	}
	return nil
}

// begin starts a process and does not wait for it.
func (w *worker) begin() (err error) {
	w.process, err = launch(w.bench.program, "run", "--module", w.module, "--state-dir", w.folder,
		"--admin-addr", "127.0.0.1:0", "--worker-id", w.app, "--log-format", "json")
	return err
}

// start starts a process and waits until it is ready.
func (w *worker) start() error {
	if err := w.begin(); err != nil {
		return err
	}
	var err error
	if w.admin, err = w.logged(`"admin":"([^"]+)"`); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; {
		status, body := w.get("/readyz")
		if status == http.StatusOK {
			return nil
		}
		select {
		case <-w.done:
			return fmt.Errorf("worker %s ended (%w) before it was ready:\n%s", w.app, w.err, w.tail())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("worker %s is not ready after %v: %s\n%s", w.app, patience, body, w.tail())
		}
	}
}

// probes never keep a connection: the worker may be killed at any time.
var probes = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get asks the admin server; status 0 means no answer.
func (w *worker) get(path string) (status int, body string) {
	answer, err := probes.Get("http://" + w.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(all)
}

// metric is the sum of all series whose name and labels hold all the parts; ok is false when there is none.
func (w *worker) metric(parts ...string) (sum float64, ok bool) {
	_, body := w.get("/metrics")
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		series := lines.Text()[:at]
		if n, err := strconv.ParseFloat(lines.Text()[at+1:], 64); err == nil && holdsAll(series, parts) {
			sum, ok = sum+n, true
		}
	}
	return sum, ok
}

func holdsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// validate runs the command of that name on a module and returns its exit code and what it printed.
func (b *bench) validate(file string, flags ...string) (code int, printed string) {
	cmd := exec.Command(b.program, append([]string{"validate", file}, flags...)...)
	cmd.Env = append(os.Environ(), "STATEFUN_CONFORMANCE_SET=placed")
	out, _ := cmd.CombinedOutput() // a refusal is an error here, and what the caller looks for
	return cmd.ProcessState.ExitCode(), string(out)
}
