package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

const (
	// answersAtOnce bounds the answers that are applied before the loop looks at the rest again.
	answersAtOnce = 64
	// timersAtOnce bounds the delayed messages that one partition fires before the loop looks at the rest again.
	timersAtOnce = 256
	// idle is how long the loop sleeps when nothing wakes it.
	idle = time.Second
)

// turn is the loop. It returns nil after a clean stop and an error when the worker cannot go on.
func (w *Worker) turn(ctx context.Context) error {
	wake := time.NewTimer(0)
	defer wake.Stop()
	stop := ctx.Done()
	var deadline <-chan time.Time
	for w.failure == nil {
		answers, batches := w.answers, w.batches
		if w.full() { // H10: what is collected fills a transaction; answers and records that cross wait until it is cut
			answers, batches = nil, nil
		}
		select {
		case a := <-answers:
			w.now = time.Now()
			w.answered(a)
			w.drain()
		case b := <-batches:
			w.now = time.Now()
			w.arrive(b)
		case f := <-w.posts:
			w.now = time.Now()
			f()
		case <-wake.C:
			w.now = time.Now()
		case <-stop:
			stop = nil
			deadline = time.After(lastCommitTimeout)
			w.now = time.Now()
			w.beginStop()
		case <-w.store.Failed():
			return fmt.Errorf("%w %s: %w", errStore, w.StateDir, w.store.Err())
		case <-deadline:
			w.log.Warn("the last commit takes too long and is left to the next start")
			return nil
		}
		again := w.step()
		if w.stopping && w.running == nil && !w.dirty() {
			return w.failure
		}
		wake.Reset(max(again.Sub(w.now), 0))
	}
	return w.failure
}

// drain applies the answers that wait already, up to a bound.
func (w *Worker) drain() {
	for range answersAtOnce {
		if w.full() {
			return
		}
		select {
		case a := <-w.answers:
			w.now = time.Now() // a delayed message counts from here
			w.answered(a)
		default:
			return
		}
	}
}

// step does what follows from any event: delayed messages, parked addresses, calls, a cut. It returns when to look
// again if nothing happens.
func (w *Worker) step() (again time.Time) {
	again = w.now.Add(idle)
	w.takeSettled()
	for _, p := range w.partitions {
		if p.stage != running || w.stopping {
			continue
		}
		if err := w.wakeTask(p); err != nil {
			w.fail(err)
			return again
		}
		if next := p.task.NextMillis(); next > 0 && !w.full() { // else what is due waits for the commit, which wakes the loop
			again = earlier(again, time.UnixMilli(next))
		}
	}
	if at := w.retake(); !at.IsZero() {
		again = earlier(again, at)
	}
	w.housekeep()
	w.dispatch()
	if at := w.nextProbe(); !at.IsZero() {
		again = earlier(again, at)
	}
	if at := w.maybeCut(); !at.IsZero() {
		again = earlier(again, at)
	}
	return again
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *Worker) wakeTask(p *partition) error {
	now := w.now.UnixMilli()
	if next := p.task.NextMillis(); next == 0 || next > now {
		return nil
	}
	p.task.Resume(now)
	if w.full() {
		return nil
	}
	due, err := p.task.Fire(now, timersAtOnce)
	for _, e := range due {
		w.send(p, e)
	}
	return err
}

// beginStop lets go of all that waits: readers and calls. What is applied goes into one more commit.
func (w *Worker) beginStop() {
	w.log.Info("stopping: what is applied is committed, calls in flight are left to the next owner", "in_flight", w.flight.count)
	w.stopping, w.stopped = true, w.now
	w.unready("stopping")
	w.barriers = nil
	for _, t := range w.takeovers {
		t.cancel()
	}
	for _, p := range w.partitions {
		if p.boxes != nil {
			p.endLanes() // what is delivered from now on could not be noted
		}
	}
	w.refetch()
	w.epoch.cancel()
}

// report says what readiness waits for.
func (w *Worker) report() {
	if w.stopping {
		return
	}
	waiting := 0
	for _, p := range w.partitions {
		if p.stage != running {
			waiting++
		}
	}
	w.metrics.partitions.WithLabelValues("running").Set(float64(len(w.partitions) - waiting))
	w.metrics.partitions.WithLabelValues("restoring").Set(float64(waiting))
	switch {
	case w.away != nil:
		w.unready("the brokers cannot be reached: " + w.away.Error())
	case w.captured == "":
		w.unready("not a member of the group yet")
	case waiting > 0:
		w.unready(fmt.Sprintf("%d of %d partitions are being restored", waiting, len(w.partitions)))
	case len(w.partitions) < len(w.assigned):
		w.unready("partitions are assigned and not taken over yet")
	case w.foreignAway() != "":
		w.unready(w.foreignAway())
	default:
		w.notReady.Store(nil)
	}
}

// openEndpoints prepares to call the endpoints of the module.
func (w *Worker) openEndpoints() error {
	w.byEndpoint = map[*module.Endpoint]*endpoint{}
	w.bodies = invoker.NewBodies(w.Module.Application.Limits.AnswerBytes)
	shared := invoker.Shared{Metrics: invoker.NewMetrics(w.Registerer), Bodies: w.bodies, Log: w.log}
	for i := range w.Module.Endpoints {
		spec := &w.Module.Endpoints[i]
		e := &endpoint{spec: spec, limit: newLimit(mostCalls(spec, w.Module.Application.Limits.InFlight))}
		caller, err := w.openCaller(spec, shared)
		if err != nil {
			return fmt.Errorf("module %s: endpoint %s: %w", spec.Position.File, spec.Functions, err)
		}
		e.call, e.close, e.circuit = caller.Call, caller.Close, caller.Circuit()
		w.endpoints, w.byEndpoint[spec] = append(w.endpoints, e), e
	}
	return nil
}

// caller calls the functions of one endpoint.
type caller interface {
	Call(ctx context.Context, target protocol.Address, request []byte) ([]byte, error)
	Circuit() *invoker.Circuit
	Close()
}

func (w *Worker) openCaller(e *module.Endpoint, s invoker.Shared) (caller, error) {
	if e.Transport.Kind != module.TransportInProcess {
		return invoker.New(e, s)
	}
	if w.Functions == nil {
		return nil, errors.New("it is called in process, and the worker was given no functions: set Config.Functions")
	}
	return invoker.NewInProcess(e, w.Functions, s), nil
}

// mostCalls is how many calls an endpoint can have in flight: a call without a connection would only wait for one.
func mostCalls(e *module.Endpoint, slots int) int {
	if e.Transport.Kind == module.TransportAsync && e.Transport.PoolSize > 0 {
		return min(slots, e.Transport.PoolSize)
	}
	return slots
}
