package worker

import (
	"strconv"
	"time"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

const (
	// housekeepEvery is how often the worker looks at what only time changes.
	housekeepEvery = 100 * time.Millisecond
	// sweepEvery is how often expired state is looked for.
	sweepEvery = time.Second
	// sweepsAtOnce bounds a sweep, which the loop waits for: 16 times 256 rows take a few milliseconds.
	sweepsAtOnce = 16
	// quietAfter is when an endpoint without calls counts as one that nobody sends to, and not as starved.
	quietAfter = 5 * time.Second
	// longestWait is how long an input may wait in its topic before it is copied into the changelog: topics delete (H7).
	longestWait = time.Minute
	// levelShare: a quiet partition is committed once in this part of the time that tombstones are kept, so that its
	// state on disk does not grow too old to be used (H15).
	levelShare = 8
	// unblockedAtOnce is how many records at the head of a full window are copied, in portions of a quarter of a
	// transaction.
	unblockedAtOnce = 4096
)

// housekeep keeps limits: windows, read budget, age of inputs, expired state, records of the mailbox.
func (w *Worker) housekeep() {
	if w.now.Sub(w.trimmed) >= trimEvery && !w.stopping {
		w.trim()
	}
	if w.now.Sub(w.housekept) < housekeepEvery || w.stopping {
		return
	}
	w.housekept = w.now
	slow := w.now.Sub(w.swept) >= sweepEvery
	if slow {
		w.swept = w.now
	}
	relief := int64(0)
	if w.budget.pressing() && w.starved() {
		relief = w.budget.limit / 4 / int64(max(len(w.partitions), 1))
	}
	if over := w.budget.held.Load() - w.budget.limit/4*5; over > 0 {
		// Local messages are never held back, so what is beyond the budget goes to the disk, needed soon or not.
		relief = max(relief, over/int64(max(len(w.partitions), 1)))
	}
	for _, p := range w.partitions {
		if p.stage != running {
			continue
		}
		if relief > 0 {
			p.task.Relieve(relief)
		}
		w.unblock(p, slow)
		if w.now.Sub(p.cutAt) > w.plan.TombstoneRetention/levelShare {
			p.task.Touch()
		}
		if slow {
			if err := w.sweep(p); err != nil {
				w.fail(err)
				return
			}
		}
	}
	w.holdOutages()
	w.unhold()
	w.measure()
}

// sweep deletes expired state of a partition, up to a bound.
func (w *Worker) sweep(p *partition) error {
	for range sweepsAtOnce {
		if end, err := p.task.Sweep(w.now); end || err != nil {
			return err
		}
	}
	return nil
}

// starved reports whether an endpoint could take more calls than it has inputs for. Only then is it worth copying
// inputs that wait for others, to read on.
func (w *Worker) starved() bool {
	for _, e := range w.endpoints {
		if e.ready() == 0 && e.flight < e.limit.now() && w.now.Sub(e.called) < quietAfter {
			return true
		}
	}
	return false
}

// unblock copies the inputs that hold up a source: by its full window, and by their age.
func (w *Worker) unblock(p *partition, slow bool) {
	most := w.Module.Application.Limits.RecordsPerSource
	portion := max(w.Module.Application.Limits.TransactionEffects/4/max(len(w.partitions), 1), 1)
	for _, s := range p.task.Sources() {
		switch {
		case s.Window() >= most*3/4 && (s.Open() <= s.Window()/4 || w.starved()): // a few hold up many that are done, or calls lack inputs
			p.task.Unblock(s, unblockedAtOnce, portion, 0)
		case slow && s.Window() > 0:
			p.task.Unblock(s, 0, portion, w.now.Add(-w.patience(s.Topic)).UnixMilli())
		}
	}
}

// patience is how long inputs of a topic may wait there.
func (w *Worker) patience(topic string) time.Duration {
	if f := w.foreignOf(topic); f != nil {
		t, _ := f.topic(topic)
		return min(longestWait, t.retention/4)
	}
	for _, t := range w.ingressTopics {
		if t.Name == topic {
			return min(longestWait, retention(t)/4)
		}
	}
	return longestWait
}

// retention is how long a topic keeps its records.
func retention(t topics.Topic) time.Duration {
	ms, err := strconv.ParseInt(t.Configs["retention.ms"], 10, 64)
	if err != nil || ms < 0 {
		return forever
	}
	return time.Duration(min(ms, forever.Milliseconds())) * time.Millisecond
}

// forever is longer than any process lives.
const forever = 100 * 365 * 24 * time.Hour

// measure sets the gauges that would cost too much to keep level with every step.
func (w *Worker) measure() {
	m := w.metrics
	m.held.Set(float64(w.budget.held.Load()))
	m.heldLimit.Set(float64(w.budget.limit))
	m.inFlight.Set(float64(w.flight.count))
	effects, bytes := w.collectedSize()
	m.collected.Set(float64(effects))
	m.collectedBytes.Set(float64(bytes))
	m.answerBytes.Set(float64(w.bodies.Held()))
	m.pausedSources.Set(float64(w.paused()))
	w.measureOutbox()
	m.backlogs(w.partitions, &w.flight)
	for _, e := range w.endpoints {
		name := e.spec.Functions.String()
		m.endpointReady.WithLabelValues(name).Set(float64(e.ready()))
		m.endpointLimit.WithLabelValues(name).Set(float64(e.limit.now()))
	}
	for id := range w.measured {
		if p := w.partitions[id]; p == nil || p.stage != running {
			delete(w.measured, id)
			m.forget(strconv.Itoa(int(id)))
		}
	}
	for _, p := range w.partitions {
		if p.stage != running {
			continue
		}
		w.measured[p.id] = true
		label := strconv.Itoa(int(p.id))
		rows := p.task.Rows()
		m.pending.WithLabelValues(label).Set(float64(rows.Pending))
		m.stored.WithLabelValues(label).Set(float64(rows.Bytes))
		m.parkedAddresses.WithLabelValues(label).Set(float64(p.task.Parked()))
		m.unserved.WithLabelValues(label).Set(float64(p.task.Shelved()))
		window := 0
		for _, s := range p.task.Sources() {
			window = max(window, s.Window())
		}
		m.window.WithLabelValues(label).Set(float64(window))
	}
}
