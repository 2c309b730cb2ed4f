package balance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// group is one round on the leader: what the members said, until the client tells how many partitions there are.
type group struct {
	topic         string
	acceptableLag int64
	members       []member // those that subscribe to the topic
	others        []string // member ids of those that do not; they get an empty assignment
}

// add reads what one member says. A member whose data is not readable is cold; its claims count all the same.
func (g *group) add(joined *kmsg.JoinGroupResponseMember) error {
	meta := kmsg.NewConsumerMemberMetadata()
	m := member{id: joined.MemberID, name: joined.MemberID}
	if joined.InstanceID != nil {
		m.name = *joined.InstanceID
	}
	if err := meta.ReadFrom(joined.ProtocolMetadata); err != nil {
		return fmt.Errorf("read the metadata of group member %s: %w", m.name, err)
	}
	if !slices.Contains(meta.Topics, g.topic) {
		g.others = append(g.others, m.id)
		return nil
	}
	m.generation = meta.Generation
	for _, o := range meta.OwnedPartitions {
		if o.Topic == g.topic {
			m.claims = append(m.claims, o.Partitions...)
		}
	}
	if l, err := ParseLocal(meta.UserData); err != nil {
		m.silent = true
	} else {
		m.standbys, m.positions = l.Standbys, l.Positions
	}
	g.members = append(g.members, m)
	return nil
}

var errNotCalled = errors.New("the client calls BalanceOrError")

// Balance is required by kgo.GroupMemberBalancer; the client calls BalanceOrError in its place.
func (g *group) Balance(map[string]int32) kgo.IntoSyncAssignment { panic(errNotCalled) }

// BalanceOrError makes the plan. A topic without partitions is an error, because the plan would take every partition
// from its owner: the leader's metadata may lack the topic for a moment.
func (g *group) BalanceOrError(topics map[string]int32) (kgo.IntoSyncAssignment, error) {
	partitions := topics[g.topic]
	if partitions == 0 && len(g.members) > 0 {
		return nil, fmt.Errorf("balance the group: topic %s has no partitions that this worker knows of: does it exist, and may this worker describe it?", g.topic)
	}
	var a assignments
	for i, s := range plan(partitions, g.members, g.acceptableLag) {
		a = append(a, assignment(g.members[i].id, g.topic, s))
	}
	for _, id := range g.others {
		a = append(a, assignment(id, g.topic, share{}))
	}
	return a, nil
}

// assignments is what the leader sends to the broker.
type assignments []kmsg.SyncGroupRequestGroupAssignment

// IntoSyncAssignment hands the assignments to the client.
func (a assignments) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment { return a }

func assignment(memberID, topic string, s share) kmsg.SyncGroupRequestGroupAssignment {
	var a kmsg.ConsumerMemberAssignment
	if len(s.owned) > 0 {
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic, t.Partitions = topic, s.owned
		a.Topics = append(a.Topics, t)
	}
	a.UserData = encodeFollows(s.follows)
	out := kmsg.NewSyncGroupRequestGroupAssignment()
	out.MemberID, out.MemberAssignment = memberID, a.AppendTo(nil)
	return out
}
