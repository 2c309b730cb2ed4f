package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

const (
	// sessionTimeout is short, so that a run can be: a stall past it takes seconds.
	sessionTimeout = 3 * time.Second
	// readyLimit is how long a worker may take until it is ready while nothing else is wrong.
	readyLimit = 40 * time.Second
	// stopLimit is the promise: a clean stop takes 10 s at most.
	stopLimit = 10 * time.Second
	// startLimit is how long a process may take until it takes signals.
	startLimit = 5 * time.Second
	// restartPause is how long the supervisor waits before it starts a worker that ended by itself.
	restartPause = 500 * time.Millisecond
)

// slot is the place of one worker: its name, its disk and its way to the brokers. Whoever holds mu decides about it.
type slot struct {
	mu     sync.Mutex
	name   string
	folder string
	door   string
	worker *child // nil before the first start and after a wanted end
	size   string // of its disk; empty: as large as it gets
	began  time.Time
}

func (s *slot) running() bool { return s.worker != nil && !s.worker.Ended() }

// fleet is the workers of one run, and their supervisor.
type fleet struct {
	run     *run
	kills   atomic.Int64
	program string
	module  string
	slots   []*slot
	stopped chan struct{}
	ended   sync.WaitGroup
}

func newFleet(r *run, program, module string) *fleet {
	f := &fleet{run: r, program: program, module: module, stopped: make(chan struct{})}
	for i := range mostWorkers {
		name := fmt.Sprintf("w%d", i)
		f.slots = append(f.slots, &slot{
			name: name, folder: filepath.Join(r.dir, "state-"+name), door: r.cluster.doors[i].addr(),
		})
	}
	f.ended.Go(f.supervise)
	return f
}

// supervise starts workers again that ended by themselves, which none should: the run has failed by then, but what is
// lost beside it is of interest.
func (f *fleet) supervise() {
	tick := time.NewTicker(restartPause)
	defer tick.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-tick.C:
		}
		for _, s := range f.slots {
			if s.mu.TryLock() {
				f.revive(s)
				s.mu.Unlock()
			}
		}
	}
}

func (f *fleet) revive(s *slot) {
	if s.worker == nil || !s.worker.Ended() {
		return
	}
	if !s.worker.told.Load() {
		f.run.violate("end", "%s ended by itself with code %d; the end of its log %s:\n%s", s.name, s.worker.Code(), s.worker.Log, s.worker.Tail(6))
	}
	f.run.note("%s is started again by the supervisor", s.name)
	f.start(s)
}

func (f *fleet) close() {
	close(f.stopped)
	f.ended.Wait()
	for _, s := range f.slots {
		s.mu.Lock()
		if s.worker != nil {
			s.worker.kill()
		}
		s.mu.Unlock()
	}
}

// launch starts a worker for a slot on a folder; without a name it takes the one kept there. All workers of a run are of one
// kind: the command cannot run a module with functions in the process, so the two would not agree on their module.
func (f *fleet) launch(s *slot, log, folder, name string, change func(*exec.Cmd)) (*child, error) {
	args := []string{"run", "--admin-addr", "127.0.0.1:0"}
	if f.run.plan.embedded() {
		args = []string{modeProgram, "--dir", f.run.dir, "--appends", appendsOf(log), "--seed", fmt.Sprint(f.run.plan.Seed),
			"--rate", fmt.Sprint(appendShare * float64(f.run.options.Rate)), "--functions", f.run.functions.url()}
	}
	args = append(args, "--module", f.module, "--brokers", s.door, "--application-id", f.run.id, "--state-dir", folder,
		"--log-level", f.run.options.LogLevel)
	if name != "" {
		args = append(args, "--worker-id", name)
	}
	return launch(s.name, log, f.program, args, change)
}

// start starts the worker of a slot. The caller holds the slot.
func (f *fleet) start(s *slot) {
	var change func(*exec.Cmd)
	if s.size != "" {
		if err := os.MkdirAll(s.folder, 0o755); err != nil {
			f.run.fail(err)
			return
		}
		change = func(cmd *exec.Cmd) { box(cmd, s.folder, s.size) }
	}
	worker, err := f.launch(s, f.log(s.name), s.folder, s.name, change)
	if err != nil {
		f.run.fail(err)
		return
	}
	s.worker, s.began = worker, time.Now()
}

// log is the file of one process: one file each, because lines of an earlier one would be taken for its own.
func (f *fleet) log(name string) string {
	return filepath.Join(f.run.dir, fmt.Sprintf("%03d-%s.log", f.run.processes.Add(1), name))
}

// kill ends the worker of a slot with -9; start has to follow, or retire.
func (f *fleet) kill(s *slot) {
	if s.running() {
		f.kills.Add(1)
	}
	if s.worker != nil {
		s.worker.kill()
	}
}

// retire leaves the slot without a worker until somebody starts one.
func (f *fleet) retire(s *slot) { s.worker = nil }

// stop asks the worker of a slot to leave and holds it to the promise: code 0 in time.
func (f *fleet) stop(s *slot) {
	if !s.running() {
		return
	}
	w := s.worker
	w.Await(context.Background(), startLimit, `"admin":`) // a process that has hardly begun ends by any signal
	began := time.Now()
	w.told.Store(true)
	w.signal(syscall.SIGTERM)
	inTime := w.AwaitEnd(stopLimit)
	took := time.Since(began)
	if !inTime {
		w.signal(syscall.SIGQUIT) // its goroutines go to its log
		w.AwaitEnd(5 * time.Second)
		w.kill()
	}
	if f.run.cluster.disturbed(began.Add(-sessionTimeout)) {
		return // without a broker it may leave things behind
	}
	if !inTime {
		f.run.violate("stop", "%s did not stop within %v; its goroutines are in %s", s.name, stopLimit, w.Log)
	} else if w.Code() != 0 {
		f.run.violate("stop", "%s stopped after %v with code %d:\n%s", s.name, took.Round(time.Millisecond), w.Code(), w.Tail(5))
	}
}

// ready asks the worker of a slot.
func (s *slot) ready() bool {
	if !s.running() {
		return false
	}
	admin := process.Attribute(s.worker.Find(`"admin":`), "admin")
	if admin == "" {
		return false
	}
	answer, err := asking.Get("http://" + admin + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// awaitReady waits until the worker of a slot is ready, for as long as it lives.
func (f *fleet) awaitReady(ctx context.Context, s *slot) bool {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for !s.ready() {
		if !s.running() || !process.Pause(ctx, 10*time.Millisecond) {
			return false
		}
	}
	return true
}

// take picks a slot with a running worker that no other fault has, and holds it; nil when there is none for a while.
func (f *fleet) take(ctx context.Context, random *rand.Rand) *slot {
	ctx, cancel := context.WithTimeout(ctx, takeLimit)
	defer cancel()
	for {
		for _, i := range random.Perm(len(f.slots)) {
			s := f.slots[i]
			if !s.mu.TryLock() {
				continue
			}
			if s.running() {
				return s
			}
			s.mu.Unlock()
		}
		if !process.Pause(ctx, 20*time.Millisecond) {
			return nil
		}
	}
}

// takeLimit is how long a fault waits for a worker that no other fault is busy with.
const takeLimit = 15 * time.Second

// grow starts workers until n run; those under a fault count as running.
func (f *fleet) grow(ctx context.Context, n int) {
	for _, s := range f.slots[:n] {
		if !s.mu.TryLock() {
			continue
		}
		if !s.running() {
			f.start(s)
		}
		s.mu.Unlock()
		process.Pause(ctx, 50*time.Millisecond)
	}
}

// shrink stops workers until at most n are left.
func (f *fleet) shrink(n int) {
	for _, s := range f.slots[n:] {
		s.mu.Lock()
		f.stop(s)
		f.retire(s)
		s.mu.Unlock()
	}
}

// each runs do for all slots at once, each held.
func (f *fleet) each(do func(*slot)) {
	var all sync.WaitGroup
	for _, s := range f.slots {
		all.Go(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			do(s)
		})
	}
	all.Wait()
}
