package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// workload is the inputs of a scenario: input number seq goes to the id ids[seq].
type workload struct {
	ids  []uint32
	rank []int64 // rank[seq]: how many inputs of that id there are up to and with this one
}

// newWorkload draws n inputs over ids ids. As many ids as inputs means that each id gets one.
func newWorkload(n, ids int) *workload {
	w := &workload{ids: make([]uint32, n), rank: make([]int64, n)}
	r := rand.New(rand.NewPCG(uint64(n), uint64(ids)))
	seen := make([]int64, ids)
	for seq := range w.ids {
		id := uint32(seq)
		if ids < n {
			id = r.Uint32N(uint32(ids))
		}
		seen[id]++
		w.ids[seq], w.rank[seq] = id, seen[id]
	}
	return w
}

// newFilled draws one input for each of the ids, in their order, and more inputs behind them.
func newFilled(ids, more int) *workload {
	w := &workload{ids: make([]uint32, ids+more), rank: make([]int64, ids+more)}
	r := rand.New(rand.NewPCG(uint64(more), uint64(ids)))
	seen := make([]int64, ids)
	for seq := range w.ids {
		id := uint32(seq)
		if seq >= ids {
			id = r.Uint32N(uint32(ids))
		}
		seen[id]++
		w.ids[seq], w.rank[seq] = id, seen[id]
	}
	return w
}

// record makes input number seq for topic, keyed by its id: Kafka's default partitioner puts it where the worker wants it.
func (w *workload) record(topic string, seq int, sent time.Time) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(record.ID(w.ids[seq])), Value: record.New(uint64(seq), sent)}
}

// produceAll writes the first n inputs as a backlog.
func (w *workload) produceAll(ctx context.Context, cl *kgo.Client, topic string, n int) error {
	var first firstError
	now := time.Now()
	for seq := range n {
		cl.Produce(ctx, w.record(topic, seq, now), first.promise)
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("write the backlog to %s: %w", topic, err)
	}
	if err := first.get(); err != nil {
		return fmt.Errorf("write the backlog to %s: %w", topic, err)
	}
	return nil
}

// producePaced writes the inputs from..to at perSecond, each stamped with the time it was due: a producer that falls
// behind must not hide the wait.
func (w *workload) producePaced(ctx context.Context, cl *kgo.Client, topic string, from, to, perSecond int) error {
	var first firstError
	start := time.Now()
	for seq := from; seq < to; seq++ {
		due := start.Add(time.Duration(seq-from) * time.Second / time.Duration(perSecond))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		cl.Produce(ctx, w.record(topic, seq, due), first.promise)
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("write to %s: %w", topic, err)
	}
	return first.get()
}
