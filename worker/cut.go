package worker

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

const (
	// youngCall is how recently a call must have begun for a cut to wait for it (H12).
	youngCall = 5 * time.Millisecond

	// shortestWait is how long effects wait at least while young calls are in flight: less only makes
	// transactions smaller.
	shortestWait = 4 * time.Millisecond
)

// transaction is what was collected between two cuts. From its cut on it belongs to the goroutine that commits it,
// until it is posted back.
type transaction struct {
	id       string
	cutAt    time.Time
	parts    []part
	records  []*kgo.Record
	barriers []*barrier
	begun    map[int32]uint64 // paths that began to switch at this cut
	growths  []*growth        // whose sources have their progress rows among the rows
	effects  int
	captured string
	orphan   bool          // its partitions were lost while it ran
	ended    chan struct{} // closed when the loop has it back
}

// part is what a transaction does to one partition.
type part struct {
	id      int32
	task    *task.Task // nil: under restore
	rows    []state.Row
	offsets []sourceOffset
	guess   bool
	stowed  bool  // rows of the outbox are among them
	last    int64 // changelog offset of the last row, once acknowledged
}

// sourceOffset is what the group's offset of a source becomes.
type sourceOffset struct {
	topic     string
	partition int32
	offset    int64
}

// collectedSize is the number and the size of the effects that wait for the next cut.
func (w *Worker) collectedSize() (effects, bytes int) {
	effects, bytes = len(w.collected), w.bytes
	for _, p := range w.partitions {
		if p.task != nil {
			rows, size := p.task.Collected()
			effects, bytes = effects+rows, bytes+size
		}
	}
	return effects, bytes
}

// full reports whether answers must wait because a transaction's worth of effects is collected (H10).
func (w *Worker) full() bool {
	effects, bytes := w.collectedSize()
	limits := w.Module.Application.Limits
	return effects >= limits.TransactionEffects>>w.halvings || int64(bytes) >= limits.TransactionBytes>>w.halvings
}

// mostHalvings is how often the limit of a transaction is halved at most.
const mostHalvings = 6

// full reports whether a transaction came near the limit that held for it.
func full(tx *transaction, halvings int, limits module.Limits) bool {
	return tx.effects >= limits.TransactionEffects>>halvings/2
}

// dirty reports whether there is something to commit.
func (w *Worker) dirty() bool {
	if len(w.collected) > 0 || len(w.barriers) > 0 {
		return true
	}
	for _, p := range w.partitions {
		if p.task != nil && p.task.Touched() {
			return true
		}
	}
	return false
}

// maybeCut begins a transaction when it is time, and returns when to think of it again, zero for not by itself.
func (w *Worker) maybeCut() (again time.Time) {
	if w.running != nil {
		return again
	}
	if !w.dirty() {
		w.firstEffect = time.Time{}
		if w.wantSwitch() && !w.stopping {
			w.learnEnds(w.switchPaths())
		}
		return again
	}
	if w.firstEffect.IsZero() {
		w.firstEffect = w.now
	}
	if at := w.cutTime(); w.now.Before(at) {
		return at
	}
	w.cut()
	return again
}

// cutTime is when the collected effects are to be committed.
func (w *Worker) cutTime() time.Time {
	interval := w.lastCut.Add(w.Module.Application.CommitInterval)
	switch {
	case w.stopping || len(w.barriers) > 0 || w.full():
		return w.now
	case w.holding():
		return w.firstEffect.Add(switchPatience)
	case !w.flight.young(w.now.Add(-youngCall)):
		return interval
	}
	at := w.firstEffect.Add(max(shortestWait, 2*w.lastCommit))
	at = earlier(at, w.flight.last.Started.Add(youngCall)) // from when on nothing in flight is young
	if interval.After(at) {
		return interval
	}
	return at
}

// cut closes what is collected into a transaction and begins to commit it. It lies between two steps of the loop,
// so all effects of an answer are on one side of it.
func (w *Worker) cut() {
	w.counter++
	w.lookups.salt.Store(uint32(w.counter))
	tx := &transaction{
		id:    fmt.Sprintf("%s/%s/%d", w.names.worker, w.store.Identity().Nonce, w.counter),
		cutAt: w.now, captured: w.captured, barriers: w.barriers, ended: make(chan struct{}),
	}
	w.barriers = nil
	for _, b := range tx.barriers {
		tx.parts = append(tx.parts, b.parts(tx.id, w.names.worker, w.now)...)
	}
	for _, p := range w.partitions {
		if p.task == nil || !p.task.Touched() {
			continue
		}
		p.cutAt = w.now
		c := p.task.Cut(tx.id, w.now)
		part := part{id: p.id, task: p.task, rows: c.Rows, stowed: p.stowed}
		p.stowed = false
		for _, s := range p.task.Sources() {
			if !module.IsForeign(s.Topic) { // the group has nothing to do with another cluster
				part.offsets = append(part.offsets, sourceOffset{s.Topic, s.Partition, s.Written()})
			}
		}
		tx.parts = append(tx.parts, part)
		tx.effects += len(c.Rows)
	}
	tx.begun, tx.growths = w.switchPaths(), w.takeGrowths()
	tx.records = w.collected
	tx.effects += len(tx.records)
	w.collected, w.bytes, w.firstEffect, w.lastCut = nil, 0, time.Time{}, w.now
	w.running = tx
	w.metrics.effects.Observe(float64(tx.effects))
	producer, ctx := w.producers[w.counter%producerSlots], w.ctx
	w.spawn(func() { w.commit(ctx, producer, tx) })
}

// committed goes on after a transaction whose rows are in the store.
func (w *Worker) committed(tx *transaction, took time.Duration) {
	w.running, w.lastCommit = nil, took
	close(tx.ended)
	if took < w.TransactionTimeout/8 && w.halvings > 0 && full(tx, w.halvings, w.Module.Application.Limits) {
		w.halvings--
	}
	w.returned()
	if tx.orphan {
		w.finishRevokes()
		return
	}
	w.metrics.commits.Observe(took.Seconds())
	for i := range tx.parts {
		t := tx.parts[i].task
		if p := w.partitions[tx.parts[i].id]; t != nil && p != nil && p.task == t {
			t.Committed()
			w.stowedRows(p, &tx.parts[i])
		}
	}
	for _, b := range tx.barriers {
		close(b.committed)
	}
	for _, g := range tx.growths {
		w.grown(g)
	}
	w.learnEnds(tx.begun)
	w.finishRevokes()
}
