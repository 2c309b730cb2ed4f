// Package balance distributes the mailbox partitions among the workers of a group: it decides, on the group's leader,
// which worker owns which partition and which workers follow it.
//
// A worker is useful for a partition only once its disk has the partition's state. So each worker says, when it joins,
// how far its disk has come in each partition (Local), and the leader plans with that (plan):
//
//   - a partition whose owner is gone goes at once to the worker whose disk is nearest;
//   - a partition that is to move for the sake of balance moves only to a worker that is warm for it. Until then
//     the owner serves on, and the new worker follows as a warm-up (Follow);
//   - followers (standbys) are the workers that are nearest already.
//
// Moves are cooperative. In one round the moving partition is in nobody's assignment, so its owner lets go of it and
// joins again; in the next round it has no owner and goes to the worker it was meant for. The plan keeps nothing
// between rounds: whoever leads computes the same from what the members say.
//
// On the wire are Kafka's own consumer metadata and assignment, which Kafka's tools can read; what is ours travels in
// their user data (local.go, follow.go).
package balance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Protocol is the name under which the members of a group agree on this balancer.
const Protocol = "statefun-sticky"

// DefaultAcceptableLag is how many rows a warm member may be behind, if Options say nothing.
const DefaultAcceptableLag = 10_000

// metadataVersion is the version of Kafka's consumer metadata that carries the generation of a claim.
const metadataVersion = 3

// Options are what a worker gives its balancer.
type Options struct {
	Topic         string         // the mailbox topic
	Local         func() Local   // what the worker says of itself; called at each join
	Follow        func([]Follow) // called with each assignment of this worker: all that it is to follow from now on
	AcceptableLag int64          // rows that a member may be behind the furthest one and still be warm; 0 is the default
}

// Follow is one partition that a worker is to keep on its disk without owning it.
type Follow struct {
	Partition int32
	WarmUp    bool // it is to become the owner once its lag is small
}

// Balancer is a kgo.GroupBalancer. It keeps nothing between rounds and may be used by one client.
type Balancer struct {
	o Options
}

// New returns a balancer for one group client.
func New(o Options) *Balancer {
	if o.AcceptableLag <= 0 {
		o.AcceptableLag = DefaultAcceptableLag
	}
	return &Balancer{o: o}
}

// ProtocolName names the balancer in the group protocol.
func (b *Balancer) ProtocolName() string { return Protocol }

// IsCooperative says that members keep what they own during a rebalance.
func (b *Balancer) IsCooperative() bool { return true }

// JoinGroupMetadata is what this member sends when it joins: what it owns, by which generation, and its Local.
func (b *Balancer) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics, meta.Generation = metadataVersion, topics, generation
	for _, topic := range slices.Sorted(maps.Keys(current)) {
		owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
		owned.Topic, owned.Partitions = topic, current[topic]
		meta.OwnedPartitions = append(meta.OwnedPartitions, owned)
	}
	meta.UserData = AppendLocal(nil, b.o.Local())
	return meta.AppendTo(nil)
}

// ParseSyncAssignment reads this member's assignment, and tells the worker what to follow before the client tells it
// what it owns.
func (b *Balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(assignment); err != nil {
		return nil, fmt.Errorf("read the assignment of this member: %w", err)
	}
	follows, err := parseFollows(a.UserData)
	if err != nil {
		return nil, fmt.Errorf("read what this member is to follow: %w", err)
	}
	owned := make(map[string][]int32, len(a.Topics))
	for _, t := range a.Topics {
		owned[t.Topic] = t.Partitions
	}
	b.o.Follow(follows)
	return owned, nil
}

// MemberBalancer reads what the members say; only the leader's client calls it.
func (b *Balancer) MemberBalancer(joined []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	g := &group{topic: b.o.Topic, acceptableLag: b.o.AcceptableLag}
	for i := range joined {
		if err := g.add(&joined[i]); err != nil {
			return nil, nil, err
		}
	}
	topics := map[string]struct{}{}
	if len(g.members) > 0 {
		topics[b.o.Topic] = struct{}{}
	}
	return g, topics, nil
}
