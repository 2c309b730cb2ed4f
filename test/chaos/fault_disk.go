package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

func oldDisk(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		old := s.folder + "-old"
		h.run.check(os.RemoveAll(old))
		if h.random.IntN(2) == 0 {
			f.stop(s)
		} else {
			f.kill(s)
		}
		h.run.check(os.CopyFS(old, os.DirFS(s.folder)))
		f.start(s)
		f.awaitReady(h.ctx, s)
		h.pause(time.Second, 5*time.Second)
		f.kill(s)
		h.run.check(os.RemoveAll(s.folder))
		h.run.check(os.Rename(old, s.folder))
		h.note("%s", s.name)
		process.Pause(h.ctx, h.soonOrLate())
		f.start(s)
	})
}

const (
	// smallDisk is more than a store needs to open and gets filled later; tinyDisk is too small from the start.
	smallDisk, tinyDisk = "24m", "64k"
	// fullFor is how long a worker may take to notice; it needs the disk seldom.
	fullFor = 4 * time.Second
)

// diskFull runs a worker on a small disk, which is lost with it: its next start has the old one.
func diskFull(h *hazard) {
	if h.run.options.noBox != nil {
		h.run.skipped(h.kind)
		return
	}
	h.withWorker(func(f *fleet, s *slot) {
		f.kill(s)
		real := s.folder
		s.folder, s.size = real+"-small", tinyDisk
		tiny := h.random.IntN(2) == 0
		if !tiny {
			s.size = smallDisk
		}
		f.start(s)
		s.worker.told.Store(true) // it may end
		if !tiny {
			f.awaitReady(h.ctx, s)
			h.pause(0, 2*time.Second)
			if err := fill(s.worker, s.folder); err != nil {
				h.run.fail(fmt.Errorf("fill the disk of %s: %w", s.name, err))
			}
		}
		h.note("%s, full from the start: %v", s.name, tiny)
		h.endFull(s)
		s.folder, s.size = real, ""
		process.Pause(h.ctx, h.soonOrLate())
		f.start(s)
	})
}

// endFull lets a worker find out that its disk is full. It must not take the disk's fault for its own: what it says
// has to name the disk.
func (h *hazard) endFull(s *slot) {
	w := s.worker
	byItself := w.AwaitEnd(fullFor)
	if !byItself {
		w.signal(syscall.SIGTERM)
		if !w.AwaitEnd(stopLimit) {
			if !h.run.cluster.disturbed(time.Now().Add(-stopLimit - sessionTimeout)) {
				h.run.violate("stop", "%s did not stop within %v on a full disk; its log is %s", s.name, stopLimit, w.Log)
			}
			w.signal(syscall.SIGQUIT)
			w.AwaitEnd(5 * time.Second)
		}
	}
	w.kill()
	named := w.Find("no space left") != ""
	h.note("%s ended by itself: %v, code %d, named the disk: %v", s.name, byItself, w.Code(), named)
	if byItself && !named {
		h.run.violate("end", "%s ended on a full disk with code %d and does not say so:\n%s", s.name, w.Code(), w.Tail(5))
	}
}

// fill writes to a folder in a process' own file system until nothing more goes in.
func fill(p *child, folder string) error {
	path := filepath.Join("/proc", fmt.Sprint(p.PID()), "root", folder, "ballast")
	file, err := os.Create(path)
	if err != nil {
		if p.Ended() {
			return nil
		}
		return err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 16
		}
	}
	return nil
}

// sameID starts a second worker under the name of a running one. One of them must end and say why; the other goes on.
func sameID(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		other := s.folder + "-other"
		h.run.check(os.RemoveAll(other))
		h.contest(f, s, other, s.name)
	})
}

// copiedDisk starts a second worker on a copy of a running worker's disk, as a supervisor with a wrong mount does.
func copiedDisk(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		other := s.folder + "-copy"
		h.run.check(os.RemoveAll(other))
		f.kill(s)
		h.run.check(os.CopyFS(other, os.DirFS(s.folder)))
		f.start(s)
		f.awaitReady(h.ctx, s)
		h.pause(0, time.Second)
		began := time.Now()
		h.contest(f, s, other, "")
		if s.folder == other && !h.run.cluster.disturbed(began.Add(-sessionTimeout)) {
			h.run.violate("name", "a worker on a copy of the disk of %s took its name away instead of being refused", s.name)
		}
	})
}

// contestLimit is how long two workers of one name may go on.
const contestLimit = 15 * time.Second

// contest starts a second worker for the slot, on a folder of its own, and waits until one of the two has ended.
func (h *hazard) contest(f *fleet, s *slot, folder, name string) {
	first, began := s.worker, time.Now()
	first.told.Store(true)
	second, err := f.launch(s, f.log(s.name+"-second"), folder, name, nil)
	if err != nil {
		h.run.fail(err)
		return
	}
	defer first.told.Store(false)
	for !first.Ended() && !second.Ended() && process.Pause(h.ctx, 20*time.Millisecond) {
		if time.Since(began) > contestLimit && !h.run.cluster.disturbed(began) {
			h.run.violate("name", "two workers called %s run side by side for %v; their logs are %s and %s", s.name, contestLimit, first.Log, second.Log)
			break
		}
		if time.Since(began) > 3*contestLimit {
			break
		}
	}
	process.Pause(h.ctx, sessionTimeout) // the one that is left must stay
	h.settleContest(f, s, first, second, folder)
}

func (h *hazard) settleContest(f *fleet, s *slot, first, second *child, folder string) {
	for which, p := range map[string]*child{"first": first, "second": second} {
		if p.Ended() {
			h.note("the %s %s ended with code %d", which, s.name, p.Code())
			if p.Find("name") == "" && p.Find("copied") == "" {
				h.run.violate("name", "the %s of two workers called %s ended and does not say why:\n%s", which, s.name, p.Tail(5))
			}
		}
	}
	switch {
	case first.Ended() && second.Ended():
		h.run.violate("name", "both workers called %s ended; their logs are %s and %s", s.name, first.Log, second.Log)
		f.start(s)
	case first.Ended():
		s.worker, s.folder = second, folder
	default:
		second.kill()
	}
}
