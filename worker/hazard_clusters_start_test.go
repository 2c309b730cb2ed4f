package worker

import (
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// withoutOffsets lets the cluster answer with an error when it is asked for a group's offsets, until it is released. The
// channel tells of the first such question.
func (a *away) withoutOffsets(why *kerr.Error) (asked chan struct{}, release func()) {
	asked, released := make(chan struct{}), make(chan struct{})
	var first sync.Once
	a.cluster.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		a.cluster.KeepControl()
		select {
		case <-released:
			return nil, nil, false
		default:
		}
		first.Do(func() { close(asked) })
		response := r.ResponseKind().(*kmsg.OffsetFetchResponse)
		response.ErrorCode = why.Code
		for _, g := range r.(*kmsg.OffsetFetchRequest).Groups {
			group := kmsg.NewOffsetFetchResponseGroup()
			group.Group, group.ErrorCode = g.Group, why.Code
			response.Groups = append(response.Groups, group)
		}
		return response, nil, true
	})
	return asked, sync.OnceFunc(func() { close(released) })
}

const byGroupOffsets = "startupPosition: {type: group-offsets}"

// A topic that is first seen while the start of another is looked for begins where the module says, not at its first
// record as one that has grown.
func TestATopicThatIsSeenDuringAStartBeginsByTheStartupPosition(t *testing.T) {
	a := newAway(t)
	one := "  topics:\n    - topic: in\n      valueType: test/command\n      targets: [test/f]\n"
	text := awayModule(a.address(), "", byGroupOffsets)
	last := strings.LastIndex(text, one)
	text = text[:last] + one + strings.TrimPrefix(strings.Replace(one, "topic: in", "topic: late", 1), "  topics:\n") + text[last+len(one):]
	l := twoClusters(t, a, text, "", echo)
	asked, release := a.withoutOffsets(kerr.CoordinatorLoadInProgress)
	l.start()
	<-asked // for topic "in"; "late" is not there yet
	if _, err := a.admin.CreateTopics(t.Context(), 2, 1, nil, "late"); err != nil {
		t.Fatal(err)
	}
	a.reconnect()
	a.put("late", 0, "old0", "r0")
	a.put("late", 1, "old1", "r0")
	l.until("the topic is seen", func() bool { _, is := l.worker.foreigns[0].topic("test/away:late"); return is })
	release()
	l.until("its starts are committed", func() bool {
		rows := l.rows()
		return rows[rowKey{0, string(state.ProgressKey("test/away:late", 0))}] != nil && rows[rowKey{1, string(state.ProgressKey("test/away:late", 1))}] != nil
	})
	for p, key := range []string{"new0", "new1"} {
		a.put("late", int32(p), key, "r0")
		l.expect(key, "1:r0")
	}
	for _, key := range []string{"old0", "old1"} {
		if got := l.outputs()[key]; got != nil {
			t.Errorf("what lay before the start was read: %s %v", key, got)
		}
	}
}

// The readers are replaced while the start of a source of another cluster is being committed, as when a take-over ends:
// the source is read when its start is committed, and not before.
func TestH8ReadersThatAreReplacedLeaveOutWhatIsNotCommitted(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", echo)
	a.cutOff()
	l.start()
	l.says("ingress waits for its cluster")
	l.until("the rest runs", func() bool { return l.runs(2) })
	l.settled()
	blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false })
	a.spread("far", 0, 2)
	a.come()
	<-blocked
	l.loop(func(w *Worker) {
		w.refetch()
		if w.foreigns[0].reader != nil {
			t.Error("the cluster is read before the start is committed")
		}
		if w.ingress == nil || w.mailboxes == nil {
			t.Error("what has begun long ago is not read")
		}
	})
	release()
	l.doneExactly("far", 2)
}

// A cluster that is there and refuses what a start needs is no healthy one.
func TestAStartThatAnotherClusterRefusesMakesTheWorkerUnready(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", byGroupOffsets+"\n  autoOffsetResetPosition: earliest"), "", echo)
	_, release := a.withoutOffsets(kerr.GroupAuthorizationFailed)
	a.spread("far", 0, 1)
	l.start()
	l.says("ingress waits for its cluster", "GROUP_AUTHORIZATION_FAILED")
	l.spread("own", 0, 1)
	l.doneExactly("own", 1)
	l.until("readiness says why", func() bool {
		err := l.worker.Ready()
		return err != nil && strings.Contains(err.Error(), "ingress test/away waits for its cluster") && strings.Contains(err.Error(), "GROUP_AUTHORIZATION_FAILED")
	})
	l.loop(func(w *Worker) {
		w.looked(w.foreigns[0], nil) // the cluster itself is there
		if w.foreignAway() == "" {
			t.Error("the next look makes it ready")
		}
	})
	if got := l.metric("statefun_worker_ingress_waits", "ingress", "test/away"); got != 1 {
		t.Errorf("the metric is %v", got)
	}
	release()
	l.doneExactly("far", 1)
	l.until("it is ready", func() bool { return l.worker.Ready() == nil })
	if got := l.metric("statefun_worker_ingress_waits", "ingress", "test/away"); got != 0 {
		t.Errorf("the metric is %v", got)
	}
}

// The application's topics are made without a look at another cluster. That its records may not fit is said at the start;
// one that does not is a dead letter, which names the source, once the dead-letter topic takes it.
func TestARecordOfAnotherClusterThatIsTooLargeIsADeadLetter(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", echo)
	l.up()
	l.kill()
	for admin, topic := range map[*kadm.Client]string{a.admin: "in", l.admin: "app-dead-letter"} {
		large := "4194304"
		if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &large}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	a.reconnect(kgo.ProducerBatchMaxBytes(4 << 20))
	a.put("in", 0, "large", strings.Repeat("x", 2<<20))
	a.put("in", 0, "X", "r1")
	l.up()
	l.says("takes larger records than the application's topics", "test/away:in")
	l.expect("X", "1:r1")
	l.until("it is a dead letter", func() bool { return len(l.read("app-dead-letter")) == 1 })
	for _, h := range l.read("app-dead-letter")[0].Headers {
		if h.Key == ingress.HeaderTopic && string(h.Value) != "test/away:in" {
			t.Errorf("it comes from %s", h.Value)
		}
	}
	if got := l.metric("statefun_worker_invalid_records_total", "topic", "test/away:in"); got != 1 {
		t.Errorf("the metric is %v", got)
	}
}
