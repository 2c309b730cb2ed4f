package worker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topicLog is what a test has read of a topic. It goes on where it stopped, so that a test may look often.
type topicLog struct {
	client  *kgo.Client
	next    map[int32]int64
	records []*kgo.Record
}

// follow begins to read a topic, committed records only, from its first offset.
func (w *world) follow(topic string, partitions []int32) *topicLog {
	w.t.Helper()
	start := map[int32]kgo.Offset{}
	for _, p := range partitions {
		start[p] = kgo.NewOffset().At(0)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	log := &topicLog{client: client, next: map[int32]int64{}}
	if w.logs == nil {
		w.logs = map[string]*topicLog{}
	}
	w.logs[topic] = log
	return log
}

// readTo reads until the ends.
func (l *topicLog) readTo(ctx context.Context, ends map[int32]kadm.ListedOffset) error {
	for {
		left := false
		for p, end := range ends {
			left = left || l.next[p] < end.Offset
		}
		if !left {
			return nil
		}
		fetches := l.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachRecord(func(r *kgo.Record) {
			l.next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				l.records = append(l.records, r)
			}
		})
	}
}
