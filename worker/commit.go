package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/changelog"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Why a commit did not succeed.
var (
	// errOwnership: the group no longer takes this member's offsets; every partition was lost.
	errOwnership = errors.New("ownership was lost")
	// errRecord: one record was refused, by its own fault; remembered, so that its answer is refused next time.
	errRecord = errors.New("record refused by the broker")
	// errStore: Kafka has the transaction, the disk has not.
	errStore = errors.New("apply to the state folder")
)

const (
	// offsetsRetry is the pause before offsets are sent again to a group that is busy with a rebalance.
	offsetsRetry = 5 * time.Millisecond
	// resolveRetry is the pause between two looks at the outcome of a transaction.
	resolveRetry = 20 * time.Millisecond
)

// commit carries a transaction from its cut to the store and posts what came of it. It is the only one to use the
// producer meanwhile.
//
// The order prevents: offsets BEFORE the records are flushed would commit a position without its effects; the store
// BEFORE EndTxn would keep effects of a transaction that was aborted.
func (w *Worker) commit(ctx context.Context, p *producer, tx *transaction) {
	began := time.Now()
	err := w.endTransaction(ctx, p, tx)
	if err == nil {
		err = w.phase("store", func() error { return w.applyToStore(tx) })
	}
	if err == nil {
		w.post(func() { w.committed(tx, time.Since(began)) })
		return
	}
	if ctx.Err() != nil || errors.Is(err, errStore) {
		w.post(func() { w.fail(err) })
		return
	}
	fresh, openErr := w.reopen(ctx, p, err)
	w.post(func() { w.notCommitted(tx, fresh, err, openErr) })
}

// reopen replaces the producer of a transaction that was not committed: whatever the fault was, a new producer id aborts
// what is open and fences what is on its way. A client keeps to the id of a topic as it was first seen, so where that was
// created anew the other producers are replaced too, of which each would lose a transaction to find out.
func (w *Worker) reopen(ctx context.Context, p *producer, fault error) (fresh []*producer, err error) {
	stale := []*producer{p}
	if errors.Is(fault, kerr.UnknownTopicID) {
		stale = w.producers[:]
	}
	for _, old := range stale {
		old.client.Close()
		opened, err := w.openProducer(ctx, old.slot)
		if err != nil {
			return fresh, err
		}
		fresh = append(fresh, opened)
	}
	return fresh, nil
}

// endTransaction returns nil only for a transaction that is committed.
func (w *Worker) endTransaction(ctx context.Context, p *producer, tx *transaction) error {
	try, cancel := context.WithTimeout(ctx, w.TransactionTimeout)
	defer cancel()
	if err := w.phase("produce", func() error { return w.produce(try, p, tx) }); err != nil {
		return err
	}
	if err := w.phase("offsets", func() error { return w.fence(try, p, tx) }); err != nil {
		return err
	}
	if err := p.settle(try, tx, w.names.changelog); err != nil {
		return err
	}
	err := w.phase("end", func() error { return p.client.EndTransaction(try, kgo.TryCommit) })
	if err == nil {
		return nil
	}
	// No error is taken for an answer. The client repeats a request whose answer was lost, so even one that says the
	// transaction failed may be the second answer, about a transaction that the first request has committed.
	return w.resolve(ctx, p, tx, err)
}

// phase measures a part of a commit.
func (w *Worker) phase(name string, part func() error) error {
	began := time.Now()
	defer func() { w.metrics.phases.WithLabelValues(name).Observe(time.Since(began).Seconds()) }()
	return part()
}

// produce writes all records and waits for their acknowledgement. A transaction some of whose records failed would
// be committed without them (P2), so the first fault ends it.
func (w *Worker) produce(ctx context.Context, p *producer, tx *transaction) error {
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	acks := acknowledgements{changelog: w.names.changelog, began: time.Now(), last: map[int32]int64{}}
	take := acks.take
	for i := range tx.parts {
		records := changelog.EncodeAll(w.names.changelog, tx.parts[i].id, tx.parts[i].rows)
		for j := range records {
			p.client.Produce(ctx, &records[j], take)
		}
	}
	for _, r := range tx.records {
		p.client.Produce(ctx, r, take)
		if !time.Now().Before(p.suspects[r.Topic]) {
			continue
		}
		if err := p.client.Flush(ctx); err != nil { // a batch of its own
			return fmt.Errorf("flush a record of %s: %w", r.Topic, err)
		}
	}
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush the transaction: %w", err)
	}
	acks.mu.Lock()
	defer acks.mu.Unlock()
	if acks.err != nil {
		return w.refused(p, &acks)
	}
	for i := range tx.parts {
		tx.parts[i].last = acks.last[tx.parts[i].id]
	}
	return nil
}

// suspectFor is how long the records of a topic are produced one by one after a batch was refused for one of them.
const suspectFor = 10 * time.Second

// acknowledgements gathers what became of a transaction's records.
type acknowledgements struct {
	changelog string
	began     time.Time
	mu        sync.Mutex
	last      map[int32]int64 // highest changelog offset by partition
	failed    *kgo.Record     // the first one
	alongside int             // further failures in its partition, which may be of the same batch
	err       error
}

func (a *acknowledgements) take(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil && a.err == nil:
		a.failed, a.err = r, err
	case err != nil && r.Topic == a.failed.Topic && r.Partition == a.failed.Partition:
		a.alongside++
	case err == nil && r.Topic == a.changelog:
		a.last[r.Partition] = max(a.last[r.Partition], r.Offset)
	}
}

// refused remembers a fault that is the record's own, so that the answer that asked for the record is refused by
// the check the next time it comes (H6).
//
// A broker refuses a batch as a whole. When several records failed together nobody is blamed yet: for a while the
// records of that topic are produced one by one, and the one that fails alone is the one.
func (w *Worker) refused(p *producer, a *acknowledgements) error {
	r, err := a.failed, a.err
	fault := fmt.Errorf("produce to %s partition %d, key %q: %w", r.Topic, r.Partition, r.Key, err)
	internal := r.Topic == w.names.changelog || r.Topic == w.names.mailbox || r.Topic == w.names.deadLetter
	if !internal && a.alongside > 0 && (errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)) {
		p.suspects[r.Topic] = time.Now().Add(suspectFor)
		return fault
	}
	if !internal && errors.Is(err, kerr.UnknownTopicID) { // the topic is another one, or none: the check looks it up anew
		w.catalog.Forget(r.Topic)
		return fmt.Errorf("%w: %w", errRecord, fault)
	}
	if !internal && w.catalog.Refuse(a.asFunctionGave(r), err, time.Now()) {
		return fmt.Errorf("%w: %w", errRecord, fault)
	}
	return fault
}

// asFunctionGave is the record as the check sees it when it comes again: the producer stamps one that has no timestamp
// of its own with the time of its sending.
func (a *acknowledgements) asFunctionGave(r *kgo.Record) *kgo.Record {
	if r.Timestamp.Before(a.began.Truncate(time.Millisecond)) || r.Timestamp.After(time.Now()) {
		return r
	}
	given := *r
	given.Timestamp = time.Time{}
	return &given
}

// fence sends the offsets with the captured member id and the generation that the client holds now (H1, H2).
func (w *Worker) fence(ctx context.Context, p *producer, tx *transaction) error {
	for {
		member, generation := w.group.identity()
		if member == "" || generation < 0 || w.group.token(w.group.client) != tx.captured {
			return fmt.Errorf("%w: the member id changed", errOwnership)
		}
		err := p.commitOffsets(ctx, member, generation, w.group.instance(), tx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID), errors.Is(err, kerr.StaleMemberEpoch), errors.Is(err, kerr.GroupIDNotFound):
			return fmt.Errorf("%w: %w", errOwnership, err)
		case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.ConcurrentTransactions), errors.Is(err, kerr.RebalanceInProgress), kerr.IsRetriable(err):
			// Again, with the generation read anew; waiting for a callback would wait for this commit.
		default:
			return err
		}
		if !pause(ctx, offsetsRetry) {
			return err
		}
	}
}

// resolve finds out what became of a transaction whose end was not acknowledged. A new producer id first: after it
// a late request can change nothing. Then an offset that carries the transaction's id proves the commit.
func (w *Worker) resolve(ctx context.Context, p *producer, tx *transaction, cause error) error {
	w.log.Warn("outcome of the transaction is unknown, looking", "transaction", tx.id, "error", cause)
	p.client.Close()
	fresh, err := w.openProducer(ctx, p.slot)
	if err != nil {
		return err
	}
	*p = *fresh
	for {
		done, err := w.lookups.carries(ctx, w, tx)
		if err == nil {
			w.metrics.unknown.Inc()
			w.log.Info("outcome of the transaction", "transaction", tx.id, "committed", done)
			if done {
				return nil
			}
			return fmt.Errorf("end the transaction: it did not happen: %w", cause)
		}
		if !pause(ctx, resolveRetry) {
			return fmt.Errorf("look for the outcome of transaction %s: %w", tx.id, err)
		}
	}
}

// applyToStore puts the committed rows into the store, one batch with the positions. A partition under restore keeps
// its position: only its replay moves it (H5).
func (w *Worker) applyToStore(tx *transaction) error {
	changes := make([]state.Change, 0, len(tx.parts))
	for i := range tx.parts {
		part := &tx.parts[i]
		if part.task == nil || len(part.rows) == 0 {
			continue
		}
		changes = append(changes, state.Change{Partition: part.id, Rows: part.rows, Position: state.Position{
			Offset: part.last + 1, TopicID: w.names.topicIDs[w.names.changelog], Level: tx.cutAt,
		}})
	}
	for i := range tx.barriers {
		tx.barriers[i].acknowledged(tx)
	}
	if len(changes) == 0 {
		return nil
	}
	if err := w.store.Apply(changes); err != nil {
		return fmt.Errorf("%w %s: %w", errStore, w.StateDir, err)
	}
	return nil
}
