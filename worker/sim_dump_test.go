package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// dump shows a partition of a topic as the broker has it, with each record's producer and the markers, for a run that
// failed: it tells whether effects were wrong or visible wrongly.
func (s *sim) dump(topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return
	}
	defer client.Close()
	lines := map[int32]*strings.Builder{}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		fetches := client.PollFetches(ctx)
		over := ctx.Err() != nil
		cancel()
		if over {
			break
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if lines[r.Partition] == nil {
				lines[r.Partition] = &strings.Builder{}
			}
			what := fmt.Sprintf("%.40q", r.Value)
			if topic == "app-changelog" {
				what = fmt.Sprintf("%.30q", r.Key)
			}
			if r.Attrs.IsControl() {
				what = fmt.Sprintf("MARKER %x", r.Key)
			}
			fmt.Fprintf(lines[r.Partition], "%d pid %d/%d %s\n", r.Offset, r.ProducerID, r.ProducerEpoch, what)
		})
	}
	for p, text := range lines {
		s.t.Logf("%s partition %d:\n%s", topic, p, text)
	}
}

// dumpGroup shows the group and what each worker waits for, for a run that does not come to its end.
func (s *sim) dumpGroup() {
	if g := s.cluster.GroupInfo("app"); g != nil {
		s.t.Logf("the group is %s in generation %d", g.State, g.Epoch)
		for _, m := range g.Members {
			s.t.Logf("member %s owns %v", m.MemberID, m.Assignment)
		}
	}
	for _, p := range s.processes {
		s.t.Logf("%s: %v", p.name, p.worker.Ready())
	}
}
