package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// takeover brings the partitions of one assignment from assigned to running, on a goroutine of its own:
//
//	fence       whoever has a transaction open on them and is no live member
//	fetch       the group's offsets, once they are stable
//	barrier     a row in the worker's next transaction; with it the offsets, marked as a guess
//	replay      the changelog into the store until the barrier's acknowledged offset
//	start       of sources without a progress row: resolved, and committed with a second barrier before reading (H8)
//
// Nothing else of this owner is written to the partitions' changelog before that, and only replay moves their
// position in the store (H5).
type takeover struct {
	beginnings
	cancel context.CancelFunc
	began  time.Time
	// before is what must end first: the take-overs that this one replaces, and the running transaction. One whose
	// partitions were lost may still commit, after offsets would have been fetched.
	before []chan struct{}
	ended  chan struct{} // closed when nothing of it touches the store any more
}

// fetched is what the group knows of a source.
type fetched struct {
	offset   int64 // -1: nothing
	metadata string
}

// barrier is a request for rows in the worker's next transaction.
type barrier struct {
	takeover  *takeover
	cutAt     time.Time       // when the commit that proves ownership was cut
	offsets   map[int32]int64 // of the barrier rows, once acknowledged
	committed chan struct{}
}

// takeOver begins to take over partitions.
func (w *Worker) takeOver(ids []int32) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int32) bool {
		p := w.partitions[id]
		return p != nil && p.stage != restoring || slices.ContainsFunc(w.takeovers, func(t *takeover) bool { return slices.Contains(t.partitions, id) })
	})
	if len(ids) == 0 || w.stopping {
		return
	}
	slices.Sort(ids)
	// What the disk has is served in some milliseconds: it does not wait for what is restored from the log's start.
	near, far := []int32{}, []int32{}
	for _, id := range ids {
		if _, known, err := w.store.Position(id); known && err == nil {
			near = append(near, id)
		} else {
			far = append(far, id)
		}
	}
	for _, together := range [][]int32{near, far} {
		if len(together) > 0 {
			w.takeOverTogether(together)
		}
	}
	w.follow() // what is taken over is followed no more
	w.report()
}

func (w *Worker) takeOverTogether(ids []int32) {
	ctx, cancel := context.WithCancel(w.epoch.ctx)
	t := &takeover{beginnings: beginnings{w: w, ctx: ctx, partitions: ids}, cancel: cancel, began: time.Now(), ended: make(chan struct{})}
	for _, id := range ids {
		w.partitions[id] = &partition{id: id, stage: restoring}
		if last := w.restores[id]; last != nil {
			t.before = append(t.before, last)
		}
		w.restores[id] = t.ended
	}
	if w.running != nil {
		t.before = append(t.before, w.running.ended)
	}
	w.takeovers = append(w.takeovers, t)
	w.spawn(func() {
		defer close(t.ended)
		w.waitFor(t.before)
		if ctx.Err() != nil {
			return
		}
		if err := t.run(); err != nil && ctx.Err() == nil {
			w.post(func() { w.fail(fmt.Errorf("take over partitions %v: %w", ids, err)) })
		}
	})
}

// waitFor waits until earlier writers of a partition of the store have ended: each may have a fetch in hand that it
// still puts there. It does not stop for being cancelled, because who comes next waits for this one alone.
func (w *Worker) waitFor(before []chan struct{}) {
	for _, ended := range before {
		select {
		case <-ended:
		case <-w.done:
			return
		}
	}
}

// dropTakeover lets go of a partition under restore; the take-over of the others begins anew.
func (w *Worker) dropTakeover(id int32) {
	for i, t := range w.takeovers {
		if !slices.Contains(t.partitions, id) {
			continue
		}
		t.cancel()
		w.takeovers = slices.Delete(w.takeovers, i, i+1)
		w.barriers = slices.DeleteFunc(w.barriers, func(b *barrier) bool { return b.takeover == t })
		delete(w.partitions, id)
		w.takeOver(slices.DeleteFunc(slices.Clone(t.partitions), func(other int32) bool { return other == id }))
		return
	}
}

func (t *takeover) run() error {
	if err := t.fetch(); err != nil {
		return err
	}
	for round := 1; ; round++ {
		b, err := t.commitBarrier()
		if err != nil {
			return err
		}
		if err := t.replay(b); err != nil {
			return err
		}
		if round > 1 {
			break
		}
		if err = t.find(); err != nil {
			return err
		}
		if len(t.begun) == 0 {
			break
		}
	}
	t.w.post(func() { t.w.taken(t) })
	return nil
}

// fetch reads the group's offsets once no transaction holds them. It asks again whom to fence for as long as it
// waits, since a live member may die meanwhile.
func (t *takeover) fetch() error {
	if err := t.look(); err != nil {
		return err
	}
	return t.again("stable offsets", func() (bool, error) {
		if err := t.w.lookups.fence(t.ctx, t.w, t.partitions); err != nil {
			return false, err
		}
		return t.fetchOffsets()
	})
}

// commitBarrier puts barrier rows, and start rows before them, into the worker's next transaction and returns once
// they are committed.
func (t *takeover) commitBarrier() (*barrier, error) {
	b := &barrier{takeover: t, offsets: map[int32]int64{}, committed: make(chan struct{})}
	t.w.post(func() {
		if t.ctx.Err() == nil {
			t.w.barriers = append(t.w.barriers, b)
		}
	})
	select {
	case <-b.committed:
		return b, nil
	case <-t.ctx.Done():
		return nil, t.ctx.Err()
	}
}

// parts are the rows of a barrier, with the offsets that were fetched: they fence, and are marked as a guess
// because the progress rows are not known yet. Start rows lie before the barrier row, where its replay ends.
func (b *barrier) parts(transaction, worker string, now time.Time) (parts []part) {
	t := b.takeover
	b.cutAt = now
	for _, id := range t.partitions {
		row := state.Row{Key: state.BarrierKey(), Value: state.AppendBarrier(nil, state.Barrier{Owner: worker, Transaction: transaction, Time: now})}
		offset := t.offsets[module.TopicPartition{Topic: t.w.names.mailbox, Partition: id}].offset
		parts = append(parts, part{
			id: id, rows: append(t.rows(id), row), guess: true,
			offsets: append([]sourceOffset{{t.w.names.mailbox, id, max(offset, 0)}}, t.startOffsets(id)...),
		})
	}
	return parts
}

// acknowledged notes where the barrier rows came to lie. A barrier row is the last of its part.
func (b *barrier) acknowledged(tx *transaction) {
	for i := range tx.parts {
		if part := &tx.parts[i]; part.task == nil && slices.Contains(b.takeover.partitions, part.id) {
			b.offsets[part.id] = part.last
		}
	}
}

// taken lets partitions run that are restored.
func (w *Worker) taken(t *takeover) {
	if t.ctx.Err() != nil {
		return
	}
	w.takeovers = slices.DeleteFunc(w.takeovers, func(other *takeover) bool { return other == t })
	for _, id := range t.partitions {
		w.partitions[id].sources = t.sources[id]
		if err := w.start(w.partitions[id]); err != nil {
			w.fail(err)
			return
		}
	}
	w.resetPaths(false)
	w.refetch()
	w.log.Info("partitions run", "partitions", t.partitions, "took", time.Since(t.began).Round(time.Millisecond).String())
	w.report()
}

// source is one topic partition that belongs to a partition of the application.
type source struct {
	topic     string
	partition int32
	owner     int32
}

// sourcesOf are the sources that a partition has as far as this worker knows: its mailbox first, then the ingress
// partitions q with q % N == p, whose keyed records belong here when the topic is aligned. Any goroutine may call it.
func (w *Worker) sourcesOf(id int32) []source {
	sources := []source{{w.names.mailbox, id, id}}
	for _, t := range w.ingressTopics {
		for q := id; q < w.sizes.of(t.Name); q += w.plan.Partitions {
			sources = append(sources, source{t.Name, q, id})
		}
	}
	return sources
}

func errNoProgress(topic string, partition int32) error {
	return fmt.Errorf("no progress row of topic %s partition %d: the state folder is damaged, remove it and start again", topic, partition)
}
