package main

import (
	"context"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// hazard is one fault under way.
type hazard struct {
	ctx    context.Context
	run    *run
	random *rand.Rand
	kind   string
}

// between is a random time.
func (h *hazard) between(from, to time.Duration) time.Duration {
	return from + time.Duration(h.random.Int64N(int64(to-from)))
}

func (h *hazard) pause(from, to time.Duration) { process.Pause(h.ctx, h.between(from, to)) }

func (h *hazard) note(format string, args ...any) { h.run.note(h.kind+": "+format, args...) }

// withWorker does something to a worker that no other fault has.
func (h *hazard) withWorker(do func(*fleet, *slot)) {
	s := h.run.fleet.take(h.ctx, h.random)
	if s == nil {
		h.note("no worker was free for it")
		h.run.skipped(h.kind)
		return
	}
	defer s.mu.Unlock()
	do(h.run.fleet, s)
}

// soonOrLate is how long a worker is away: not at all, a moment, or past its session.
func (h *hazard) soonOrLate() time.Duration {
	switch h.random.IntN(3) {
	case 0:
		return 0
	case 1:
		return h.between(100*time.Millisecond, time.Second)
	default:
		return sessionTimeout + h.between(0, time.Second)
	}
}

func kill(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		f.kill(s)
		away := h.soonOrLate()
		h.note("%s for %v", s.name, away.Round(time.Millisecond))
		process.Pause(h.ctx, away)
		f.start(s)
	})
}

func killTwice(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		f.kill(s)
		process.Pause(h.ctx, h.soonOrLate())
		f.start(s)
		if h.random.IntN(2) == 0 {
			h.pause(0, 600*time.Millisecond)
			h.note("%s in its start", s.name)
		} else {
			f.awaitReady(h.ctx, s)
			h.pause(0, 300*time.Millisecond)
			h.note("%s just when it was ready", s.name)
		}
		f.kill(s)
		process.Pause(h.ctx, h.soonOrLate())
		f.start(s)
	})
}

func killTakeover(h *hazard) {
	h.withWorker(func(f *fleet, first *slot) {
		h.withWorker(func(_ *fleet, second *slot) {
			if h.random.IntN(2) == 0 {
				f.stop(first) // its partitions move at once
				h.pause(0, 600*time.Millisecond)
			} else {
				f.kill(first)
				process.Pause(h.ctx, sessionTimeout)
				h.pause(0, 800*time.Millisecond)
			}
			f.kill(second)
			h.note("%s, then %s", first.name, second.name)
			process.Pause(h.ctx, h.soonOrLate())
			f.start(second)
			process.Pause(h.ctx, h.soonOrLate())
			f.start(first)
		})
	})
}

func stall(h *hazard) {
	h.withWorker(func(_ *fleet, s *slot) {
		d := sessionTimeout + h.between(500*time.Millisecond, 5*time.Second)
		h.note("%s for %v", s.name, d.Round(time.Millisecond))
		s.worker.signal(syscall.SIGSTOP)
		process.Pause(h.ctx, d)
		s.worker.signal(syscall.SIGCONT)
	})
}

func rolling(h *hazard) {
	f := h.run.fleet
	for _, s := range f.slots {
		s.mu.Lock()
		if s.running() {
			f.stop(s)
			f.start(s)
			f.awaitReady(h.ctx, s)
			h.note("%s is back", s.name)
		}
		s.mu.Unlock()
	}
}

func scale(h *hazard) {
	h.run.fleet.grow(h.ctx, mostWorkers)
	h.note("up to %d", mostWorkers)
	h.pause(2*time.Second, 6*time.Second)
	h.run.fleet.shrink(2)
	h.note("down to 2")
}

func wipe(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		f.kill(s)
		h.run.check(os.RemoveAll(s.folder))
		h.note("%s", s.name)
		process.Pause(h.ctx, h.soonOrLate())
		f.start(s)
	})
}
