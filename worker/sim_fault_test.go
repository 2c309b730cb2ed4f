package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault lets one fault happen, or none.
func (s *sim) fault(p *process) {
	faults := []struct {
		name string
		do   func()
	}{
		{"kill", func() { p.kill(); p.start() }},
		{"answer to EndTxn lost", func() { p.network.loseEnd.Store(true) }},
		{"answer to EndTxn lost for good", func() { p.loseEnd(kerr.UnknownServerError) }},
		{"answer to EndTxn lost, then abortable", func() { p.loseEnd(kerr.TransactionAbortable) }},
		{"EndTxn not done, unknown error", func() { p.inject(kmsg.EndTxn, kerr.UnknownServerError, "") }},
		{"EndTxn abortable", func() { p.inject(kmsg.EndTxn, kerr.TransactionAbortable, "") }},
		{"EndTxn concurrent transactions", func() { p.inject(kmsg.EndTxn, kerr.ConcurrentTransactions, "") }},
		{"answer to produce lost", func() { p.inject(kmsg.Produce, kerr.RequestTimedOut, "") }},
		{"produce to another leader", func() { p.inject(kmsg.Produce, kerr.NotLeaderForPartition, "") }},
		{"changelog row refused", func() { p.inject(kmsg.Produce, kerr.MessageTooLarge, "app-changelog") }},
		{"egress record refused", func() { p.inject(kmsg.Produce, kerr.InvalidRecord, "out") }},
		{"answer to offsets lost", func() { p.inject(kmsg.TxnOffsetCommit, kerr.RequestTimedOut, "") }},
		{"offsets: illegal generation", func() { p.inject(kmsg.TxnOffsetCommit, kerr.IllegalGeneration, "") }},
		{"offsets: rebalance in progress", func() { p.inject(kmsg.TxnOffsetCommit, kerr.RebalanceInProgress, "") }},
		{"offsets: concurrent transactions", func() { p.inject(kmsg.TxnOffsetCommit, kerr.ConcurrentTransactions, "") }},
		{"offsets: unknown member", func() { p.evict() }},
		{"producer fenced", func() { p.steal() }},
		{"leaders moved", func() { s.cluster.ShufflePartitionLeaders() }},
		{"coordinators moved", func() { s.cluster.RehashCoordinators() }},
		{"connections broken", func() { p.network.breakAll() }},
	}
	if s.rng.IntN(3) == 0 {
		return
	}
	f := faults[s.rng.IntN(len(faults))]
	if !strings.Contains(f.name, *simFault) {
		return
	}
	s.count(f.name)
	f.do()
}

// loseEnd loses the answer to an EndTxn. The client asks again by itself, and what it is answered then tells nothing of
// the first request.
func (p *process) loseEnd(again *kerr.Error) {
	asked := 0
	p.network.loseEnd.Store(true)
	p.s.pending = append(p.s.pending, p.s.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.EndTxn}, Err: again, When: func(kmsg.Request) bool { asked++; return asked > 1 },
	}))
}

func (p *process) inject(key kmsg.Key, err *kerr.Error, topic string) {
	id := fmt.Sprintf("app-%s-%d", p.name, rand.IntN(producerSlots))
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Topic: topic, Count: 1 + rand.IntN(2), TxnID: id}
	if key == kmsg.Produce { // kfake matches no transactional id there: such a fault would never happen
		f.TxnID = ""
		f.When = func(r kmsg.Request) bool {
			t := r.(*kmsg.ProduceRequest).TransactionID
			return t != nil && *t == id
		}
	}
	p.s.pending = append(p.s.pending, p.s.cluster.Fault(f))
}

// evict makes the group forget the worker, who finds out at his next heartbeat or commit.
func (p *process) evict() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.s.admin.LeaveGroup(ctx, kadm.LeaveGroup("app").InstanceIDs(p.name))
}

// steal takes the transactional id away, as a broker does after the transaction time-out, or a taker.
func (p *process) steal() {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.s.brokers...), kgo.TransactionalID(fmt.Sprintf("app-%s-%d", p.name, p.s.rng.IntN(producerSlots))))
	if err != nil {
		p.s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	client.ProducerID(ctx)
}
