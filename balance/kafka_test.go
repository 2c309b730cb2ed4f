package balance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

const groupName = "app"

// client is a real group member. What it says and what it was told is guarded by the room's lock.
type client struct {
	name   string
	in     *room
	kafka  *kgo.Client
	local  Local
	owns   map[int32]bool
	follow []Follow
	lost   int // partitions that it had to let go of
}

// room is a group of clients on one broker; changed is closed and made anew with each thing that they are told.
type room struct {
	t       *testing.T
	addr    string
	mu      sync.Mutex
	changed chan struct{}
	clients []*client
}

func openRoom(t *testing.T, partitions int32) *room {
	b, err := broker.Start(broker.Config{Topics: []broker.Topic{{Name: mailbox, Partitions: partitions}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &room{t: t, addr: b.Addr(), changed: make(chan struct{})}
}

func (r *room) tell(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// join starts a client whose disk has the positions.
func (r *room) join(name string, positions map[int32]int64) *client {
	c := &client{name: name, in: r, owns: map[int32]bool{}, local: Local{Standbys: 1, Positions: positions}}
	take := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			r.tell(func() {
				for _, id := range changed[mailbox] {
					c.owns[id] = has
				}
				if !has {
					c.lost += len(changed[mailbox])
				}
				maps.DeleteFunc(c.owns, func(_ int32, has bool) bool { return !has })
			})
		}
	}
	balancer := New(Options{Topic: mailbox,
		Local: func() Local {
			r.mu.Lock()
			defer r.mu.Unlock()
			l := c.local
			l.Positions = maps.Clone(l.Positions)
			return l
		},
		Follow: func(f []Follow) { r.tell(func() { c.follow = f }) },
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.addr), kgo.ConsumerGroup(groupName), kgo.ConsumeTopics(mailbox), kgo.InstanceID(name),
		kgo.Balancers(balancer), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(take(true)), kgo.OnPartitionsRevoked(take(false)), kgo.OnPartitionsLost(take(false)))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cl.Close)
	c.kafka = cl
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, c)
	return c
}

// until waits until the group looks as wanted.
func (r *room) until(what string, holds func() bool) {
	r.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		ok, changed, state := holds(), r.changed, r.state()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			r.t.Fatalf("%s did not come to be: %s", what, state)
		}
	}
}

func (r *room) state() string {
	s := ""
	for _, c := range r.clients {
		s += fmt.Sprintf("%s owns %v follows %v; ", c.name, slices.Sorted(maps.Keys(c.owns)), c.follow)
	}
	return s
}

func (c *client) warmUps() (warm []int32) {
	for _, f := range c.follow {
		if f.WarmUp {
			warm = append(warm, f.Partition)
		}
	}
	return warm
}

// again asks for a new distribution, after the client's disk has come up with what it follows.
func (c *client) again(read bool) {
	c.in.mu.Lock()
	c.local.Round++
	for _, f := range c.follow {
		if read {
			c.local.Positions[f.Partition] = far
		}
	}
	c.in.mu.Unlock()
	c.kafka.ForceRebalance()
}

func TestARealGroupGivesAPartitionToANewMemberOnceItIsWarm(t *testing.T) {
	r := openRoom(t, 6)
	a := r.join("a", everywhere(6, far))
	r.until("a has everything", func() bool { return len(a.owns) == 6 })

	b := r.join("b", map[int32]int64{})
	r.until("b warms up", func() bool { return len(b.warmUps()) == maxWarmUps && len(b.follow) == 6 })
	r.until("a has everything still", func() bool { return len(a.owns) == 6 && len(b.owns) == 0 })

	// A wish that changes nothing but Round makes a round for everybody, and moves nothing.
	_, before := b.kafka.GroupMetadata()
	b.again(false)
	r.until("a new round", func() bool {
		_, now := a.kafka.GroupMetadata()
		return now > before
	})
	r.until("nothing moved", func() bool { return len(a.owns) == 6 && len(b.warmUps()) == maxWarmUps })

	b.again(true)
	r.until("b has its half", func() bool { return len(a.owns) == 3 && len(b.owns) == 3 && len(b.warmUps()) == 0 })
	r.until("they follow each other", func() bool { return len(a.follow) == 3 && len(b.follow) == 3 })

	c := r.join("c", everywhere(6, far))
	r.until("c, which is warm, has its third", func() bool { return len(a.owns) == 2 && len(b.owns) == 2 && len(c.owns) == 2 })
	r.until("nobody let go of more than that", func() bool { return a.lost == 4 && b.lost == 1 && c.lost == 0 })

	r.said(3)
	r.leave(c)
	r.until("the others have what c had", func() bool { return len(a.owns) == 3 && len(b.owns) == 3 })
}

// said reads what the members say of themselves as any client of the brokers sees it.
func (r *room) said(members int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	groups, err := kadm.NewClient(r.clients[0].kafka).DescribeGroups(ctx, groupName)
	if err != nil {
		r.t.Fatal(err)
	}
	said := 0
	for _, m := range groups[groupName].Members {
		meta, ok := m.Join.AsConsumer()
		if !ok {
			r.t.Fatalf("member %s has no metadata of Kafka's own kind", m.MemberID)
		}
		l, err := MemberLocal(meta.AppendTo(nil))
		if err != nil {
			r.t.Fatal(err)
		}
		if l.Standbys == 1 && len(l.Positions) > 0 {
			said++
		}
	}
	if said != members {
		r.t.Errorf("%d members say what their disks have, want %d", said, members)
	}
}

// leave takes a static member out of the group: without that its place would be kept until its session ends.
func (r *room) leave(c *client) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.kafka.Close()
	if _, err := kadm.NewClient(r.clients[0].kafka).LeaveGroup(ctx, kadm.LeaveGroup(groupName).InstanceIDs(c.name)); err != nil {
		r.t.Fatal(err)
	}
	r.tell(func() { r.clients = slices.DeleteFunc(r.clients, func(o *client) bool { return o == c }) })
}
