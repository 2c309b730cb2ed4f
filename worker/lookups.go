package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// lookups are the questions that the worker has for the cluster. Its methods may be called concurrently.
type lookups struct {
	client *kgo.Client
	admin  *kadm.Client
	create bool          // egress topics that are missing, on a development broker
	salt   atomic.Uint32 // of the partition for egress records without a key, another for each transaction

	mu      sync.Mutex
	looking map[string]chan struct{} // topics that are being looked up; closed when it is over
}

// lookupTimeout bounds one question.
const lookupTimeout = 10 * time.Second

// ends are the offsets behind the last record or marker, of open transactions too.
func (l *lookups) ends(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	listed, err := l.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list the end offsets of %s: %w", topic, err)
	}
	ends := map[int32]int64{}
	for _, p := range partitions {
		o, is := listed.Lookup(topic, p)
		if !is || o.Err != nil {
			return nil, fmt.Errorf("list the end offset of %s partition %d: %w", topic, p, orMissing(o.Err))
		}
		ends[p] = o.Offset
	}
	return ends, nil
}

func orMissing(err error) error {
	if err == nil {
		return kerr.UnknownTopicOrPartition
	}
	return err
}

// owner is the member of the group that has a partition of the application; one without a name when none has it.
func (l *lookups) owner(ctx context.Context, w *Worker, partition int32) (peer, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	live, err := l.members(ctx, w)
	if at := slices.IndexFunc(live, func(p peer) bool { return slices.Contains(p.owns, partition) }); at >= 0 {
		return live[at], nil
	}
	return peer{}, err
}

// topicID is the id of a topic as it is now.
func (l *lookups) topicID(ctx context.Context, topic string) (id [16]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	r.Topics = append(r.Topics, t)
	m, err := r.RequestWith(ctx, l.client)
	if err != nil {
		return id, fmt.Errorf("read topic %s: %w", topic, err)
	}
	if len(m.Topics) != 1 || m.Topics[0].ErrorCode != 0 {
		return id, fmt.Errorf("read topic %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	return m.Topics[0].TopicID, nil
}

// bounds are the first offset of each partition of a topic and the one behind its last.
func (l *lookups) bounds(ctx context.Context, topic string) (bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	starts, err := l.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return bounds{}, fmt.Errorf("list the start offsets of %s: %w", topic, err)
	}
	ends, err := l.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return bounds{}, fmt.Errorf("list the end offsets of %s: %w", topic, err)
	}
	return bounds{topic, starts, ends}, nil
}

// bounds tell where the logs of a topic's partitions begin and end.
type bounds struct {
	topic        string
	starts, ends kadm.ListedOffsets
}

func (b bounds) of(partition int32) (first, end int64, err error) {
	start, is := b.starts.Lookup(b.topic, partition)
	if !is || start.Err != nil {
		return 0, 0, fmt.Errorf("list the start offset of %s partition %d: %w", b.topic, partition, orMissing(start.Err))
	}
	last, is := b.ends.Lookup(b.topic, partition)
	if !is || last.Err != nil {
		return 0, 0, fmt.Errorf("list the end offset of %s partition %d: %w", b.topic, partition, orMissing(last.Err))
	}
	return start.Offset, last.Offset, nil
}

// learn looks an egress topic up for the catalog. Of those who ask for a topic at once one looks, and the others wait for
// it: they would be as many as there are calls.
func (l *lookups) learn(ctx context.Context, catalog *egress.Catalog, topic string) error {
	l.mu.Lock()
	looking := l.looking[topic]
	first := looking == nil
	if first {
		if l.looking == nil {
			l.looking = map[string]chan struct{}{}
		}
		looking = make(chan struct{})
		l.looking[topic] = looking
	}
	l.mu.Unlock()
	if !first {
		select {
		case <-looking: // the catalog may know now; if not, the next who asks looks
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.looking, topic)
		close(looking)
	}()
	return l.look(ctx, catalog, topic)
}

// look is learn for one who asks.
func (l *lookups) look(ctx context.Context, catalog *egress.Catalog, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	r.Topics, r.IncludeTopicAuthorizedOperations, r.AllowAutoTopicCreation = append(r.Topics, t), true, l.create
	metadata, err := r.RequestWith(ctx, l.client)
	if err != nil {
		return err
	}
	if len(metadata.Topics) != 1 {
		return errors.New("the broker's metadata lacks the topic")
	}
	found := &metadata.Topics[0]
	facts := egress.Facts{ID: found.TopicID, Partitions: int32(len(found.Partitions)), Err: kerr.ErrorForCode(found.ErrorCode)}
	if operations := found.AuthorizedOperations; operations != unknownOperations && facts.Err == nil {
		facts.WriteDenied = operations>>uint(kmsg.ACLOperationWrite)&1 == 0
	}
	if facts.Err != nil && kerr.IsRetriable(facts.Err) && !errors.Is(facts.Err, kerr.UnknownTopicOrPartition) {
		return facts.Err
	}
	if facts.Err == nil {
		l.configs(ctx, topic, &facts)
	}
	catalog.Learn(topic, facts, time.Now())
	return nil
}

// unknownOperations is what a broker answers that does not tell the user's rights.
const unknownOperations = -2147483648

// configs adds what the topic's settings tell. Without the right to read them the broker's answer to a record tells.
func (l *lookups) configs(ctx context.Context, topic string, facts *egress.Facts) {
	described, err := l.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return
	}
	found, err := described.On(topic, nil)
	if err != nil || found.Err != nil {
		return
	}
	for _, c := range found.Configs {
		switch c.Key {
		case "max.message.bytes":
			if bytes, err := strconv.Atoi(c.MaybeValue()); err == nil {
				facts.MaxMessageBytes = bytes
			}
		case "cleanup.policy":
			facts.KeyRequired = c.MaybeValue() == "compact"
		}
	}
}

// carries tells whether the offset of a partition that the transaction touched carries its id. All must be stable.
func (l *lookups) carries(ctx context.Context, w *Worker, tx *transaction) (bool, error) {
	var sources []module.TopicPartition
	for i := range tx.parts {
		o := tx.parts[i].offsets[0]
		sources = append(sources, module.TopicPartition{Topic: o.topic, Partition: o.partition})
	}
	offsets, stable, err := l.stableOffsets(ctx, w, sources)
	if err != nil {
		return false, err
	}
	if !stable {
		return false, kerr.UnstableOffsetCommit
	}
	for _, f := range offsets {
		if m, ours, _ := parseOffsetMetadata(f.metadata); ours && m.transaction == tx.id { // no other version wrote ours
			return true, nil
		}
	}
	return false, nil
}
