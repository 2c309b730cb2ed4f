package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault is something that goes wrong.
type fault struct {
	name string
	do   func()
}

// fault lets one fault happen, or none.
func (s *sim) fault(p *process) {
	faults := append(append(s.processFaults(p), s.brokerFaults(p)...), s.groupFaults(p)...)
	if more := s.outsideFaults(p); len(more) > 0 && s.rng.IntN(3) == 0 {
		faults = more
	}
	if s.rng.IntN(3) == 0 {
		return
	}
	f := faults[s.rng.IntN(len(faults))]
	if !strings.Contains(f.name, *simFault) {
		return
	}
	s.doing = f.name
	before := len(s.pending)
	s.missed = false
	f.do()
	if len(s.pending) == before && !s.missed {
		s.count(f.name)
	}
}

// await waits for the moment of a fault, which may not come: the worker may have nothing to do. Then the fault is none.
func (s *sim) await(moment <-chan struct{}) (came bool) {
	select {
	case <-moment:
		return true
	case <-time.After(60 * time.Millisecond):
		s.missed = true
		return false
	}
}

// outsideFaults fall on what only some worlds have.
func (s *sim) outsideFaults(p *process) (faults []fault) {
	if s.sink != nil {
		faults = append(faults, fault{"kill behind a delivery", p.killAtDelivery})
	}
	if s.shape.own {
		faults = append(faults, s.ownFaults(p)...)
	}
	if s.far != nil {
		faults = append(faults, s.far.faults(p)...)
	}
	return faults
}

func (s *sim) processFaults(p *process) []fault {
	return []fault{
		{"kill", func() { p.kill(); p.start() }},
		{"kill during a take-over", func() {
			p.kill()
			p.start()
			if p.takesOver() {
				p.kill()
				p.start()
			}
		}},
		{"kill of all", func() {
			for _, p := range s.processes {
				p.kill()
			}
			for _, p := range s.processes {
				p.start()
			}
		}},
		{"stall", func() { p.stall(time.Duration(50+s.rng.IntN(300))*time.Millisecond, s.rng.IntN(2) == 0) }},
		{"stall past the session", func() {
			p.stall(simSession+time.Duration(100+s.rng.IntN(400))*time.Millisecond, s.rng.IntN(2) == 0)
		}},
		{"connections broken", func() { p.network.breakAll() }},
	}
}

func (s *sim) brokerFaults(p *process) []fault {
	faults := []fault{
		{"answer to EndTxn lost", func() { p.network.loseEnd.Store(true) }},
		{"answer to EndTxn lost for good", func() { p.loseEnd(kerr.UnknownServerError) }},
		{"answer to EndTxn lost, then abortable", func() { p.loseEnd(kerr.TransactionAbortable) }},
		{"answer to produce lost", func() { p.inject(kmsg.Produce, kerr.RequestTimedOut, "") }},
		{"changelog row refused", func() { p.inject(kmsg.Produce, kerr.MessageTooLarge, "app-changelog") }},
		{"egress record refused", func() { p.inject(kmsg.Produce, kerr.InvalidRecord, "out") }},
		{"answer to offsets lost", func() { p.inject(kmsg.TxnOffsetCommit, kerr.RequestTimedOut, "") }},
		{"producer fenced", func() { p.steal() }},
		{"leaders moved", func() { s.cluster.ShufflePartitionLeaders() }},
		{"leader of one partition moved", func() { s.moveLeader() }},
		{"coordinators moved", func() { s.cluster.RehashCoordinators() }},
	}
	// The matrix of what each request of a transaction can be answered with.
	for _, m := range []struct {
		key  kmsg.Key
		name string
		errs []*kerr.Error
	}{
		{kmsg.EndTxn, "EndTxn", []*kerr.Error{
			kerr.CoordinatorLoadInProgress, kerr.ConcurrentTransactions, kerr.NotCoordinator, kerr.TransactionAbortable, kerr.UnknownServerError,
			kerr.OperationNotAttempted, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping,
		}},
		{kmsg.Produce, "produce", []*kerr.Error{
			kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.InvalidProducerEpoch, kerr.TransactionAbortable, kerr.UnknownServerError,
		}},
		{kmsg.TxnOffsetCommit, "offsets", []*kerr.Error{
			kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.ConcurrentTransactions, kerr.UnknownMemberID, kerr.FencedInstanceID,
			kerr.StaleMemberEpoch, kerr.GroupIDNotFound, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.TransactionAbortable,
		}},
		{kmsg.InitProducerID, "producer id", []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable, kerr.NotCoordinator}},
		{kmsg.AddPartitionsToTxn, "partitions to the transaction", []*kerr.Error{kerr.ConcurrentTransactions, kerr.InvalidTxnState}},
		{kmsg.AddOffsetsToTxn, "offsets to the transaction", []*kerr.Error{kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable}},
	} {
		err := m.errs[s.rng.IntN(len(m.errs))]
		faults = append(faults, fault{fmt.Sprintf("%s: %s", m.name, err.Message), func() { p.inject(m.key, err, "") }})
		faults = append(faults, faults[len(faults)-1]) // as likely as those above
	}
	return faults
}

func (s *sim) groupFaults(p *process) []fault {
	return []fault{
		{"offsets: unknown member", func() { p.evict() }},
		{"evicted twice", func() {
			p.evict()
			p.takesOver()
			p.evict()
		}},
		// The client gives the partitions up, and joins again under the id that it has.
		{"membership lost, same member id", func() { p.injectGroup(kmsg.Heartbeat, kerr.UnknownServerError) }},
		{"heartbeat: coordinator moved", func() { p.injectGroup(kmsg.Heartbeat, kerr.NotCoordinator) }},
		{"heartbeat: illegal generation", func() { p.injectGroup(kmsg.Heartbeat, kerr.IllegalGeneration) }},
		{"join refused", func() {
			p.injectGroup(kmsg.JoinGroup, kerr.UnknownMemberID)
			p.injectGroup(kmsg.Heartbeat, kerr.RebalanceInProgress)
		}},
		{"offsets not stable", func() {
			s.arm(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "app", Err: kerr.UnstableOffsetCommit, Count: 3})
		}},
	}
}

// loseEnd loses the answer to an EndTxn. The client asks again by itself, and what it is answered then tells nothing of
// the first request.
func (p *process) loseEnd(again *kerr.Error) {
	asked := 0
	p.network.loseEnd.Store(true)
	p.s.arm(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: again, When: func(kmsg.Request) bool { asked++; return asked > 1 }})
}

func (p *process) inject(key kmsg.Key, err *kerr.Error, topic string) {
	id := fmt.Sprintf("app-%s-%d", p.name, p.s.rng.IntN(producerSlots))
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Topic: topic, Count: 1 + p.s.rng.IntN(2), TxnID: id}
	if key == kmsg.Produce { // kfake matches no transactional id there: such a fault would never happen
		f.TxnID = ""
		f.When = func(r kmsg.Request) bool {
			t := r.(*kmsg.ProduceRequest).TransactionID
			return t != nil && *t == id
		}
	}
	p.s.arm(f)
}

func (p *process) injectGroup(key kmsg.Key, err *kerr.Error) {
	name := p.name
	p.s.arm(kfake.Fault{
		Keys: []kmsg.Key{key}, Err: err, When: func(r kmsg.Request) bool {
			var id *string
			switch r := r.(type) {
			case *kmsg.HeartbeatRequest:
				id = r.InstanceID
			case *kmsg.JoinGroupRequest:
				if r.MemberID != "" {
					id = r.InstanceID
				}
			}
			return id != nil && *id == name
		},
	})
}

// moveLeader gives one partition of a topic to another broker.
func (s *sim) moveLeader() {
	topics := []string{"app-changelog", "app-mailbox", "in", "in2", "out"}
	if s.shape.own {
		topics = append(topics, filled)
	}
	topic := topics[s.rng.IntN(len(topics))]
	p := int32(s.rng.IntN(simPartitions))
	if leader := s.cluster.LeaderFor(topic, p); leader >= 0 {
		s.cluster.MoveTopicPartition(topic, p, (leader+1)%simBrokers)
	}
}

// evict makes the group forget the worker, who finds out at his next heartbeat or commit. A JoinGroup of his that waits
// for others is never answered then by kfake, where Kafka says UNKNOWN_MEMBER_ID: his connections break instead.
func (p *process) evict() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.s.admin.LeaveGroup(ctx, kadm.LeaveGroup("app").InstanceIDs(p.name))
	p.network.breakAll()
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
