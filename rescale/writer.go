package rescale

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

const (
	// transactionTimeout is how long the broker leaves the transaction of a run open that was killed.
	transactionTimeout = 60 * time.Second

	// A transaction ends when it has so many rows or bytes; then all of it has been acknowledged.
	transactionRows  = 50_000
	transactionBytes = 32 << 20

	offsetsRetry = 20 * time.Millisecond
)

// writer is the one producer of a run. Its transactional id is the application's own for this purpose, so that of two runs the
// earlier one is fenced when the later one begins.
type writer struct {
	client   *kgo.Client
	level    int // of the transaction protocol
	mu       sync.Mutex
	fault    error            // the first one of the running transaction
	failed   *kgo.Record      // its record
	acked    map[int32]int64  // highest offset by partition of the topic watched
	watched  string           // topic whose offsets are wanted
	produced map[string]bool  // topics that the client has produced to before
	limits   map[string]int32 // largest batch of a topic
}

func (j *job) transactionalID() string { return j.ApplicationID + "-rescale" }

// takeWriter opens the producer, which fences an earlier run and aborts what it has left open.
func (j *job) takeWriter(ctx context.Context) error {
	level, err := topics.TransactionVersion(ctx, j.admin)
	if err != nil {
		return err
	}
	w := &writer{level: level, produced: map[string]bool{}, limits: map[string]int32{}}
	options := []kgo.Opt{
		kgo.TransactionalID(j.transactionalID()), kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytesFn(w.batchBytes),
		kgo.MaxBufferedRecords(2 * transactionRows), kgo.BrokerMaxWriteBytes(512 << 20), kgo.UnknownTopicRetries(8),
	}
	if level < 2 {
		// A broker may offer the newer requests while its cluster has not finalized the newer protocol.
		v := kversion.Stable()
		v.SetMaxKeyVersion(int16(kmsg.Produce), 11)
		v.SetMaxKeyVersion(int16(kmsg.EndTxn), 4)
		v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 4)
		options = append(options, kgo.MaxVersions(v))
	}
	if w.client, err = j.Producing.Open(options...); err != nil {
		return err
	}
	j.writer = w
	j.closes = append(j.closes, w.client.Close)
	try, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	if _, _, err := w.client.ProducerID(try); err != nil {
		return fmt.Errorf("take the transactional id %s: %w", j.transactionalID(), err)
	}
	return nil
}

// plainBatch is for topics that hold no rows.
const plainBatch = 1_000_012

func (w *writer) batchBytes(topic string) int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.limits[topic]; n > 0 {
		return n
	}
	return plainBatch
}

func (w *writer) limit(topic string, bytes int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits[topic] = bytes
}

// watch makes the offsets of a topic's records known.
func (w *writer) watch(topic string) { w.watched, w.acked = topic, map[int32]int64{} }

// put adds a record to the running transaction; a fault of it comes up when that ends.
func (w *writer) put(ctx context.Context, r *kgo.Record) {
	w.produced[r.Topic] = true
	w.client.Produce(ctx, r, func(r *kgo.Record, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case err != nil && w.fault == nil:
			w.fault, w.failed = err, r
		case err == nil && r.Topic == w.watched:
			w.acked[r.Partition] = max(w.acked[r.Partition], r.Offset)
		}
	})
}

// transact runs one transaction around what fill puts into it.
func (w *writer) transact(ctx context.Context, fill func() error) error {
	if err := w.begin(); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	return w.end(ctx)
}

func (w *writer) begin() error {
	if err := w.client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	return nil
}

// flush waits until all records are acknowledged. One that failed must not be missing in a transaction that is committed.
func (w *writer) flush(ctx context.Context) error {
	if err := w.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush the transaction: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.fault, kerr.MessageTooLarge) {
		return fmt.Errorf("write to %s: a record with %d bytes is too large: raise max.message.bytes of the old topic, which the new one takes over, and message.max.bytes of the brokers: %w", w.failed.Topic, len(w.failed.Key)+len(w.failed.Value), w.fault)
	}
	if w.fault != nil {
		return fmt.Errorf("write to %s partition %d: %w", w.failed.Topic, w.failed.Partition, w.fault)
	}
	return nil
}

// end commits. The client hands the first records of a topic on before it has stored the topic's partitions, and an
// EndTransaction in between aborts and returns nil (docs/decisions/0009-a-commit-that-aborts.md); a purge of no topic
// runs behind that store.
func (w *writer) end(ctx context.Context) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	through := make(chan struct{})
	go func() {
		defer close(through)
		w.client.PurgeTopicsFromProducing("\x00")
	}()
	select {
	case <-through:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("end the transaction: %w", err)
	}
	return nil
}

// offset is what the group's offset of a source becomes.
type offset struct {
	topic     string
	id        [16]byte
	partition int32
	at        int64
}

// metadataVersion is the first word of the metadata of a worker's offsets (worker/metadata.go).
const metadataVersion = "statefun-kafka/1"

// commitOffsets adds the group's offsets to the transaction. The broker takes them only from a member of the group, so a
// run that has lost its place cannot switch. The metadata are those of a worker, which compares them.
func (j *job) commitOffsets(ctx context.Context, transaction string, offsets []offset) error {
	metadata := fmt.Sprintf(metadataVersion+" %s %s sure", transaction, j.transactionalID())
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group = j.transactionalID(), j.ApplicationID
	places := map[string]int{}
	for _, o := range offsets {
		at, is := places[o.topic]
		if !is {
			at = len(r.Topics)
			places[o.topic] = at
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic, t.TopicID = o.topic, o.id
			r.Topics = append(r.Topics, t)
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = o.partition, o.at, &metadata
		r.Topics[at].Partitions = append(r.Topics[at].Partitions, p)
	}
	for {
		err := j.sendOffsets(ctx, r)
		if err == nil {
			return nil
		}
		again := errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.ConcurrentTransactions) || kerr.IsRetriable(err)
		if !again || !pause(ctx, offsetsRetry) {
			return fmt.Errorf("commit the offsets of group %s: %w", j.ApplicationID, err)
		}
	}
}

func (j *job) sendOffsets(ctx context.Context, r *kmsg.TxnOffsetCommitRequest) (err error) {
	if r.ProducerID, r.ProducerEpoch, err = j.writer.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("producer id: %w", err)
	}
	r.MemberID, r.Generation = j.lock.client.GroupMetadata()
	if r.MemberID == "" || r.Generation < 0 {
		return errLockLost
	}
	if j.writer.level < 2 {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group
		answer, err := add.RequestWith(ctx, j.writer.client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil {
			return err
		}
	}
	answer, err := r.RequestWith(ctx, j.writer.client)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s partition %d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}
