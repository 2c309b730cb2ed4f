package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// lookAgain is the pause between two looks at something that has to become true.
	lookAgain = 20 * time.Millisecond
	// fleetPatience bounds every such wait: a restore of a million addresses takes seconds.
	fleetPatience = 2 * time.Minute
)

// fleetPlan is what the workers of a fleet have in common.
type fleetPlan struct {
	workers    int
	partitions int
	batch      int // inputs that one call may carry
	inFlight   int // calls of one worker; 0: the worker's default
	standbys   int
	session    time.Duration // 0: the worker's default
}

// fleet is several workers of one application, each with a name and a folder of its own.
type fleet struct {
	*run
	fleetPlan
	module string
	crew   []*worker
	gone   time.Duration // processor time of processes that have ended
	peak   int64         // resident bytes, the highest of all that were looked at
}

// worker is one of a fleet, over all its starts.
type worker struct {
	name, dir string
	starts    int
	process   *measured // of the last start
	away      bool      // ended on purpose
	admin     string    // address, empty until the process has said it
}

// newFleet makes the topics, starts function and reader, and starts all workers.
func (l *lab) newFleet(ctx context.Context, s system, j job, plan fleetPlan) (*fleet, error) {
	j.partitions = plan.partitions
	r, err := l.newRun(ctx, s, j)
	if err != nil {
		return nil, err
	}
	f := &fleet{run: r, fleetPlan: plan}
	if f.module, err = r.writeModule(plan.batch, plan.properties(), plan.application()); err != nil {
		return nil, errors.Join(err, f.end())
	}
	for n := range plan.workers {
		name := "worker-" + strconv.Itoa(n)
		w := &worker{name: name, dir: filepath.Join(r.dir, name)}
		f.crew = append(f.crew, w)
		if err := f.start(w); err != nil {
			return nil, errors.Join(err, f.end())
		}
	}
	return f, nil
}

func (p fleetPlan) properties() string {
	if p.session == 0 {
		return ""
	}
	return fmt.Sprintf("  properties:\n    - session.timeout.ms: %d\n", p.session.Milliseconds())
}

func (p fleetPlan) application() string {
	text := fmt.Sprintf("---\nkind: statefun-kafka.v1/application\nspec:\n  partitions: %d\n", p.partitions)
	if p.standbys > 0 {
		text += fmt.Sprintf("  standbyReplicas: %d\n", p.standbys)
	}
	if p.inFlight > 0 {
		text += fmt.Sprintf("  limits:\n    inFlight: %d\n", p.inFlight)
	}
	return text
}

func (f *fleet) start(w *worker) (err error) {
	w.starts++
	w.admin, w.away = "", false
	cmd := exec.Command(f.lab.worker, "run", "--module", f.module, "--brokers", f.lab.brokers, "--log-format", "json",
		"--state-dir", w.dir, "--admin-addr", "127.0.0.1:0", "--worker-id", w.name)
	w.process, err = startMeasured(cmd, filepath.Join(f.dir, fmt.Sprintf("%s-%d.log", w.name, w.starts)))
	return err
}

// halt ends a worker by the signal and waits for its end.
func (f *fleet) halt(w *worker, signal syscall.Signal) error {
	f.look(w)
	w.away = true
	if err := syscall.Kill(-w.process.PID(), signal); err != nil {
		return fmt.Errorf("send %v to %s: %w", signal, w.name, err)
	}
	select {
	case <-w.process.Done():
	case <-time.After(stopGrace):
		return fmt.Errorf("%s did not end within %v after %v; its log ends with\n%s", w.name, stopGrace, signal, w.process.tail())
	}
	f.gone += w.process.Used()
	return nil
}

// look notes how much memory a worker has taken at most.
func (f *fleet) look(w *worker) usage {
	u, err := w.process.usage()
	if err != nil {
		return usage{} // It is on its way out; what it used is counted when it has ended.
	}
	f.peak = max(f.peak, u.PeakRSS)
	return u
}

// ledger reads the books with all workers for the process under measure.
func (f *fleet) ledger() (ledger, error) {
	l, err := f.run.ledger()
	l.process = f.gone
	for _, w := range f.crew {
		if !w.away {
			l.process += f.look(w).CPU
		}
	}
	l.peakRSS = f.peak
	return l, err
}

// end stops all workers and whatever else runs; it may be called twice.
func (f *fleet) end() error {
	for _, w := range f.crew {
		if w.process != nil {
			w.process.stop()
		}
	}
	return f.run.end()
}

// await waits until done is closed. A worker that ends by itself ends the wait.
func (f *fleet) await(ctx context.Context, what string, done <-chan struct{}, patience time.Duration) error {
	return f.until(ctx, what, patience, func() (string, error) {
		select {
		case <-done:
			return "", nil
		default:
			return fmt.Sprintf("%d outputs so far", f.reader.progress()), nil
		}
	})
}

// until asks again and again what is lacking, until nothing is.
func (f *fleet) until(ctx context.Context, what string, patience time.Duration, lacking func() (string, error)) error {
	late := time.Now().Add(patience)
	for {
		lack, err := lacking()
		if err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if lack == "" {
			return nil
		}
		if err := f.alive(); err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		if time.Now().After(late) {
			return fmt.Errorf("wait for %s: not after %v: %s\n%s", what, patience, lack, f.tails())
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fleet) alive() error {
	for _, w := range f.crew {
		select {
		case <-w.process.Done():
			if !w.away {
				return fmt.Errorf("%s ended by itself: %w; its log ends with\n%s", w.name, w.process.Err(), w.process.tail())
			}
		default:
		}
	}
	return nil
}

func (f *fleet) tails() string {
	var text strings.Builder
	for _, w := range f.crew {
		fmt.Fprintf(&text, "the log of %s ends with\n%s\n", w.name, w.process.tail())
	}
	return text.String()
}

// get asks the worker's admin server; status 0: it does not answer yet.
func (f *fleet) get(ctx context.Context, w *worker, path string) (status int, body string) {
	if w.admin == "" {
		w.admin = adminAddress(w.process.Log)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.admin+path, nil)
	if err != nil || w.admin == "" {
		return 0, ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(b)
}

// adminAddress finds in a worker's log where its admin server listens; empty when it has not said so yet.
func adminAddress(log string) string {
	file, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct{ Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Admin != "" {
			return line.Admin
		}
	}
	return ""
}
