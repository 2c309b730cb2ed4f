package rescale

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// lockProtocol is a group protocol that no worker speaks: the coordinator lets none in while a member speaks only this
	// one, and lets this one in only while there is no worker.
	lockProtocol = "statefun-rescale"

	lockSession   = 10 * time.Second
	lockHeartbeat = 500 * time.Millisecond

	// lockPatience is how long it waits for the place of a killed run to become free, and to be let in itself.
	lockPatience = lockSession + 5*time.Second
	lockRetry    = 200 * time.Millisecond
)

// lock is the membership in the application's group.
type lock struct {
	client *kgo.Client
	let    chan struct{} // closed when the group has let us in
	failed chan error
	in     sync.Once
	lost   context.CancelCauseFunc
}

// errLockLost ends a run that the group has given up: a worker may be a member by now.
var errLockLost = errors.New("the place in the consumer group was lost, run the command again")

// takeLock joins the group. ctx is cancelled when the place is lost.
func (j *job) takeLock(ctx context.Context, cancel context.CancelCauseFunc) error {
	if err := j.awaitEmpty(ctx); err != nil {
		return err
	}
	l := &lock{let: make(chan struct{}), failed: make(chan error, 1), lost: cancel}
	// The topic is one that exists in every generation's life; nothing of it is assigned to anybody.
	topic, err := j.anyTopic(ctx)
	if err != nil {
		return err
	}
	l.client, err = j.Reading.Open(
		kgo.ConsumerGroup(j.ApplicationID), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ClientID("statefun-kafka-rescale"),
		kgo.SessionTimeout(lockSession), kgo.HeartbeatInterval(lockHeartbeat), kgo.Balancers(lockBalancer{}),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { l.in.Do(func() { close(l.let) }) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { l.lost(errLockLost) }),
		kgo.WithHooks(l),
	)
	if err != nil {
		return err
	}
	j.lock = l
	j.closes = append(j.closes, l.client.Close) // leaves the group
	wait := time.NewTimer(lockPatience)
	defer wait.Stop()
	select {
	case <-l.let:
	case err := <-l.failed:
		return refuse("join group %s, to keep workers out: %w: stop all workers of the application", j.ApplicationID, err)
	case <-wait.C:
		return refuse("group %s has not let the rescale in for %s: look at its members, and stop all workers of the application", j.ApplicationID, lockPatience)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return j.checkAlone(ctx)
}

// OnGroupManageError is kgo's hook for a group session that ended.
func (l *lock) OnGroupManageError(err error) {
	select {
	case <-l.let:
		l.lost(fmt.Errorf("%w: %w", errLockLost, err))
		return
	default:
	}
	var refusal *kerr.Error
	if errors.As(err, &refusal) && !refusal.Retriable {
		select {
		case l.failed <- err:
		default:
		}
	}
}

// awaitEmpty refuses while the group has members; the place of a run that was killed is waited for.
func (j *job) awaitEmpty(ctx context.Context) error {
	until := time.Now().Add(lockPatience)
	for {
		workers, rescales, err := j.members(ctx)
		switch {
		case err != nil && (!kerr.IsRetriable(err) || time.Now().After(until)): // a new cluster's coordinator takes a while
			return err
		case len(workers) > 0:
			return refuse("application %s runs, its group has the members %s: stop them", j.ApplicationID, strings.Join(workers, ", "))
		case err == nil && rescales == 0:
			return nil
		case time.Now().After(until):
			return refuse("another rescale of application %s runs: wait for its end", j.ApplicationID)
		}
		if !pause(ctx, lockRetry) {
			return context.Cause(ctx)
		}
	}
}

// checkAlone finds a second rescale that was let in at the same moment.
func (j *job) checkAlone(ctx context.Context) error {
	workers, rescales, err := j.members(ctx)
	if err == nil && (len(workers) > 0 || rescales != 1) {
		err = refuse("another rescale of application %s has begun at the same moment: run it again once that one has ended", j.ApplicationID)
	}
	return err
}

// members are the names of the workers in the group, and how many rescales are in it.
func (j *job) members(ctx context.Context) (workers []string, rescales int, err error) {
	groups, err := j.adm.DescribeGroups(ctx, j.ApplicationID)
	if err != nil {
		return nil, 0, fmt.Errorf("describe group %s: %w", j.ApplicationID, err)
	}
	g := groups[j.ApplicationID]
	if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
		return nil, 0, fmt.Errorf("describe group %s: %w", j.ApplicationID, g.Err)
	}
	for _, m := range g.Members {
		if m.ClientID == "statefun-kafka-rescale" {
			rescales++
			continue
		}
		workers = append(workers, fmt.Sprintf("%s (client %s on %s)", m.MemberID, m.ClientID, m.ClientHost))
	}
	// A group of the consumer protocol is unknown to the request above.
	consumers, err := j.adm.DescribeConsumerGroups(ctx, j.ApplicationID)
	if err != nil {
		return workers, rescales, nil //nolint:nilerr // a cluster without that protocol has no such groups
	}
	for _, m := range consumers[j.ApplicationID].Members {
		workers = append(workers, fmt.Sprintf("%s (client %s on %s)", m.MemberID, m.ClientID, m.ClientHost))
	}
	return workers, rescales, nil
}

// lockBalancer distributes nothing. Its metadata are none that a consumer would send, so the coordinator cannot turn the group
// into one of the newer protocol, whose members it would let in.
type lockBalancer struct{}

// ProtocolName is kgo.GroupBalancer's.
func (lockBalancer) ProtocolName() string { return lockProtocol }

// IsCooperative is kgo.GroupBalancer's.
func (lockBalancer) IsCooperative() bool { return false }

// JoinGroupMetadata is kgo.GroupBalancer's.
func (lockBalancer) JoinGroupMetadata([]string, map[string][]int32, int32) []byte { return []byte{} }

// ParseSyncAssignment is kgo.GroupBalancer's.
func (lockBalancer) ParseSyncAssignment([]byte) (map[string][]int32, error) { return nil, nil }

// MemberBalancer is kgo.GroupBalancer's.
func (lockBalancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	return nothing(members), map[string]struct{}{}, nil
}

// nothing is what each member is given.
type nothing []kmsg.JoinGroupResponseMember

// Balance is kgo.GroupMemberBalancer's.
func (n nothing) Balance(map[string]int32) kgo.IntoSyncAssignment { return n }

// IntoSyncAssignment is kgo.IntoSyncAssignment's.
func (n nothing) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment {
	list := make([]kmsg.SyncGroupRequestGroupAssignment, len(n))
	for i := range n {
		list[i].MemberID = n[i].MemberID
	}
	return list
}

// pause waits for d and reports whether ctx is not done.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
