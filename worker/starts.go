package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// beginnings finds where sources of partitions begin to be read, for a take-over and for sources that a running
// partition has got. What it finds is committed before the first record is read, so that a start is the same after a
// crash (H8).
type beginnings struct {
	w          *Worker
	ctx        context.Context
	far        *foreign       // whose sources they are; nil: the application's own cluster's
	seen       []foreignTopic // of far, once for all: the row of a topic goes with the starts of its sources
	partitions []int32
	sources    map[int32][]source                // of each partition
	offsets    map[module.TopicPartition]fetched // of the group, before anything of this owner was committed
	bounds     map[string]bounds                 // of topics, asked for once
	begun      map[int32]*begun                  // what is to be committed; of a partition without anything: none
}

// begun is what is to be committed of one partition.
type begun struct {
	topics  []string // of ingresses, read from now on
	sources []beginning
}

// beginning is a source with the offset from which it is read.
type beginning struct {
	source
	offset int64
}

// find looks for sources without a progress row, and for those that an operator has reset.
func (b *beginnings) find() error {
	b.begun = map[int32]*begun{}
	missing, err := b.missing()
	if err != nil {
		return err
	}
	if err := b.verify(); err != nil {
		return err
	}
	return b.resolve(missing)
}

// again tries step until it works or the work is cancelled; Kafka being away is no reason to give up.
func (b *beginnings) again(what string, step func() (done bool, err error)) error {
	said := false
	for {
		done, err := step()
		if done && err == nil {
			return nil
		}
		if err != nil && errors.Is(err, errFinal) {
			return err
		}
		wait := resolveRetry
		switch {
		case err != nil && b.far != nil: // it may last, as when a right is missing, and only this ingress waits for it
			b.w.post(func() {
				if b.ctx.Err() == nil {
					b.w.stalled(b.far, err)
				}
			})
			wait = foreignRetry
		case err != nil && !said:
			b.w.log.Warn("take-over waits", "for", what, "partitions", b.partitions, "error", err)
			said = true
		}
		if !pause(b.ctx, wait) {
			return b.ctx.Err()
		}
	}
}

// errFinal marks what no second attempt can mend.
var errFinal = errors.New("refused")

// look asks which partitions the ingress topics have by now and settles the sources, so that what is verified, begun
// and read is the same set.
func (b *beginnings) look() error {
	err := b.again("the ingress topics", func() (bool, error) {
		err := b.w.look(b.ctx)
		return err == nil, err
	})
	b.sources = map[int32][]source{}
	for _, id := range b.partitions {
		b.sources[id] = b.w.sourcesOf(id)
	}
	return err
}

// fetchOffsets reads the group's offsets of the sources; it is done once no transaction holds one of them.
func (b *beginnings) fetchOffsets() (done bool, err error) {
	if b.far != nil {
		b.offsets, err = b.far.groupOffsets(b.ctx)
		return err == nil, err
	}
	var all []module.TopicPartition
	for _, id := range b.partitions {
		for _, s := range b.sources[id] {
			all = append(all, module.TopicPartition{Topic: s.topic, Partition: s.partition})
		}
	}
	b.offsets, done, err = b.w.lookups.stableOffsets(b.ctx, b.w, all)
	return done, err
}

// missing are the sources without a progress row.
func (b *beginnings) missing() (missing []source, err error) {
	for _, id := range b.partitions {
		for _, s := range b.sources[id] {
			_, known, err := task.Progress(partitionStore{b.w.store, id}, s.topic, s.partition)
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

// resolve finds the start of sources that were never read: of a topic that is new to the application by the ingress'
// startup position, of one that is not at its first record, because such a partition is one that the topic has got
// since (docs/decisions/0011-growth.md).
func (b *beginnings) resolve(missing []source) error {
	read := map[int32]map[string]bool{}
	for _, id := range b.partitions {
		topics, err := b.readTopics(id)
		if err != nil {
			return err
		}
		read[id] = topics
	}
	for _, s := range missing {
		offset, err := b.offset(s, read[s.owner][s.topic])
		if err != nil {
			return err
		}
		b.begin(s, offset)
		b.w.log.Info("source starts", "topic", s.topic, "partition", s.partition, "offset", offset)
	}
	return nil
}

// readTopics are the ingress topics of which a partition has a row that says they have been read; those without one
// get theirs with what begins now.
func (b *beginnings) readTopics(id int32) (map[string]bool, error) {
	read := map[string]bool{}
	for _, name := range b.topics() {
		row, err := b.w.store.Get(id, state.IngressKey(name))
		if err != nil {
			return nil, err
		}
		if row == nil {
			b.of(id).topics = append(b.of(id).topics, name)
			continue
		}
		i, err := state.ParseIngress(row)
		if err != nil {
			return nil, err
		}
		if i.TopicID != b.w.topicID(name) {
			return nil, errRecreated(name)
		}
		read[name] = true
	}
	return read, nil
}

// topics are those of the cluster, by the names of their sources.
func (b *beginnings) topics() (names []string) {
	for _, t := range b.seen {
		names = append(names, t.name)
	}
	if b.far != nil {
		return names
	}
	for _, t := range b.w.ingressTopics {
		names = append(names, t.Name)
	}
	return names
}

// cluster has the look-ups of the cluster, and the name that a topic has there.
func (b *beginnings) cluster(name string) (l *lookups, topic string) {
	if b.far != nil {
		return b.far.lookups, b.far.raw(name)
	}
	return &b.w.lookups, name
}

// offset is where a source without a progress row begins.
func (b *beginnings) offset(s source, grown bool) (offset int64, err error) {
	if grown {
		return b.first(s)
	}
	err = b.again("start positions", func() (done bool, err error) {
		ctx, cancel := context.WithTimeout(b.ctx, lookupTimeout)
		defer cancel()
		l, topic := b.cluster(s.topic)
		offset, err = l.start(ctx, b.w, s, topic, b.offsets)
		return err == nil, err
	})
	return offset, err
}

// first is the first offset of a source. The bounds of a topic are asked for once: they serve a take-over of many
// partitions, and an offset that is deleted meanwhile shows when it is fetched.
func (b *beginnings) first(s source) (first int64, err error) {
	err = b.again("the bounds of a source", func() (done bool, err error) {
		known, is := b.bounds[s.topic]
		if !is {
			l, topic := b.cluster(s.topic)
			if known, err = l.bounds(b.ctx, topic); err != nil {
				return false, err
			}
		}
		if first, _, err = known.of(s.partition); err != nil {
			delete(b.bounds, s.topic) // asked again: while a leader moves, one partition's answer is an error that passes
			return false, err
		}
		if b.bounds == nil {
			b.bounds = map[string]bounds{}
		}
		b.bounds[s.topic] = known
		return true, nil
	})
	return first, err
}

// begin adds the progress row of a source that is read from offset on.
func (b *beginnings) begin(s source, offset int64) {
	b.of(s.owner).sources = append(b.of(s.owner).sources, beginning{s, offset})
}

func (b *beginnings) of(id int32) *begun {
	if b.begun[id] == nil {
		b.begun[id] = &begun{}
	}
	return b.begun[id]
}

// rows are what begins in a partition, as rows of its changelog.
func (b *beginnings) rows(id int32) (rows []state.Row) {
	if b.begun[id] == nil {
		return nil
	}
	rows = b.ingressRows(id)
	for _, s := range b.begun[id].sources {
		progress := state.Progress{TopicID: b.w.topicID(s.topic), Position: s.offset, Time: time.Now()}
		rows = append(rows, state.Row{Key: state.ProgressKey(s.topic, s.partition), Value: state.AppendProgress(nil, progress)})
	}
	return rows
}

// ingressRows say of topics that a partition reads them from now on.
func (b *beginnings) ingressRows(id int32) (rows []state.Row) {
	if b.begun[id] == nil {
		return nil
	}
	for _, topic := range b.begun[id].topics {
		ingress := state.Ingress{TopicID: b.w.topicID(topic), Since: time.Now()}
		rows = append(rows, state.Row{Key: state.IngressKey(topic), Value: state.AppendIngress(nil, ingress)})
	}
	return rows
}

// startOffsets go with the rows: the group may have offsets of another life, which would look like a reset.
func (b *beginnings) startOffsets(id int32) (offsets []sourceOffset) {
	if b.begun[id] == nil {
		return nil
	}
	for _, s := range b.begun[id].sources {
		if s.topic != b.w.names.mailbox {
			offsets = append(offsets, sourceOffset{s.topic, s.partition, s.offset})
		}
	}
	return offsets
}

// start is the offset at which a source begins of a topic that was never read.
func (l *lookups) start(ctx context.Context, w *Worker, s source, topic string, group map[module.TopicPartition]fetched) (int64, error) {
	if s.topic == w.names.mailbox {
		return l.listed(ctx, topic, s.partition, l.admin.ListStartOffsets)
	}
	if w.fills(s.topic) { // what was appended before anybody read the topic is owed too
		return l.listed(ctx, topic, s.partition, l.admin.ListStartOffsets)
	}
	in := w.ingressOf(s.topic)
	tp := module.TopicPartition{Topic: topic, Partition: s.partition} // as the module names it
	switch in.Startup.Kind {
	case module.StartEarliest:
		return l.listed(ctx, topic, s.partition, l.admin.ListStartOffsets)
	case module.StartLatest:
		return l.listed(ctx, topic, s.partition, l.admin.ListEndOffsets)
	case module.StartDate:
		return l.listed(ctx, topic, s.partition, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return l.admin.ListOffsetsAfterMilli(ctx, in.Startup.Date.UnixMilli(), topics...)
		})
	case module.StartSpecificOffsets:
		if offset, given := in.Startup.Offsets[tp]; given {
			return l.within(ctx, w, tp, offset, in.AutoOffsetReset)
		}
	}
	if f, is := group[module.TopicPartition{Topic: s.topic, Partition: s.partition}]; is && f.offset >= 0 {
		return l.within(ctx, w, tp, f.offset, in.AutoOffsetReset)
	}
	return l.reset(ctx, tp, in.AutoOffsetReset)
}

// within is the offset if the partition's log has it or ends there, otherwise where the ingress says to begin instead:
// what Kafka's consumer does with an offset out of range.
func (l *lookups) within(ctx context.Context, w *Worker, tp module.TopicPartition, offset int64, policy string) (int64, error) {
	known, err := l.bounds(ctx, tp.Topic)
	if err != nil {
		return 0, err
	}
	first, end, err := known.of(tp.Partition)
	if err != nil || first <= offset && offset <= end {
		return offset, err
	}
	w.log.Warn("the offset to start at is not in the log, starting by autoOffsetResetPosition", "topic", tp.Topic, "partition", tp.Partition,
		"offset", offset, "log_start", first, "log_end", end, "autoOffsetResetPosition", policy)
	return l.reset(ctx, tp, policy)
}

// reset is where reading begins when no offset is known.
func (l *lookups) reset(ctx context.Context, tp module.TopicPartition, policy string) (int64, error) {
	if policy == "earliest" {
		return l.listed(ctx, tp.Topic, tp.Partition, l.admin.ListStartOffsets)
	}
	return l.listed(ctx, tp.Topic, tp.Partition, l.admin.ListEndOffsets)
}

func (l *lookups) listed(ctx context.Context, topic string, partition int32, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (int64, error) {
	offsets, err := list(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	o, is := offsets.Lookup(topic, partition)
	if !is || o.Err != nil {
		return 0, fmt.Errorf("list the offset of %s partition %d: %w", topic, partition, orMissing(o.Err))
	}
	return o.Offset, nil
}

func (w *Worker) ingressOf(topic string) *module.Ingress {
	for i := range w.Module.Ingresses {
		for j := range w.Module.Ingresses[i].Topics {
			if w.Module.Ingresses[i].SourceName(w.Module.Ingresses[i].Topics[j].Topic) == topic {
				return &w.Module.Ingresses[i]
			}
		}
	}
	panic("worker: no ingress reads topic " + topic)
}
