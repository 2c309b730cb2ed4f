package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

// member is this worker's place in the consumer group. The group is about the partitions of the mailbox topic; the
// member reads nothing, and what it owns is tied to the identity that it had when it took over (H1).
type member struct {
	w      *Worker
	client *kgo.Client
	cancel context.CancelFunc // ends whatever the client is doing
	round  atomic.Uint32      // of wishes for a new distribution
	lapses atomic.Uint32      // times that the group has given this member's partitions up
}

// revocation is one revoke callback that waits for the loop to let go of partitions.
type revocation struct {
	partitions []int32
	cut        bool // the last commit has been begun
	handed     chan struct{}
}

// join opens the group client; assignments arrive as posts to the loop.
func (w *Worker) join() *member {
	ctx, cancel := context.WithCancel(w.lines)
	m := &member{w: w, cancel: cancel}
	client, err := w.settings.Open(append(m.protocol(),
		kgo.WithContext(ctx), kgo.ConsumerGroup(w.ApplicationID), kgo.ConsumeTopics(w.names.mailbox), kgo.DisableAutoCommit(),
		kgo.ClientID(clientID(w.names.worker, w.store.Identity().Nonce)),
		kgo.SessionTimeout(w.SessionTimeout), kgo.HeartbeatInterval(heartbeatInterval), kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, added map[string][]int32) {
			token := m.token(cl)
			w.post(func() { w.onAssigned(token, added[w.names.mailbox]) })
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, cl *kgo.Client, gone map[string][]int32) {
			m.revoked(cl, gone[w.names.mailbox])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
			m.lapses.Add(1)
			w.post(func() { w.onLost(gone[w.names.mailbox], "the group has given them up") })
		}),
		kgo.WithHooks(m),
	)...)
	if err != nil {
		cancel()
		w.fail(fmt.Errorf("open the group client: %w", err))
		return m
	}
	client.PauseFetchTopics(w.names.mailbox)
	m.client = client
	return m
}

// protocol is how the group distributes the partitions. With the consumer protocol no instance id is used: after a kill
// the broker would keep the place of that name for the whole session, and the name could not come back before.
func (m *member) protocol() []kgo.Opt {
	w := m.w
	if w.Module.Application.GroupProtocol == module.GroupConsumer {
		return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}
	}
	balancer := balance.New(balance.Options{
		Topic: w.names.mailbox, Local: m.local, AcceptableLag: acceptableLag,
		Follow: func(list []balance.Follow) { w.post(func() { w.onFollow(list) }) },
	})
	return []kgo.Opt{kgo.InstanceID(w.names.worker), kgo.Balancers(balancer)}
}

// acceptableLag is how many rows a worker may be behind in a partition and still be given it in a planned move: a
// replay of so many takes some 20 ms.
const acceptableLag = 10_000

// local is what this worker says of itself when it joins.
func (m *member) local() balance.Local {
	w := m.w
	l := balance.Local{
		Standbys: w.Module.Application.StandbyReplicas,
		Round:    m.round.Load(), Positions: map[int32]int64{}, Nonce: w.store.Identity().Nonce,
	}
	for id, at := range w.store.Positions() {
		if at.TopicID == w.changelogID() && id < w.plan.Partitions {
			l.Positions[id] = at.Offset
		}
	}
	return l
}

// again makes the group distribute the partitions anew.
func (m *member) again() {
	if m.client != nil {
		m.round.Add(1)
		m.client.ForceRebalance()
	}
}

// OnGroupManageError is kgo's hook for a group session that ended. A name that another worker has taken is the
// one thing that does not mend itself.
func (m *member) OnGroupManageError(err error) {
	if errors.Is(err, kerr.FencedInstanceID) {
		m.w.post(func() { m.w.fail(errFencedName(m.w.names.worker)) })
		return
	}
	m.w.post(func() { m.w.onGroupError(err) })
}

// onGroupError makes the worker unready until the group has answered again, and says so once.
func (w *Worker) onGroupError(err error) {
	if w.away == nil {
		w.log.Warn("the group cannot be reached, joining again", "error", err)
	}
	w.away = err
	w.report()
}

// returned notes that the brokers answer again.
func (w *Worker) returned() {
	if w.away != nil {
		w.away = nil
		w.log.Info("the brokers answer again")
		w.report()
	}
}

func errFencedName(name string) error {
	return fmt.Errorf("another worker has taken the name %q: give each worker its own %s, and do not copy state folders: %w", name, naming.WorkerID, kerr.FencedInstanceID)
}

// identity is the member id and generation that the client holds now (H2: inside a revoke the captured generation
// is the wrong one).
func (m *member) identity() (id string, generation int32) { return m.client.GroupMetadata() }

// token is what ownership is tied to. The member id alone does not do: a client that has lost the group for a while
// gives its partitions up and may come back under the same id, and somebody else may have had them in between. It tells
// of the loss before it joins again, which counts as a lapse.
func (m *member) token(cl *kgo.Client) string {
	id, _ := cl.GroupMetadata()
	if id == "" {
		return id
	}
	return fmt.Sprintf("%s/%d", id, m.lapses.Load())
}

// instance is the group instance id, nil without one.
func (m *member) instance() *string {
	if m.w.Module.Application.GroupProtocol == module.GroupConsumer {
		return nil
	}
	return &m.w.names.worker
}

// revoked returns once the loop has committed what the partitions did. Kafka gives them to nobody before it.
func (m *member) revoked(cl *kgo.Client, partitions []int32) {
	id := m.token(cl)
	r := &revocation{partitions: partitions, handed: make(chan struct{})}
	m.w.post(func() { m.w.onRevoked(id, r) })
	select {
	case <-r.handed:
	case <-m.w.done:
	}
}

// leave ends the membership. A clean stop tells the group, so that others take over at once; after a failure a named
// member's place is kept for the restart until the session time-out.
//
// The client's own close waits for a join that is under way, which may be as long as the group waits for its slowest
// member, so its context is ended after a while. Only then the group is told, or a join could come behind the leave.
func (m *member) leave(clean bool) {
	if m.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	brief, ended := context.WithTimeout(ctx, leaveTimeout/2)
	defer ended()
	instance := m.instance()
	err := m.client.LeaveGroupContext(brief) // with an instance id it ends the membership here and tells nobody
	if instance != nil {
		err = nil
	}
	m.cancel()
	m.client.CloseAllowingRebalance()
	if clean && instance != nil {
		_, err = kadm.NewClient(m.w.admin).LeaveGroup(ctx, kadm.LeaveGroup(m.w.ApplicationID).InstanceIDs(*instance))
	}
	if err != nil {
		m.w.log.Warn("leave the group", "error", err)
	}
}

// onAssigned begins the take-over of added partitions, or of all when the member id has changed: the client hides
// that the group had given them to somebody else in between (H1).
func (w *Worker) onAssigned(id string, added []int32) {
	w.returned()
	for _, p := range added {
		w.assigned[p] = true
	}
	if id != w.captured {
		if w.captured != "" {
			w.lose("the group knows this worker under a new member id")
		}
		w.captured = id
		added = w.assignedPartitions()
	}
	if len(added) > 0 && !w.stopping {
		w.takeOver(added)
	}
}

func (w *Worker) assignedPartitions() (ps []int32) {
	for p := range w.assigned {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

func (w *Worker) onRevoked(id string, r *revocation) {
	for _, p := range r.partitions {
		delete(w.assigned, p)
	}
	if id != w.captured {
		w.lose("the group knows this worker under a new member id")
		w.captured = id
		close(r.handed)
		w.takeOver(w.assignedPartitions())
		return
	}
	if len(r.partitions) == 0 { // the client asks so before each join; nothing is given up, so nothing is waited for
		close(r.handed)
		return
	}
	w.log.Info("partitions revoked", "partitions", r.partitions)
	for _, p := range r.partitions {
		w.stopPartition(p)
	}
	w.revokes = append(w.revokes, r)
	w.refetch()
	w.finishRevokes()
}

// stopPartition ends the work of a partition that is being revoked: its calls are abandoned, and what it has
// applied goes into one more commit. Under restore nothing but a barrier is in flight, which is waited for.
func (w *Worker) stopPartition(id int32) {
	w.dropTakeover(id)
	p := w.partitions[id]
	if p == nil {
		return
	}
	w.leavePath(p, false)
	if p.stage == running {
		p.stage = revoking
		return
	}
	delete(w.partitions, id)
}

// finishRevokes hands over what waits for nothing any more: the running transaction, and then one that carries what
// was applied before the revoke.
func (w *Worker) finishRevokes() {
	if len(w.revokes) == 0 || w.running != nil {
		return
	}
	uncut := false
	for _, r := range w.revokes {
		uncut = uncut || !r.cut
		r.cut = true
	}
	if uncut && w.dirty() {
		w.cut()
		return
	}
	for _, r := range w.revokes {
		for _, id := range r.partitions {
			if p := w.partitions[id]; p != nil && p.stage == revoking {
				w.forget(p)
			}
		}
		close(r.handed)
	}
	w.revokes = nil
	w.follow()
	w.report()
}

func (w *Worker) onLost(gone []int32, why string) {
	for _, p := range gone {
		delete(w.assigned, p)
	}
	w.lose(why)
	if len(w.assigned) > 0 {
		w.takeOver(w.assignedPartitions())
	}
}
