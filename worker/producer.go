package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sync/errgroup"
)

// producerSlots is the number of transactional ids of a worker, which take turns; still one transaction runs at a
// time. Kafka answers EndTxn before the transaction's markers are written. A transaction that begins under the same id
// meanwhile is held by the broker for 20 ms and more (add.partitions.to.txn.retry.backoff.ms), or refused with
// CONCURRENT_TRANSACTIONS; under another id it is not.
const producerSlots = 2

// producer is a transactional client. It belongs to the commit that runs, otherwise to the loop.
type producer struct {
	slot   int
	client *kgo.Client
	id     string
	group  string
	level  int // of the transaction protocol
	topics map[string][16]byte
	// suspects are topics whose records are produced one by one until then. All producers of the worker share it, and
	// only the commit that runs touches it.
	suspects map[string]time.Time
	produced map[string]bool // topics that the client has produced to before
}

// openProducers takes all transactional ids of the worker at once, which aborts what its last process left open.
func (w *Worker) openProducers(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for slot := range producerSlots {
		group.Go(func() (err error) {
			w.producers[slot], err = w.openProducer(ctx, slot)
			return err
		})
	}
	return group.Wait()
}

// openProducer opens a client and makes sure that it has the transactional id: whoever had it is fenced, and what
// he left open is aborted. It tries again until ctx is done.
func (w *Worker) openProducer(ctx context.Context, slot int) (*producer, error) {
	id := w.transactionalID(slot)
	options := []kgo.Opt{
		kgo.TransactionalID(id), kgo.TransactionTimeout(w.TransactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ConcurrentTransactionsBackoff(2 * time.Millisecond),
		kgo.MaxBufferedRecords(1 << 20), kgo.ProducerBatchMaxBytesFn(w.batchBytes),
		kgo.UnknownTopicRetries(4), kgo.BrokerMaxWriteBytes(int32(max(100<<20, w.names.deadLetterBytes))),
	}
	if w.plan.TransactionVersion < 2 {
		options = append(options, kgo.MaxVersions(firstTransactions()))
	}
	p := &producer{slot: slot, id: id, group: w.ApplicationID, level: w.plan.TransactionVersion, topics: w.names.topicIDs, suspects: w.suspects, produced: map[string]bool{}}
	said := false
	for {
		client, err := w.producing.Open(options...)
		if err != nil {
			return nil, fmt.Errorf("open the producer: %w", err)
		}
		try, cancel := context.WithTimeout(ctx, w.TransactionTimeout)
		_, _, err = client.ProducerID(try)
		cancel()
		if err == nil {
			p.client = client
			return p, nil
		}
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) || errors.Is(err, kerr.InvalidTransactionTimeout) {
			return nil, fmt.Errorf("begin transactions as %s: %w", p.id, err)
		}
		if !said {
			w.log.Warn("waiting for the transaction coordinator", "transactional_id", p.id, "error", err)
			said = true
		}
		if !pause(ctx, brokersRetry) {
			return nil, ctx.Err()
		}
	}
}

// firstTransactions keeps the client on the first transaction protocol (P4): a broker may offer the newer requests
// while its cluster has not finalized the newer level.
func firstTransactions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 11)
	v.SetMaxKeyVersion(int16(kmsg.EndTxn), 4)
	v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 4)
	return v
}

// batchBytes bounds a batch by what its topic takes, since a broker refuses a batch as a whole.
func (w *Worker) batchBytes(topic string) int32 {
	switch topic {
	case w.names.mailbox, w.names.changelog:
		return int32(w.names.maxRecordBytes)
	case w.names.deadLetter:
		return int32(w.names.deadLetterBytes)
	}
	return w.catalog.BatchBytes(topic, time.Now())
}

// commitOffsets puts the offsets of all touched partitions into the transaction. They are the fence: the broker
// takes them only from a member of the group's current generation (P5).
func (p *producer) commitOffsets(ctx context.Context, member string, generation int32, instance *string, tx *transaction) error {
	id, epoch, err := p.client.ProducerID(ctx) // read each time: the second protocol changes it with each transaction
	if err != nil {
		return fmt.Errorf("producer id: %w", err)
	}
	if p.level < 2 {
		if err := p.addOffsets(ctx, id, epoch); err != nil {
			return err
		}
	}
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = p.id, p.group, id, epoch
	r.MemberID, r.Generation, r.InstanceID = member, generation, instance
	r.Topics = p.offsetTopics(tx)
	response, err := r.RequestWith(ctx, p.client)
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for _, t := range response.Topics {
		for _, q := range t.Partitions {
			if err := kerr.ErrorForCode(q.ErrorCode); err != nil {
				return fmt.Errorf("commit offset of %s partition %d: %w", t.Topic, q.Partition, err)
			}
		}
	}
	return nil
}

func (p *producer) offsetTopics(tx *transaction) (topics []kmsg.TxnOffsetCommitRequestTopic) {
	places := map[string]int{}
	for i := range tx.parts {
		metadata := offsetMetadata{transaction: tx.id, producer: p.id, guess: tx.parts[i].guess}.String()
		for _, o := range tx.parts[i].offsets {
			at, is := places[o.topic]
			if !is {
				at = len(topics)
				places[o.topic] = at
				t := kmsg.NewTxnOffsetCommitRequestTopic()
				t.Topic, t.TopicID = o.topic, p.topics[o.topic]
				topics = append(topics, t)
			}
			q := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			q.Partition, q.Offset, q.Metadata = o.partition, o.offset, &metadata
			topics[at].Partitions = append(topics[at].Partitions, q)
		}
	}
	return topics
}

// settle lets the client take note of topics that it produced to for the first time. It comes before EndTransaction.
//
// The client hands the records of a new topic on before it stores the topic's partitions (franz-go v1.22.2,
// storePartitionsUpdate: a deferred store). When all of a transaction's records are acknowledged in between,
// EndTransaction finds no partition in the transaction, aborts it, and returns nil: the worker would take for
// committed what Kafka has thrown away. Purging runs on the goroutine that stores, so once it returns the store is
// through; no topic has the name that is purged.
func (p *producer) settle(ctx context.Context, tx *transaction, changelog string) error {
	before := len(p.produced)
	if len(tx.parts) > 0 {
		p.produced[changelog] = true
	}
	for _, r := range tx.records {
		p.produced[r.Topic] = true
	}
	if len(p.produced) == before {
		return nil
	}
	through := make(chan struct{})
	go func() {
		defer close(through)
		p.client.PurgeTopicsFromProducing("\x00")
	}()
	select {
	case <-through:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the client's metadata: %w", ctx.Err())
	}
}

func (p *producer) addOffsets(ctx context.Context, id int64, epoch int16) error {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = p.id, id, epoch, p.group
	response, err := r.RequestWith(ctx, p.client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("add the group's offsets to the transaction: %w", err)
	}
	return nil
}
