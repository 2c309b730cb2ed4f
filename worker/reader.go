package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/task"
)

const (
	// recordsPerPoll bounds a batch, so that the loop is never away for long.
	recordsPerPoll = 2000

	// The client's own read-ahead comes on top of the read budget; these bound it.
	fetchBytes          = 8 << 20
	fetchPartitionBytes = 2 << 20
)

// reader reads a fixed set of sources. When the set changes, or an abort sends the sources back, it is replaced:
// a batch that comes from a reader that is not the current one is dropped, so nothing of an earlier state of a
// source can arrive late.
type reader struct {
	w       *Worker
	foreign *foreign // the cluster that it reads; nil: the application's
	client  *kgo.Client
	cancel  context.CancelFunc
	mu      sync.RWMutex // of feeds, to which the loop may add
	feeds   map[module.TopicPartition]*feed
	budget  *budget // nil: never waits
	failed  bool    // a record was read that must fail the worker; touched by the reader's goroutine only
}

// feed is one source with what its records become.
type feed struct {
	partition *partition
	source    *task.Source
	decoder   *ingress.Decoder // nil: the mailbox
	routed    bool             // by the program
	invalid   module.InvalidHandling
	held      bool // paused, because its window is full
}

// batch is what one poll gave of one source, decoded. It goes from the reader to the loop.
type batch struct {
	reader    *reader
	feed      *feed
	items     []item
	envelopes []protocol.Envelope
	end       int64 // the source was read up to here
}

// item is one record: its envelopes are the next n of the batch.
type item struct {
	offset     int64
	n          int
	target     int32 // partition of all its envelopes, or manyPartitions
	deadLetter *kgo.Record
	stays      bool // it fits nowhere: it holds the position of its source
}

// openReader starts to read the feeds, of the application's cluster or another one, at what their tasks want next.
func (w *Worker) openReader(far *foreign, feeds map[module.TopicPartition]*feed, b *budget, opts ...kgo.Opt) *reader {
	if len(feeds) == 0 {
		return nil
	}
	settings := w.settings
	r := &reader{w: w, foreign: far, feeds: feeds, budget: b}
	if far != nil {
		settings = far.settings
	}
	start := map[string]map[int32]kgo.Offset{}
	for tp, f := range feeds {
		topic := r.raw(tp.Topic)
		if start[topic] == nil {
			start[topic] = map[int32]kgo.Offset{}
		}
		start[topic][tp.Partition] = kgo.NewOffset().At(f.source.Next())
	}
	client, err := settings.Open(append([]kgo.Opt{
		kgo.ConsumePartitions(start), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
	}, opts...)...)
	if err != nil {
		w.fail(fmt.Errorf("open a client to read: %w", err))
		return nil
	}
	ctx, cancel := context.WithCancel(w.ctx)
	r.client, r.cancel = client, cancel
	w.spawn(func() {
		defer client.Close()
		r.run(ctx)
	})
	return r
}

func (r *reader) close() {
	if r != nil {
		r.cancel()
	}
}

func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		if r.budget != nil {
			r.budget.wait(ctx)
		}
		fetches := r.client.PollRecords(ctx, recordsPerPoll)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) { r.fault(ctx, topic, partition, err) })
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			b := r.decode(ctx, p)
			if b == nil {
				return
			}
			select {
			case r.w.batches <- b:
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil || r.failed { // in this order: a route that was left behind may still set the second
			return
		}
	}
}

// fault tells faults that pass from those that do not: an offset that is gone is lost data.
func (r *reader) fault(ctx context.Context, topic string, partition int32, err error) {
	if errors.Is(err, kerr.OffsetOutOfRange) {
		r.w.post(func() {
			r.w.fail(fmt.Errorf("read %s partition %d: records were deleted before they were read: %w: look at the topic's retention; %s goes on from what is left", topic, partition, err, naming.AcceptOffsetReset))
		})
		return
	}
	if errors.Is(err, kerr.UnknownTopicID) && r.recreated(ctx, topic) {
		r.w.post(func() {
			r.w.fail(fmt.Errorf("topic %s was deleted and created anew while it was read: use another application id, or delete the topics of this one: %w", topic, err))
		})
		return
	}
	r.w.lookSoon()
	r.w.log.Warn("fetch", "topic", r.name(topic), "partition", partition, "error", err)
	pause(ctx, fetchRetry) // such an error comes back with every poll
}

// fetchRetry is the pause after an error that the client does not get over by itself.
const fetchRetry = 100 * time.Millisecond

// recreated asks the cluster whether a topic is another one than at the start.
func (r *reader) recreated(ctx context.Context, topic string) bool {
	if r.foreign != nil {
		return r.foreign.recreated(ctx, topic)
	}
	id, err := r.w.lookups.topicID(ctx, topic)
	return err == nil && id != r.w.names.topicIDs[topic]
}

// name is what the application calls a topic of the reader's cluster, raw the reverse.
func (r *reader) name(topic string) string {
	if r.foreign == nil {
		return topic
	}
	return r.foreign.ingress.SourceName(topic)
}

func (r *reader) raw(name string) string {
	if r.foreign == nil {
		return name
	}
	return r.foreign.raw(name)
}

// decode makes a batch of what was read; nil when ctx is done first.
func (r *reader) decode(ctx context.Context, p kgo.FetchTopicPartition) *batch {
	f := r.feed(module.TopicPartition{Topic: r.name(p.Topic), Partition: p.Partition})
	b := &batch{
		reader: r, feed: f, end: p.Records[len(p.Records)-1].Offset + 1,
		items: make([]item, 0, len(p.Records)), envelopes: make([]protocol.Envelope, 0, len(p.Records)),
	}
	for rest := p.Records; len(rest) > 0; {
		var left bool
		if rest, left = r.decodeRest(ctx, b, rest); left {
			return nil
		}
	}
	return b
}

// decode makes the messages of a record.
func (b *batch) decode(record *kgo.Record) (err error) {
	if b.feed.decoder == nil {
		return b.mailbox(record)
	}
	b.envelopes, err = b.feed.decoder.DecodeTo(b.envelopes, record)
	return err
}

// take takes a record into the batch, whose messages are those behind before unless there is an error. It reports false
// when nothing of the record or behind it may be decided.
func (r *reader) take(b *batch, record *kgo.Record, before int, err error) bool {
	f := b.feed
	if errors.Is(err, protocol.ErrNewer) {
		r.failed, b.end = true, record.Offset // as below: what comes behind it may be for the same address
		r.w.post(func() {
			r.w.fail(fmt.Errorf("message in %s partition %d offset %d: %w", r.name(record.Topic), record.Partition, record.Offset, err))
		})
		return false
	}
	it := item{offset: record.Offset}
	if err == nil && !r.w.fitAll(b.envelopes[before:]) {
		err = &ingress.Invalid{Reason: ingress.TooLarge, Detail: fmt.Errorf("with %d bytes it is too large for the changelog, which takes %d a record", len(record.Key)+len(record.Value), r.w.names.maxRecordBytes)}
	}
	if err != nil {
		b.envelopes = b.envelopes[:before]
		it.deadLetter = r.invalid(f, record, err)
		if f.invalid.Type == module.InvalidFail {
			// Nothing of this record or behind it may be decided: a cut could come before the failure.
			r.failed, b.end = true, record.Offset
			return false
		}
		it.stays = it.deadLetter != nil && egress.Size(it.deadLetter) > r.w.names.deadLetterBytes
		if it.stays {
			r.w.log.Error("invalid record is too large for the dead-letter topic and holds its partition's position: raise the topic's max.message.bytes and restart", "topic", r.name(record.Topic), "partition", record.Partition, "offset", record.Offset, "dead_letter_topic", r.w.names.deadLetter, "max_message_bytes", r.w.names.deadLetterBytes)
		}
	}
	if it.n = len(b.envelopes) - before; it.n > 0 {
		it.target = sharedPartition(b.envelopes[before:], r.w.plan.Partitions)
	}
	b.items = append(b.items, it)
	return true
}

func (b *batch) mailbox(r *kgo.Record) error {
	e, err := router.Decode(r.Value) // which copies what it keeps, so that the fetch goes (H9)
	if err != nil {
		return &ingress.Invalid{Reason: ingress.Undecodable, Detail: err}
	}
	b.envelopes = append(b.envelopes, e)
	return nil
}

// invalid applies the ingress' policy to a record that cannot become a message. It returns the dead-letter record,
// nil for a record to be skipped.
func (r *reader) invalid(f *feed, record *kgo.Record, err error) *kgo.Record {
	why := &ingress.Invalid{Reason: ingress.Undecodable, Detail: err}
	errors.As(err, &why)
	w, named := r.w, *record
	named.Topic = r.name(record.Topic) // topics of several clusters may have one name
	record = &named
	w.metrics.invalid.WithLabelValues(record.Topic, why.Reason, f.invalid.Type).Inc()
	w.log.Log(w.ctx, f.invalid.LogLevel, "invalid record", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset,
		"reason", why.Reason, "error", why, "handling", f.invalid.Type)
	if why.Stack != nil {
		w.log.Error("the program's route of an ingress panicked", "topic", record.Topic, "partition", record.Partition, "offset", record.Offset, "stack", string(why.Stack))
	}
	switch f.invalid.Type {
	case module.InvalidSkip:
		return nil
	case module.InvalidFail:
		w.post(func() {
			w.fail(fmt.Errorf("record %s partition %d offset %d: %w: mend the producer, or set invalidRecordHandling to skip or dead-letter", record.Topic, record.Partition, record.Offset, why))
		})
	}
	return ingress.DeadLetter(w.names.deadLetter, record, why, w.ApplicationID)
}

// fitAll reports whether all messages of a record can become rows; what a program's route makes of one differs in size.
func (w *Worker) fitAll(envelopes []protocol.Envelope) bool {
	return !slices.ContainsFunc(envelopes, func(e protocol.Envelope) bool { return !w.fits(e) })
}

// manyPartitions is the target of a record whose messages go to several partitions, as those of templates may.
const manyPartitions = -1

// sharedPartition is the partition that the targets of a record have in common.
func sharedPartition(envelopes []protocol.Envelope, partitions int32) int32 {
	shared := router.Partition(envelopes[0].Target.ID, partitions)
	for i := 1; i < len(envelopes); i++ {
		if envelopes[i].Target.ID != envelopes[0].Target.ID && router.Partition(envelopes[i].Target.ID, partitions) != shared {
			return manyPartitions
		}
	}
	return shared
}
