package worker

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stalled is a hook that holds the client's metadata goroutine when it hands on the records of a new topic.
type stalled struct {
	topic   string
	reached chan struct{}
	release chan struct{}
	once    sync.Once
}

func (s *stalled) OnProduceRecordPartitioned(r *kgo.Record, _ int32) {
	if r.Topic == s.topic {
		s.once.Do(func() { close(s.reached) })
		<-s.release
	}
}

// All records of a transaction are acknowledged while the client's metadata goroutine is still busy. Without the wait
// EndTransaction may abort the transaction and say that it went well.
func TestACommitWaitsForTheClientToKnowItsTopics(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "changelog", "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	hook := &stalled{topic: "other", reached: make(chan struct{}), release: make(chan struct{})}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.TransactionalID("app-w-0"), kgo.WithHooks(hook))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	client.Produce(context.Background(), &kgo.Record{Topic: "other"}, nil)
	<-hook.reached

	p := &producer{client: client, produced: map[string]bool{}}
	tx := &transaction{parts: []part{{id: 0}}}
	brief, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.settle(brief, tx, "changelog"); err == nil {
		t.Fatal("the commit goes on while the client does not know its topics")
	}
	close(hook.release)
	p.produced = map[string]bool{}
	if err := p.settle(context.Background(), tx, "changelog"); err != nil {
		t.Fatal(err)
	}
	if err := p.settle(brief, tx, "changelog"); err != nil {
		t.Errorf("a topic that was produced to before is waited for again: %v", err)
	}
}
