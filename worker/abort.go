package worker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/statefun-kafka/statefun-kafka/task"
)

// notCommitted goes on after a transaction that was not committed, with new producers.
func (w *Worker) notCommitted(tx *transaction, fresh []*producer, err, openErr error) {
	for _, p := range fresh {
		w.producers[p.slot] = p
	}
	if openErr != nil {
		w.fail(openErr)
		return
	}
	w.running = nil
	close(tx.ended)
	if tx.orphan {
		w.finishRevokes()
		return
	}
	w.metrics.aborts.WithLabelValues(abortReason(err)).Inc()
	if errors.Is(err, context.DeadlineExceeded) {
		w.halvings = min(w.halvings+1, mostHalvings) // else the same cut would come again
	}
	switch {
	case errors.Is(err, errOwnership):
		w.log.Warn("transaction not committed, all partitions are lost", "transaction", tx.id, "error", err)
		w.lose("ownership was lost")
		w.retakeAt = w.now.Add(heartbeatInterval)
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.InvalidProducerIDMapping):
		// A loss of the producer id means that somebody may have taken over.
		w.log.Warn("transaction not committed, the producer was fenced", "transaction", tx.id, "error", err)
		w.lose("the producer was fenced")
		w.takeOver(w.assignedPartitions())
	default:
		w.log.Warn("transaction aborted, its inputs are read again", "transaction", tx.id, "error", err)
		w.abort()
	}
	w.finishRevokes()
}

func abortReason(err error) string {
	switch {
	case errors.Is(err, errOwnership):
		return "ownership"
	case errors.Is(err, errRecord):
		return "record"
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		return "fenced"
	}
	return "other"
}

// retake takes over what the group still counts as this worker's after it refused its offsets. A member that the group
// has dropped learns that with its next heartbeat, joins under a new identity, and takes over then. It returns when to
// look again, zero for never.
func (w *Worker) retake() (again time.Time) {
	if w.retakeAt.IsZero() || w.stopping {
		return again
	}
	if w.now.Before(w.retakeAt) {
		return w.retakeAt
	}
	w.retakeAt = time.Time{}
	if w.captured != "" && w.group.token(w.group.client) == w.captured {
		w.takeOver(w.assignedPartitions())
	}
	return again
}

// drop forgets all that is not committed: effects, queues, calls in flight. Effects that were collected since the
// cut rest on those of the cut, and so do the calls that saw them; an abort of some partitions only would keep half
// of a message between two of them (H13).
func (w *Worker) drop() {
	w.newEpoch()
	w.collected, w.bytes, w.barriers = nil, 0, nil
	w.resetPaths(true)
	for _, e := range w.endpoints {
		e.forget()
	}
	for _, t := range w.takeovers {
		t.cancel()
	}
	w.takeovers = nil
}

// abort builds every task again from the store and the committed positions.
func (w *Worker) abort() {
	w.drop()
	var again []int32
	for id, p := range w.partitions {
		if p.task != nil {
			p.task.Abandon()
		}
		switch p.stage {
		case revoking:
			w.closeBoxes(p)
			delete(w.partitions, id)
		case restoring:
			again = append(again, id)
		case running:
			if err := w.start(p); err != nil {
				w.fail(err)
				return
			}
		}
	}
	w.refetch()
	w.takeOver(again)
	w.report()
}

// lose gives up every partition, whatever the client says; what the group assigns is taken over anew.
func (w *Worker) lose(why string) {
	if len(w.partitions) > 0 {
		w.log.Warn("all partitions are lost", "why", why)
	}
	w.metrics.losses.Inc()
	w.drop()
	if w.running != nil {
		w.running.orphan = true // it still has the producer; a late apply to the store is a prefix of the changelog
	}
	for _, p := range w.partitions {
		w.forget(p)
	}
	for _, r := range w.revokes { // nothing is left to commit for them
		close(r.handed)
	}
	w.revokes = nil
	w.refetch()
	w.follow()
	w.report()
}

func (w *Worker) forget(p *partition) {
	if p.task != nil {
		p.task.Abandon()
	}
	w.closeBoxes(p)
	delete(w.partitions, p.id)
}

// start gives a partition a task made of what the store has.
func (w *Worker) start(p *partition) error {
	position, _, err := w.store.Position(p.id)
	if err != nil {
		return err
	}
	view := partitionStore{w.store, p.id}
	t := task.New(task.Config{Partition: p.id, Store: view, Registry: w.registry, Ready: w.ready, Held: w.budget.add, InputsInMemory: w.Module.Application.Limits.InputsPerAddress})
	p.task, p.mailbox, p.path, p.stage, p.cutAt = t, nil, path{}, running, w.now
	if err := t.Restore(position.Offset); err != nil {
		return err
	}
	for _, s := range p.sources {
		progress, known, err := task.Progress(view, s.topic, s.partition)
		if err != nil {
			return err
		}
		if !known {
			return errNoProgress(s.topic, s.partition)
		}
		source := task.NewSource(s.topic, s.partition, w.topicID(s.topic), progress)
		t.AddSource(source)
		if s.topic == w.names.mailbox {
			p.mailbox = source
		}
	}
	return w.openBoxes(p)
}
