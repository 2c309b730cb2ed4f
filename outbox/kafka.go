package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// HeaderID is the header with the id of a row: a record that was delivered twice has the same in both copies.
const HeaderID = "statefun-outbox-id"

// refusedFor is how long a topic may refuse its records (it is missing, or may not be written to) before they are given
// up. A topic that somebody is about to create, or a right that was taken by mistake, costs a wait and no record.
const refusedFor = 30 * time.Second

// Kafka delivers records to a cluster. Records of one lane for one topic partition stay in order: the producer is
// idempotent and repeats what fails for as long as it may succeed.
//
// One round is on its way at a time. With a record that a broker refuses, the producer gives up all that it holds for the
// topic partition: were that records of several lanes, each would try its own again beside the one that is refused, and a
// record that was alone in its lane would seem to be refused for itself. And a round is sent when all of it was handed
// on: otherwise its first records could be refused, and what is behind them arrive, before they are tried again.
type Kafka struct {
	client  *kgo.Client
	catalog *egress.Catalog
	learn   func(ctx context.Context, topic string) error
	spawn   func(work func(ctx context.Context))
	turn    chan struct{} // full while a round is on its way

	mu      sync.Mutex
	refuses map[string]refusals // of topics
	unknown map[string]bool     // topics of the round whose id the cluster does not know
	took    map[string]bool     // topics of the round that took a record
}

// refusals are of one topic, with nothing that it took between the first and the last.
type refusals struct{ first, last time.Time }

// ProducerOptions are what the client of a Kafka target needs.
func ProducerOptions(catalog *egress.Catalog) []kgo.Opt {
	return []kgo.Opt{
		// A lane that has lost its partition must not leave records behind in the client, to be sent much later.
		kgo.AllowIdempotentProduceCancellation(),
		// A round may be several batches. A broker that knows nothing of the producer yet would take the second when it has
		// refused the first.
		kgo.ManualFlushing(), kgo.MaxProduceRequestsInflightPerBroker(1),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(4),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 { return catalog.BatchBytes(topic, time.Now()) }),
	}
}

// NewKafka returns a target that produces with the client. Learn looks a topic up for the catalog, which is of that
// cluster alone. Spawn starts a goroutine, whose ctx lasts for as long as the target is used, whatever lanes come and go.
func NewKafka(client *kgo.Client, catalog *egress.Catalog, learn func(ctx context.Context, topic string) error, spawn func(work func(ctx context.Context))) *Kafka {
	return &Kafka{client: client, catalog: catalog, learn: learn, spawn: spawn, turn: make(chan struct{}, 1),
		refuses: map[string]refusals{}, unknown: map[string]bool{}, took: map[string]bool{}}
}

// Begin is Target's.
func (k *Kafka) Begin(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send is Target's. A lane that has lost its partition meanwhile gives the turn back all the same, once the producer has
// none of its records any more.
func (k *Kafka) Send() {
	k.spawn(func(ctx context.Context) {
		if k.client.Flush(ctx) == nil { // each record is told its own end
			k.forget()
		}
		<-k.turn
	})
}

// forget makes the client look those topics up anew that may have been deleted and created again: it keeps to the id of a
// topic for as long as it lives.
//
// It numbers its records anew for a topic that it has forgotten, and what the broker knows by such a number already it
// acknowledges and does not write. The refusal of a record has given the producer a new epoch, in which nothing is known:
// so this comes BEFORE the next round, and not when the topic took a record in this one.
func (k *Kafka) forget() {
	k.mu.Lock()
	var stale []string
	for topic := range k.unknown {
		if !k.took[topic] {
			stale = append(stale, topic)
		}
	}
	clear(k.unknown)
	clear(k.took)
	k.mu.Unlock()
	k.client.PurgeTopicsFromProducing(stale...)
}

// Deliver is Target's.
func (k *Kafka) Deliver(ctx context.Context, item Item, done func(error)) {
	r, err := ParseRecord(item.Payload)
	if errors.Is(err, protocol.ErrNewer) { // a newer worker has written it, and can deliver it: it is kept for that
		done(err)
		return
	}
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
		k.took[topic] = true
		return nil
	}
	if errors.Is(err, kerr.UnknownTopicID) { // the topic was deleted, and perhaps created anew: see forget
		k.catalog.Forget(topic)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.unknown[topic] = true
		return err
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
	now, r := time.Now(), k.refuses[why.Topic]
	if now.Sub(r.last) > refusedFor { // nothing was tried in between, so nobody knows what the topic would have said
		r.first = now
	}
	r.last = now
	k.refuses[why.Topic] = r
	if now.Sub(r.first) < refusedFor {
		return why
	}
	return &Refusal{Reason: why.Reason, Certain: true, Err: why}
}
