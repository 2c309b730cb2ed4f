package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// network is a process' way to the brokers. It can be cut for good, as by kill -9, and can lose the answer to the
// next EndTxn: the request was written, the connection breaks.
type network struct {
	mu      sync.Mutex
	gone    bool
	conns   map[net.Conn]bool
	loseEnd atomic.Bool
}

var errCut = errors.New("the network is cut")

func (n *network) dial(ctx context.Context, kind, host string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, kind, host)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && n.gone {
		conn.Close()
		err = errCut
	}
	if err != nil {
		return nil, err
	}
	if n.conns == nil {
		n.conns = map[net.Conn]bool{}
	}
	n.conns[conn] = true
	return conn, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = true
	n.breakAll()
}

func (n *network) breakAll() {
	for c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

func (n *network) heal() { n.loseEnd.Store(false) }

// OnBrokerWrite is kgo's hook.
func (n *network) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.EndTxn) && n.loseEnd.CompareAndSwap(true, false) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.breakAll()
	}
}

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
		{"connections broken", func() { p.network.mu.Lock(); p.network.breakAll(); p.network.mu.Unlock() }},
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
