package worker

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// arrive takes in a batch of a current reader.
func (w *Worker) arrive(b *batch) {
	if !slices.Contains(w.readers(), b.reader) {
		return
	}
	p := b.feed.partition
	if b.feed.decoder != nil && w.overflows(p) {
		w.deadLetterBatch(b)
		return
	}
	now := w.now.UnixMilli()
	rest := b.envelopes
	for i := range b.items {
		it := &b.items[i]
		envelopes := rest[:it.n]
		rest = rest[it.n:]
		if it.n > 0 && it.target == p.id {
			p.task.Arrive(b.feed.source, it.offset, envelopes, now)
			continue
		}
		w.cross(p, b.feed.source, it, envelopes)
	}
	w.metrics.records.WithLabelValues(b.feed.source.Topic).Add(float64(len(b.items)))
	b.feed.source.Pass(b.end)
	if b.feed.decoder == nil {
		w.trySwitch(p)
	}
	w.hold(b.reader, b.feed)
}

// cross ends a record for its source in this transaction: its messages go to another partition, where they are
// born inside, or its bytes to the dead-letter topic.
func (w *Worker) cross(p *partition, s *task.Source, it *item, envelopes []protocol.Envelope) {
	if it.stays {
		s.Stay(it.offset)
		return
	}
	fresh := s.Fresh(it.offset)
	p.task.Arrive(s, it.offset, nil, 0)
	if !fresh {
		return
	}
	if it.deadLetter != nil {
		w.collectDeadLetter(it.deadLetter)
	}
	for _, e := range envelopes {
		w.metrics.crossings.Inc()
		w.send(p, e)
	}
}

// hold pauses the fetching of a source that has a full window of records above its position, and of the ingresses of
// a partition whose pending inputs have reached their limit on disk.
func (w *Worker) hold(r *reader, f *feed) {
	if !f.held && w.mustHold(f, 1) {
		f.held = true
		r.client.PauseFetchPartitions(map[string][]int32{r.raw(f.source.Topic): {f.source.Partition}})
	}
}

// mustHold compares with a part of the limits, so that a source that was let go is not held again at once.
func (w *Worker) mustHold(f *feed, part float64) bool {
	limits := w.Module.Application.Limits
	if float64(f.source.Window()) >= part*float64(limits.RecordsPerSource) {
		return true
	}
	if f.decoder == nil { // the mailbox is not held for the budget, which others fill, but for a multiple of it
		return float64(w.budget.held.Load()) >= part*2*float64(w.budget.limit)
	}
	return w.outboxFull(part) || limits.PendingFull == module.PendingPause &&
		float64(f.partition.task.Rows().Bytes) >= part*float64(limits.PendingBytes)
}

// overflows reports whether new inputs of a partition go to the dead-letter topic because too many wait on disk.
func (w *Worker) overflows(p *partition) bool {
	limits := w.Module.Application.Limits
	return limits.PendingFull == module.PendingDeadLetter && p.task.Rows().Bytes >= limits.PendingBytes
}

// deadLetterBatch ends the records of a batch whose partition has too many pending inputs.
func (w *Worker) deadLetterBatch(b *batch) {
	rest := b.envelopes
	for i := range b.items {
		it := &b.items[i]
		envelopes := rest[:it.n]
		rest = rest[it.n:]
		if it.stays {
			b.feed.source.Stay(it.offset)
			continue
		}
		fresh := b.feed.source.Fresh(it.offset)
		b.feed.partition.task.Arrive(b.feed.source, it.offset, nil, 0)
		if !fresh {
			continue
		}
		if it.deadLetter != nil {
			w.collectDeadLetter(it.deadLetter)
		}
		for _, e := range envelopes {
			w.deadLetterInput(task.Dropped{Envelope: e, Source: b.feed.source, Offset: it.offset}, errOverflow)
		}
	}
	b.feed.source.Pass(b.end)
}

var errOverflow = errors.New("the pending inputs of the partition have reached their limit on disk")

// unhold lets sources be fetched again that have room in their window.
func (w *Worker) unhold() {
	for _, r := range w.readers() {
		for _, f := range r.feeds {
			if f.held && !w.mustHold(f, 0.75) {
				f.held = false
				r.client.ResumeFetchPartitions(map[string][]int32{r.raw(f.source.Topic): {f.source.Partition}})
			}
		}
	}
}

// paused counts the sources that are not fetched because something is full.
func (w *Worker) paused() (n int) {
	for _, r := range w.readers() {
		for _, f := range r.feeds {
			if f.held {
				n++
			}
		}
	}
	return n
}

// refetch replaces the readers by ones for the sources of the partitions that run now. A source that a growth has begun
// and not committed is not read: another start could be found after a crash (H8).
func (w *Worker) refetch() {
	for _, r := range w.readers() {
		r.close()
	}
	w.ingress, w.mailboxes = nil, nil
	for _, f := range w.foreigns {
		f.reader = nil
	}
	if w.stopping {
		return
	}
	mailboxes := map[module.TopicPartition]*feed{}
	ingresses := map[*foreign]map[module.TopicPartition]*feed{nil: {}} // by cluster
	for _, f := range w.foreigns {
		ingresses[f] = map[module.TopicPartition]*feed{}
	}
	for _, p := range w.partitions {
		if p.stage != running {
			continue
		}
		for _, s := range p.task.Sources() {
			tp := module.TopicPartition{Topic: s.Topic, Partition: s.Partition}
			if s == p.mailbox {
				mailboxes[tp] = &feed{partition: p, source: s, invalid: module.InvalidHandling{Type: module.InvalidDeadLetter, LogLevel: slog.LevelWarn}}
				continue
			}
			if slices.Contains(p.sources, source{s.Topic, s.Partition, p.id}) {
				ingresses[w.foreignOf(s.Topic)][tp] = w.ingressFeed(p, s)
			}
		}
	}
	w.ingress = w.openReader(nil, ingresses[nil], w.budget)
	for _, f := range w.foreigns {
		f.reader = w.openReader(f, ingresses[f], w.budget)
	}
	// Markers are kept: a path turns local when the mailbox is read to its end, which may be a marker.
	w.mailboxes = w.openReader(nil, mailboxes, nil, kgo.KeepControlRecords())
	w.extend()
}

// readers are those that read now.
func (w *Worker) readers() (all []*reader) {
	for _, r := range []*reader{w.ingress, w.mailboxes} {
		if r != nil {
			all = append(all, r)
		}
	}
	for _, f := range w.foreigns {
		if f.reader != nil {
			all = append(all, f.reader)
		}
	}
	return all
}

func (w *Worker) ingressFeed(p *partition, s *task.Source) *feed {
	for i := range w.Module.Ingresses {
		in := &w.Module.Ingresses[i]
		for j := range in.Topics {
			if in.SourceName(in.Topics[j].Topic) == s.Topic {
				return &feed{partition: p, source: s, decoder: w.decoder(in, &in.Topics[j]), routed: in.Routed, invalid: in.Topics[j].Invalid}
			}
		}
	}
	panic("worker: a source of a topic that is no ingress: " + s.Topic)
}
