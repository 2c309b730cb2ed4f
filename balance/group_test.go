package balance

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const mailbox = "app-mailbox"

// joined is a member as the broker shows it to the leader.
func joined(id string, metadata []byte) kmsg.JoinGroupResponseMember {
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID, m.ProtocolMetadata = id, metadata
	return m
}

func says(l Local) *Balancer {
	return New(Options{Topic: mailbox, Local: func() Local { return l }, Follow: func([]Follow) {}})
}

func balanced(t *testing.T, partitions int32, joined ...kmsg.JoinGroupResponseMember) map[string]kmsg.ConsumerMemberAssignment {
	t.Helper()
	b, topics, err := says(Local{}).MemberBalancer(joined)
	if err != nil {
		t.Fatal(err)
	}
	if _, wanted := topics[mailbox]; !wanted || len(topics) != 1 {
		t.Fatalf("it wants the partitions of %v", topics)
	}
	into, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{mailbox: partitions})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]kmsg.ConsumerMemberAssignment{}
	for _, a := range into.IntoSyncAssignment() {
		var read kmsg.ConsumerMemberAssignment
		if err := read.ReadFrom(a.MemberAssignment); err != nil {
			t.Fatal(err)
		}
		out[a.MemberID] = read
	}
	if len(out) != len(joined) {
		t.Fatalf("%d members got an assignment, %d joined", len(out), len(joined))
	}
	return out
}

func partitionsOf(a kmsg.ConsumerMemberAssignment) []int32 {
	var all []int32
	for _, t := range a.Topics {
		all = append(all, t.Partitions...)
	}
	return all
}

func TestMetadataIsKafkasOwnWithOurDataInIt(t *testing.T) {
	l := Local{Standbys: 1, Round: 4, Positions: map[int32]int64{3: 9}}
	b := says(l).JoinGroupMetadata([]string{mailbox}, map[string][]int32{mailbox: {1, 3}}, 7)
	meta := kmsg.NewConsumerMemberMetadata()
	if err := meta.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if meta.Generation != 7 || !slices.Equal(meta.Topics, []string{mailbox}) || len(meta.OwnedPartitions) != 1 ||
		meta.OwnedPartitions[0].Topic != mailbox || !slices.Equal(meta.OwnedPartitions[0].Partitions, []int32{1, 3}) {
		t.Errorf("got %+v", meta)
	}
	if back, err := MemberLocal(b); err != nil || !reflect.DeepEqual(back, l) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestMemberLocalSaysThatAMemberHasNone(t *testing.T) {
	b := kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{mailbox}, nil, 1)
	if _, err := MemberLocal(b); err == nil {
		t.Error("a member with the data of another balancer should have no Local")
	}
	if _, err := MemberLocal([]byte{0}); err == nil || !strings.Contains(err.Error(), "read a member's metadata") {
		t.Errorf("got %v", err)
	}
}

func TestAnAssignmentTellsWhatToFollowAndWhatIsOwned(t *testing.T) {
	var told []Follow
	b := New(Options{Topic: mailbox, Local: func() Local { return Local{} }, Follow: func(f []Follow) { told = f }})
	a := assignment("m", mailbox, share{owned: []int32{2, 4}, follows: []Follow{{Partition: 1, WarmUp: true}, {Partition: 3}}})
	owned, err := b.ParseSyncAssignment(a.MemberAssignment)
	if err != nil || !reflect.DeepEqual(owned, map[string][]int32{mailbox: {2, 4}}) {
		t.Errorf("got %v, %v", owned, err)
	}
	if !slices.Equal(told, []Follow{{Partition: 1, WarmUp: true}, {Partition: 3}}) {
		t.Errorf("was told to follow %v", told)
	}
	if _, err := b.ParseSyncAssignment(assignment("m", mailbox, share{}).MemberAssignment); err != nil || len(told) > 0 {
		t.Errorf("was told to follow %v, %v", told, err)
	}
	if _, err := b.ParseSyncAssignment(nil); err == nil {
		t.Error("no assignment should be an error, so that the client joins again")
	}
}

func TestAMemberThatDoesNotSubscribeGetsNothingAndHoldsNothingUp(t *testing.T) {
	got := balanced(t, 4,
		joined("m1", says(Local{}).JoinGroupMetadata([]string{mailbox}, nil, -1)),
		joined("m2", says(Local{}).JoinGroupMetadata([]string{"other"}, map[string][]int32{mailbox: {0}}, 3)))
	if p := partitionsOf(got["m1"]); !slices.Equal(p, []int32{0, 1, 2, 3}) {
		t.Errorf("the member that subscribes got %v", p)
	}
	if p := partitionsOf(got["m2"]); len(p) > 0 {
		t.Errorf("the member that does not subscribe got %v", p)
	}
}

// The other member's claims of another topic are none of the mailbox.
func TestAMemberWithDataOfAnotherVersionKeepsWhatItOwns(t *testing.T) {
	other := kmsg.NewConsumerMemberMetadata()
	other.Version, other.Topics, other.Generation, other.UserData = 3, []string{mailbox}, 5, []byte{9, 9, 9}
	owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
	owned.Topic, owned.Partitions = mailbox, []int32{0, 1, 2}
	other.OwnedPartitions = append(other.OwnedPartitions, owned)
	got := balanced(t, 4, joined("new", other.AppendTo(nil)),
		joined("old", says(Local{Positions: everywhere(4, far)}).JoinGroupMetadata([]string{mailbox, "other"}, map[string][]int32{"other": {0, 1}}, 9)))
	if p := partitionsOf(got["new"]); !slices.Equal(p, []int32{0, 1, 2}) {
		t.Errorf("it got %v", p)
	}
	if p := partitionsOf(got["old"]); !slices.Equal(p, []int32{3}) {
		t.Errorf("the other one got %v", p)
	}
}

func TestMembersAreKnownByTheirInstanceID(t *testing.T) {
	first := joined("z", says(Local{}).JoinGroupMetadata([]string{mailbox}, nil, -1))
	first.InstanceID = kmsg.StringPtr("a")
	second := joined("b", says(Local{}).JoinGroupMetadata([]string{mailbox}, nil, -1))
	got := balanced(t, 1, second, first)
	if p := partitionsOf(got["z"]); !slices.Equal(p, []int32{0}) {
		t.Errorf("the first by instance id got %v", p)
	}
}

func TestWhatCannotBeBalancedIsAnError(t *testing.T) {
	if _, _, err := says(Local{}).MemberBalancer([]kmsg.JoinGroupResponseMember{joined("m1", []byte{0})}); err == nil || !strings.Contains(err.Error(), "m1") {
		t.Errorf("got %v", err)
	}
	b, _, err := says(Local{}).MemberBalancer([]kmsg.JoinGroupResponseMember{joined("m1", says(Local{}).JoinGroupMetadata([]string{mailbox}, nil, -1))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{}); err == nil || !strings.Contains(err.Error(), mailbox) {
		t.Errorf("a topic without partitions would take all from everybody: got %v", err)
	}
}
