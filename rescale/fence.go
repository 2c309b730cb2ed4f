package rescale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// fenceTimeout bounds the taking of one transactional id, whose last transaction may still be ending.
	fenceTimeout = 30 * time.Second
	// fencedTimeout is for the ids that are taken: nothing is ever written under them here.
	fencedTimeout = 10 * time.Second
	settleRetry   = 50 * time.Millisecond
)

// fence takes the transactional id of everybody who wrote to the old topics. A worker that was stopped and wakes up can
// end no transaction after it, and begin none that counts: its offsets need a place in the group.
//
// An open transaction is refused first. It may be a worker's that was killed and ends by itself, or another producer's,
// whose records nobody can place.
func (j *job) fence(ctx context.Context) error {
	writers, open, err := j.producers(ctx)
	if err != nil {
		return err
	}
	foreign := slices.DeleteFunc(slices.Clone(open), j.ours)
	if len(foreign) > 0 {
		return refuse("transactions of %s, which are not the application's, are open on %s or %s: end them", strings.Join(foreign, ", "), j.from.changelog, j.from.mailbox)
	}
	if len(open) > 0 && !j.Fence {
		return refuse("transactions of %s are open on %s or %s, as after a worker that was killed: run it again in a minute, when the broker has ended them, or give --fence to end them now", strings.Join(open, ", "), j.from.changelog, j.from.mailbox)
	}
	for _, id := range writers {
		if !j.ours(id) {
			continue
		}
		if err := j.expel(ctx, id); err != nil {
			return err
		}
	}
	j.report.Fenced = len(writers)
	return j.awaitStable(ctx, j.from.changelog, j.from.mailbox)
}

// ours reports whether a transactional id is one of the application's workers.
func (j *job) ours(id string) bool { return strings.HasPrefix(id, j.ApplicationID+"-") }

// producers are the transactional ids that have written to the old topics, and those of them with an open transaction.
func (j *job) producers(ctx context.Context) (writers, open []string, err error) {
	set := kadm.TopicsSet{}
	for p := range j.from.partitions {
		set.Add(j.from.changelog, p)
		set.Add(j.from.mailbox, p)
	}
	described, err := j.adm.DescribeProducers(ctx, set)
	if err != nil {
		return nil, nil, fmt.Errorf("describe the producers of %s and %s: %w", j.from.changelog, j.from.mailbox, err)
	}
	ids := map[int64]bool{} // whether its transaction is open
	described.EachProducer(func(p kadm.DescribedProducer) { ids[p.ProducerID] = ids[p.ProducerID] || p.CurrentTxnStartOffset >= 0 })
	if len(ids) == 0 {
		return nil, nil, nil
	}
	list := make([]int64, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	transactions, err := j.adm.ListTransactions(ctx, list, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("list the transactions of %s: %w", j.ApplicationID, err)
	}
	for _, t := range transactions.Sorted() {
		if t.TxnID == j.transactionalID() {
			continue
		}
		writers = append(writers, t.TxnID)
		if ids[t.ProducerID] {
			open = append(open, t.TxnID)
		}
	}
	return writers, open, nil
}

// expel takes a transactional id away from whoever has it, which aborts its transaction.
func (j *job) expel(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	client, err := j.Producing.Open(kgo.TransactionalID(id), kgo.TransactionTimeout(fencedTimeout))
	if err != nil {
		return fmt.Errorf("open a client to fence %s: %w", id, err)
	}
	defer client.Close()
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("fence %s: %w", id, err)
	}
	return nil
}

// awaitStable waits until what was open is ended in the topics: a reader of committed records then sees all there is. Kafka
// answers the end of a transaction before its markers are written, so what was just committed is not there at once either.
func (j *job) awaitStable(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fenceTimeout, fmt.Errorf("a transaction is still open on one of %v after %s: run it again", names, fenceTimeout))
	defer cancel()
	for {
		stable, err := j.stable(ctx, names)
		if err == nil && stable {
			return nil
		}
		if !pause(ctx, settleRetry) {
			return fmt.Errorf("wait for open transactions to end: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// stable reports whether committed records go up to the end of each partition.
func (j *job) stable(ctx context.Context, names []string) (bool, error) {
	ends, err := j.adm.ListEndOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return false, fmt.Errorf("list the end offsets of %v: %w", names, err)
	}
	committed, err := j.adm.ListCommittedOffsets(ctx, names...)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return false, fmt.Errorf("list the committed offsets of %v: %w", names, err)
	}
	behind := false
	ends.Each(func(o kadm.ListedOffset) {
		c, is := committed.Lookup(o.Topic, o.Partition)
		behind = behind || !is || c.Offset < o.Offset
	})
	return !behind, nil
}
