package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
)

// HeaderID is the header with the id of a row: a record that was delivered twice has the same in both copies.
const HeaderID = "statefun-outbox-id"

// refusedFor is how long a topic may refuse its records (it is missing, or may not be written to) before they are given
// up. A topic that somebody is about to create, or a right that was taken by mistake, costs a wait and no record.
const refusedFor = 30 * time.Second

// Kafka delivers records to a cluster. Records of one lane for one topic partition stay in order: the producer is
// idempotent and repeats what fails for as long as it may succeed.
type Kafka struct {
	client  *kgo.Client
	catalog *egress.Catalog
	learn   func(ctx context.Context, topic string) error

	mu      sync.Mutex
	refuses map[string]time.Time // topics, since when
}

// ProducerOptions are what the client of a Kafka target needs.
func ProducerOptions(catalog *egress.Catalog) []kgo.Opt {
	return []kgo.Opt{
		// A lane that has lost its partition must not leave records behind in the client, to be sent much later.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(4),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 { return catalog.BatchBytes(topic, time.Now()) }),
	}
}

// NewKafka returns a target that produces with the client. Learn looks a topic up for the catalog, which is of that
// cluster alone.
func NewKafka(client *kgo.Client, catalog *egress.Catalog, learn func(ctx context.Context, topic string) error) *Kafka {
	return &Kafka{client: client, catalog: catalog, learn: learn, refuses: map[string]time.Time{}}
}

// Deliver is Target's.
func (k *Kafka) Deliver(ctx context.Context, item Item, done func(error)) {
	r, err := ParseRecord(item.Payload)
	if err != nil {
		done(&Refusal{Reason: "undecodable", Certain: true, Err: err})
		return
	}
	r.Headers = append(withoutID(r.Headers), kgo.RecordHeader{Key: HeaderID, Value: []byte(item.ID)})
	if err := k.place(ctx, r, item.Seq); err != nil {
		done(err)
		return
	}
	k.client.Produce(ctx, r, func(_ *kgo.Record, err error) { done(k.judge(r.Topic, err)) })
}

// withoutID takes out a header of that name that a function has set: readers rely on ours.
func withoutID(headers []kgo.RecordHeader) (kept []kgo.RecordHeader) {
	for _, h := range headers {
		if h.Key != HeaderID {
			kept = append(kept, h)
		}
	}
	return kept
}

// place gives a record its partition once it is known that the topic takes it.
func (k *Kafka) place(ctx context.Context, r *kgo.Record, salt uint64) error {
	for {
		verdict := k.catalog.Check(r, time.Now())
		switch verdict.Outcome {
		case egress.OK:
			r.Partition = egress.Partition(r.Key, verdict.Partitions, uint32(salt))
			return nil
		case egress.Refused:
			return k.refused(verdict.Refusal, true)
		}
		if err := k.learn(ctx, r.Topic); err != nil {
			return fmt.Errorf("look up topic %s: %w", r.Topic, err)
		}
	}
}

// judge tells what a produce error means.
func (k *Kafka) judge(topic string, err error) error {
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.refuses, topic)
		return nil
	}
	if why := egress.Explain(topic, err); why != nil {
		return k.refused(why, false)
	}
	return err
}

// refused makes a refusal of the topic final once it has lasted; one of the record is final at once.
func (k *Kafka) refused(why *egress.Refusal, certain bool) error {
	if !why.Topical() {
		return &Refusal{Reason: why.Reason, Certain: certain, Err: why}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	since, is := k.refuses[why.Topic]
	if !is {
		since = time.Now()
		k.refuses[why.Topic] = since
	}
	if time.Since(since) < refusedFor {
		return why
	}
	return &Refusal{Reason: why.Reason, Certain: true, Err: why}
}
