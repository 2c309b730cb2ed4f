package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// starts are the offsets at which sources begin that were never read.
func (l *lookups) starts(ctx context.Context, w *Worker, missing []source, group map[module.TopicPartition]fetched) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	starts := make([]int64, len(missing))
	for i, s := range missing {
		var err error
		if starts[i], err = l.start(ctx, w, s, group); err != nil {
			return nil, err
		}
	}
	return starts, nil
}

func (l *lookups) start(ctx context.Context, w *Worker, s source, group map[module.TopicPartition]fetched) (int64, error) {
	if s.topic == w.names.mailbox {
		return l.listed(ctx, s, l.admin.ListStartOffsets)
	}
	in := w.ingressOf(s.topic)
	tp := module.TopicPartition{Topic: s.topic, Partition: s.partition}
	switch in.Startup.Kind {
	case module.StartEarliest:
		return l.listed(ctx, s, l.admin.ListStartOffsets)
	case module.StartLatest:
		return l.listed(ctx, s, l.admin.ListEndOffsets)
	case module.StartDate:
		return l.listed(ctx, s, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return l.admin.ListOffsetsAfterMilli(ctx, in.Startup.Date.UnixMilli(), topics...)
		})
	case module.StartSpecificOffsets:
		if offset, given := in.Startup.Offsets[tp]; given {
			return offset, nil
		}
	}
	if f := group[tp]; f.offset >= 0 {
		return f.offset, nil
	}
	if in.AutoOffsetReset == "earliest" {
		return l.listed(ctx, s, l.admin.ListStartOffsets)
	}
	return l.listed(ctx, s, l.admin.ListEndOffsets)
}

func (l *lookups) listed(ctx context.Context, s source, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (int64, error) {
	offsets, err := list(ctx, s.topic)
	if err != nil {
		return 0, fmt.Errorf("list the offsets of %s: %w", s.topic, err)
	}
	o, is := offsets.Lookup(s.topic, s.partition)
	if !is || o.Err != nil {
		return 0, fmt.Errorf("list the offset of %s partition %d: %w", s.topic, s.partition, orMissing(o.Err))
	}
	return o.Offset, nil
}

func (w *Worker) ingressOf(topic string) *module.Ingress {
	for i := range w.Module.Ingresses {
		for j := range w.Module.Ingresses[i].Topics {
			if w.Module.Ingresses[i].Topics[j].Topic == topic {
				return &w.Module.Ingresses[i]
			}
		}
	}
	panic("worker: no ingress reads topic " + topic)
}

// trimEvery is how often the mailbox is relieved of what is done.
const trimEvery = time.Minute
