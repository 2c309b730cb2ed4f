package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// job is what a run has to do.
type job struct {
	scenario   string
	in         string // topic of the inputs
	target     string // function that they go to
	perSecond  int    // 0: a drain
	work       *workload
	partitions int      // of the egress topic
	flags      []string // of the process with the functions
}

// run is one system on one scenario: its topics, its folder, the function beside it.
type run struct {
	job
	lab      *lab
	system   system
	name     string // also the consumer group
	dir      string
	out      string
	endpoint string
	function *measured
	process  *measured
	reader   *reader
	started  time.Time
}

// newRun makes the folder and the egress topic, and starts the function and the reader.
func (l *lab) newRun(ctx context.Context, s system, j job) (*run, error) {
	l.runs++
	name := fmt.Sprintf("%s-%s-%d", j.scenario, s.Name, l.runs)
	r := &run{job: j, lab: l, system: s, name: "bench-" + name, dir: filepath.Join(l.dir, name), out: "bench-out-" + name}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	if err := l.createTopic(ctx, r.out, j.partitions); err != nil {
		return nil, err
	}
	if s.Remote {
		if err := r.startFunction(); err != nil {
			return nil, errors.Join(err, r.end())
		}
	}
	var err error
	if r.reader, err = startReader(l.brokers, r.out, j.work); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

func (r *run) startFunction() error {
	pipe, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe for the function: %w", err)
	}
	defer pipe.Close()
	cmd := exec.Command(r.lab.function, append([]string{"--egress-topic", r.out}, r.flags...)...)
	cmd.Stdout = write
	r.function, err = startMeasured(cmd, filepath.Join(r.dir, "function.log"))
	write.Close()
	if err != nil {
		return err
	}
	first := make([]byte, 64)
	n, err := pipe.Read(first)
	if err != nil {
		return fmt.Errorf("wait for the function: %w\n%s", err, r.function.tail())
	}
	r.endpoint = "http://" + strings.TrimSpace(string(first[:n])) + "/functions"
	return nil
}

// start starts the system; the clock of start-up runs from here.
func (r *run) start() error {
	cmd, err := r.system.command(r)
	if err != nil {
		return err
	}
	r.started = time.Now()
	r.process, err = startMeasured(cmd, filepath.Join(r.dir, "system.log"))
	return err
}

// await waits for n outputs.
func (r *run) await(ctx context.Context, n int, patience time.Duration) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-r.reader.reached(n):
		return nil
	case <-r.process.Done():
		return fmt.Errorf("%s ended by itself: %w; its log ends with\n%s", r.system.Title, r.process.Err(), r.process.tail())
	case <-late.C:
		return fmt.Errorf("%s: %d of %d outputs after %v; its log ends with\n%s", r.system.Title, r.reader.progress(), n, patience, r.process.tail())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end stops whatever runs; it may be called twice.
func (r *run) end() error {
	if r.process != nil {
		r.process.stop()
		r.process = nil
	}
	if r.function != nil {
		r.function.stop()
		r.function = nil
	}
	if r.reader != nil {
		r.reader.stop()
	}
	if r.lab.keep {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// meter asks the function's process how many calls and invocations it has served.
func (r *run) meter() (calls, invocations int64, err error) {
	if r.function == nil {
		return 0, 0, nil
	}
	response, err := http.Get(strings.TrimSuffix(r.endpoint, "/functions") + "/meter")
	if err != nil {
		return 0, 0, fmt.Errorf("read the function's meter: %w", err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, 0, fmt.Errorf("read the function's meter: %w", err)
	}
	var m struct{ Calls, Invocations int64 }
	if err := json.Unmarshal(b, &m); err != nil {
		return 0, 0, fmt.Errorf("read the function's meter: %w", err)
	}
	return m.Calls, m.Invocations, nil
}
