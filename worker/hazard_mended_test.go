package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/egress"
)

// An address waits because a topic refuses what it sends. It goes on some seconds after somebody has mended that, and
// nothing was lost: the topic is created, takes larger records, or may be written to again.
func TestAnAddressGoesOnSoonAfterItsTopicIsMended(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(l *lab) (mend func())
		aborts float64
	}{
		"the topic is missing": {breaks: func(l *lab) func() {
			return func() {
				if _, err := l.admin.CreateTopic(context.Background(), 1, 1, nil, "sometimes"); err != nil {
					t.Error(err)
				}
			}
		}},
		"the record is too large": {breaks: func(l *lab) func() {
			takes := func(bytes string) {
				if _, err := l.admin.CreateTopic(context.Background(), 1, 1, map[string]*string{"max.message.bytes": &bytes}, "sometimes"); err == nil {
					return
				}
				changed, err := l.admin.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &bytes}}, "sometimes")
				if err != nil || changed[0].Err != nil {
					t.Error(err, changed)
				}
			}
			takes("100")
			return func() { takes("100000") }
		}},
		"the right to write is taken": {aborts: 1, breaks: func(l *lab) func() {
			if _, err := l.admin.CreateTopic(context.Background(), 1, 1, nil, "sometimes"); err != nil {
				t.Error(err)
			}
			written := make(chan struct{})
			produce := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "sometimes", Err: kerr.TopicAuthorizationFailed, Count: -1})
			go func() { // the worker finds out by producing, before it looks
				_ = produce.Wait(context.Background(), 1)
				close(written)
			}()
			return func() {
				<-written
				metadata := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "sometimes", Err: kerr.TopicAuthorizationFailed, Count: -1})
				if err := metadata.Wait(context.Background(), 1); err != nil {
					t.Error(err)
				}
				produce.Remove()
				metadata.Remove()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, setting{partitions: 1}, func(_ context.Context, call *callOf, r *reply) error {
				r.egress("test/out", "sometimes", call.target.ID, strings.Repeat("v", 1000))
				return nil
			})
			mend := test.breaks(l)
			l.up()
			l.put("in", 0, "X", "r0")
			l.says("address is parked", "egress topic")
			mend()
			l.until("the record is there", func() bool { return len(l.read("sometimes")) == 1 })
			if n := l.metric("statefun_worker_transactions_aborted_total"); n > test.aborts {
				t.Errorf("%v transactions were aborted", n)
			}
		})
	}
}

// Addresses whose topic may be mended at any time are tried again after seconds, but many of them no oftener than all
// others are.
func TestTheWaitForATopicIsShortAndCostsNoMoreCallsForMany(t *testing.T) {
	missing := fmt.Errorf("%w: %w", errRefused, &egress.Refusal{Topic: "t", Reason: egress.UnknownTopic, Detail: errors.New("missing")})
	for _, test := range []struct {
		attempts, parked int
		err              error
		want             time.Duration
	}{
		{1, 1, missing, firstPause}, {20, 1, missing, mendPause}, {20, 1000, missing, 10 * time.Second}, {20, 1 << 20, missing, longestPause},
		{1, 1 << 20, missing, firstPause}, {20, 1, errRefused, longestPause},
		{20, 1, &egress.Refusal{Topic: "t", Reason: egress.OwnTopic, Detail: errors.New("own")}, longestPause},
	} {
		if got := parkedFor(test.attempts, test.parked, test.err); got != test.want {
			t.Errorf("after %d failures beside %d others: %v, want %v (%v)", test.attempts, test.parked, got, test.want, test.err)
		}
	}
}

// However many calls want to know of a topic at once, the cluster is asked once.
func TestATopicIsLookedUpOnceForAllWhoAsk(t *testing.T) {
	l := newLab(t, setting{partitions: 1, topics: []string{"asked"}}, echo)
	l.up()
	var asked atomic.Int64
	const calls = 50
	waiting := make(chan struct{})
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
		for _, topic := range r.(*kmsg.MetadataRequest).Topics {
			if topic.Topic != nil && *topic.Topic == "asked" {
				asked.Add(1)
				<-waiting
			}
		}
		return false
	}})
	var all sync.WaitGroup
	look := &l.worker.lookups
	for range calls {
		all.Go(func() {
			if err := look.learn(context.Background(), l.worker.catalog, "asked"); err != nil {
				t.Error(err)
			}
		})
	}
	l.until("one asks", func() bool { return asked.Load() > 0 })
	close(waiting)
	all.Wait()
	if n := asked.Load(); n > 2 { // one who comes when it is just over looks again
		t.Errorf("the cluster was asked %d times", n)
	}
}
