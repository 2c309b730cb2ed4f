package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
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
	w          *Worker
	ctx        context.Context
	cancel     context.CancelFunc
	partitions []int32
	offsets    map[module.TopicPartition]fetched // of the group, before the first barrier
	starts     map[int32][]state.Row
	// startOffsets go with the start rows: the group may have offsets of another life, which would look like a reset.
	startOffsets map[int32][]sourceOffset
	began        time.Time
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
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return w.partitions[id] != nil && w.partitions[id].stage != restoring })
	if len(ids) == 0 || w.stopping {
		return
	}
	slices.Sort(ids)
	ctx, cancel := context.WithCancel(w.epoch.ctx)
	t := &takeover{w: w, ctx: ctx, cancel: cancel, partitions: ids, began: time.Now(), ended: make(chan struct{}), startOffsets: map[int32][]sourceOffset{}}
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
	w.report()
	w.spawn(func() {
		defer close(t.ended)
		for _, ended := range t.before { // a cancelled take-over may have a fetch in hand that it still puts into the store
			select {
			case <-ended:
			case <-ctx.Done():
				return
			}
		}
		if err := t.run(); err != nil && ctx.Err() == nil {
			w.post(func() { w.fail(fmt.Errorf("take over partitions %v: %w", ids, err)) })
		}
	})
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
		if t.starts, err = t.beginnings(); err != nil {
			return err
		}
		if len(t.starts) == 0 {
			break
		}
	}
	t.w.post(func() { t.w.taken(t) })
	return nil
}

// beginnings are progress rows for the sources that have none, and for those that an operator has reset. They are
// written down before the first record is read, so that a start is the same after a crash (H8).
func (t *takeover) beginnings() (map[int32][]state.Row, error) {
	missing, err := t.missing()
	if err != nil {
		return nil, err
	}
	rows := map[int32][]state.Row{}
	if err := t.verify(rows); err != nil {
		return nil, err
	}
	return rows, t.resolve(missing, rows)
}

// again tries step until it works or the take-over is cancelled; Kafka being away is no reason to give up.
func (t *takeover) again(what string, step func() (done bool, err error)) error {
	said := false
	for {
		done, err := step()
		if done && err == nil {
			return nil
		}
		if err != nil && errors.Is(err, errFinal) {
			return err
		}
		if err != nil && !said {
			t.w.log.Warn("take-over waits", "for", what, "partitions", t.partitions, "error", err)
			said = true
		}
		if !pause(t.ctx, resolveRetry) {
			return t.ctx.Err()
		}
	}
}

// errFinal marks what no second attempt can mend.
var errFinal = errors.New("refused")

// fetch reads the group's offsets once no transaction holds them. It asks again whom to fence for as long as it
// waits, since a live member may die meanwhile.
func (t *takeover) fetch() error {
	var sources []module.TopicPartition
	for _, id := range t.partitions {
		for _, s := range t.w.sourcesOf(id) {
			sources = append(sources, module.TopicPartition{Topic: s.topic, Partition: s.partition})
		}
	}
	return t.again("stable offsets", func() (bool, error) {
		if err := t.w.lookups.fence(t.ctx, t.w, t.partitions); err != nil {
			return false, err
		}
		offsets, stable, err := t.w.lookups.stableOffsets(t.ctx, t.w, sources)
		t.offsets = offsets
		return stable, err
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
			id: id, rows: append(slices.Clone(t.starts[id]), row), guess: true,
			offsets: append([]sourceOffset{{t.w.names.mailbox, id, max(offset, 0)}}, t.startOffsets[id]...),
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

// missing are the sources without a progress row.
func (t *takeover) missing() (missing []source, err error) {
	for _, id := range t.partitions {
		for _, s := range t.w.sourcesOf(id) {
			_, known, err := task.Progress(partitionStore{t.w.store, id}, s.topic, s.partition)
			if err != nil {
				return nil, err
			}
			if !known {
				missing = append(missing, s)
			}
		}
	}
	return missing, nil
}

// resolve finds the start of sources that were never read.
func (t *takeover) resolve(missing []source, rows map[int32][]state.Row) error {
	if len(missing) == 0 {
		return nil
	}
	var starts []int64
	err := t.again("start positions", func() (done bool, err error) {
		starts, err = t.w.lookups.starts(t.ctx, t.w, missing, t.offsets)
		return err == nil, err
	})
	if err != nil {
		return err
	}
	for i, s := range missing {
		if t.grown(s) {
			first, err := t.first(s)
			if err != nil {
				return err
			}
			starts[i] = first
		}
		t.begin(rows, s, starts[i])
		t.w.log.Info("source starts", "topic", s.topic, "partition", s.partition, "offset", starts[i])
	}
	return nil
}

// grown reports whether a source without a progress row is a partition that its topic got after the application had
// begun to read it: it is read from its first record, whatever the startup position says.
func (t *takeover) grown(s source) bool {
	for _, other := range t.w.sourcesOf(s.owner) {
		if other.topic != s.topic || other.partition >= s.partition {
			continue
		}
		if _, known, err := task.Progress(partitionStore{t.w.store, s.owner}, other.topic, other.partition); known && err == nil {
			return true
		}
	}
	return false
}

func (t *takeover) first(s source) (first int64, err error) {
	err = t.again("the bounds of a source", func() (done bool, err error) {
		first, _, err = t.w.lookups.bounds(t.ctx, s.topic, s.partition)
		return err == nil, err
	})
	return first, err
}

// begin adds the progress row of a source that is read from offset on.
func (t *takeover) begin(rows map[int32][]state.Row, s source, offset int64) {
	progress := state.Progress{TopicID: t.w.names.topicIDs[s.topic], Position: offset, Time: time.Now()}
	if s.topic != t.w.names.mailbox {
		t.startOffsets[s.owner] = append(t.startOffsets[s.owner], sourceOffset{s.topic, s.partition, offset})
	}
	rows[s.owner] = append(rows[s.owner], state.Row{Key: state.ProgressKey(s.topic, s.partition), Value: state.AppendProgress(nil, progress)})
}

// taken lets partitions run that are restored.
func (w *Worker) taken(t *takeover) {
	if t.ctx.Err() != nil {
		return
	}
	w.takeovers = slices.DeleteFunc(w.takeovers, func(other *takeover) bool { return other == t })
	for _, id := range t.partitions {
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

// sourcesOf are the sources of a partition: its mailbox first, then the ingress partitions q with q % N == p, whose
// keyed records belong here when the topic is aligned.
func (w *Worker) sourcesOf(id int32) []source {
	sources := []source{{w.names.mailbox, id, id}}
	for _, t := range w.ingressTopics {
		for q := id; q < t.Partitions; q += w.plan.Partitions {
			sources = append(sources, source{t.Name, q, id})
		}
	}
	return sources
}

func errNoProgress(topic string, partition int32) error {
	return fmt.Errorf("no progress row of topic %s partition %d: the state folder is damaged, remove it and start again", topic, partition)
}
