package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/state"
)

const earliest = "startupPosition: {type: earliest}"

// spread writes n records for each of some keys to the partitions of a cluster's ingress topic, and gives how many each
// key has.
func (l *lab) spread(name string, from, n int) {
	for i := from; i < from+n; i++ {
		for p := range int32(2) {
			l.put("in", p, fmt.Sprint(name, p), fmt.Sprint("r", i))
		}
	}
}

// doneExactly waits until keys of a name have n outputs each, and checks that they count up without a gap.
func (l *lab) doneExactly(name string, n int) {
	l.t.Helper()
	for p := range 2 {
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf("%d:r%d", i+1, i))
		}
		l.expect(fmt.Sprint(name, p), want...)
	}
}

// Topics of one name on two clusters are read by one application, through a kill, a kill with a lost disk, and another
// worker that takes over: each record counts once, no group is needed where the application is not at home, and the two
// sources do not meet.
func TestAnIngressOfAnotherClusterIsReadExactlyOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		a := newAway(t)
		l := twoClusters(t, a, awayModule(a.address(), "", earliest), version, echo)
		a.spread("far", 0, 40)
		l.spread("own", 0, 10)
		l.up()
		l.until("some are done", func() bool { return len(l.outputs()["far0"]) > 3 })
		l.kill()
		a.spread("far", 40, 40)
		l.up()
		l.until("more are done", func() bool { return len(l.outputs()["far1"]) > 45 })
		l.killAndWipe()
		a.spread("far", 80, 20)
		l.spread("own", 10, 10)
		l.up()
		l.doneExactly("far", 100)
		second := l.beside("w2")
		second.up()
		second.until("the second owns a partition", func() bool { return second.owns(0) || second.owns(1) })
		l.kill()
		a.spread("far", 100, 20)
		second.until("the second owns all", func() bool { return second.owns(0, 1) })
		second.doneExactly("far", 120)
		second.doneExactly("own", 20)
		for _, group := range []string{"app", "elsewhere"} {
			if a.cluster.GroupInfo(group) != nil {
				t.Errorf("group %s is on the other cluster", group)
			}
		}
		for topic := range l.cluster.GroupInfo("app").Commits {
			if topic != "in" && topic != "app-mailbox" {
				t.Errorf("the group has offsets of %s", topic)
			}
		}
		if got := l.groupOffset("in", 0); got > 20 {
			t.Errorf("the group is at %d of a topic with 20 records: it has the offset of the other cluster's", got)
		}
	})
}

// The start of a source is committed before it is read: a crash in between finds the same start, although "latest" is
// further on by then (H8).
func TestH8AStartOnAnotherClusterIsCommittedBeforeTheFirstRead(t *testing.T) {
	a := newAway(t)
	a.spread("old", 0, 3)
	g := newGate("far0", "far1")
	l := twoClusters(t, a, awayModule(a.address(), "", "startupPosition: {type: latest}"), "", g.behind(echo))
	l.up()
	begun := func() bool {
		return l.rows()[rowKey{0, string(state.ProgressKey("test/away:in", 0))}] != nil && l.rows()[rowKey{1, string(state.ProgressKey("test/away:in", 1))}] != nil
	}
	l.until("the starts are committed", begun)
	a.spread("far", 0, 1)
	l.until("the function is called", func() bool { return g.held() == 2 })
	l.killAndWipe()
	a.spread("far", 1, 1)
	g.open()
	l.up()
	l.doneExactly("far", 2)
	if got := l.outputs()["old0"]; got != nil {
		t.Errorf("what lay before the start was read: %v", got)
	}
}

// The worker dies while the transaction with the starts is on its way: nothing of it counts, and nothing was read.
func TestH8ACrashBeforeTheStartOnAnotherClusterIsCommitted(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", echo)
	a.cutOff()
	l.start()
	l.says("ingress waits for its cluster")
	l.until("the rest runs", func() bool { return l.runs(2) })
	l.settled()
	blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	a.spread("far", 0, 2)
	a.come()
	<-blocked
	l.loop(func(w *Worker) {
		if w.foreigns[0].reader != nil {
			t.Error("the cluster is read before the start is committed")
		}
	})
	l.kill()
	release()
	l.up()
	l.doneExactly("far", 2)
}

// runs reports whether n partitions run, whatever readiness waits for.
func (l *lab) runs(n int) (all bool) {
	l.loop(func(w *Worker) {
		running := 0
		for _, p := range w.partitions {
			if p.task != nil {
				running++
			}
		}
		all = running == n
	})
	return all
}

// A cluster that is away, at the start and later, holds up its own ingress and nothing else; readiness names it.
func TestAnotherClusterThatIsAwayHoldsUpItsIngressOnly(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", echo)
	a.cutOff()
	a.spread("far", 0, 5)
	l.spread("own", 0, 5)
	l.start()
	l.doneExactly("own", 5)
	l.until("readiness names it", func() bool {
		err := l.worker.Ready()
		return err != nil && strings.Contains(err.Error(), "ingress test/away waits for its cluster")
	})
	if got := l.metric("statefun_worker_ingress_waits", "ingress", "test/away"); got != 1 {
		t.Errorf("the metric is %v", got)
	}
	a.come()
	l.doneExactly("far", 5)
	l.until("it is ready", func() bool { return l.worker.Ready() == nil })
	a.cutOff()
	a.spread("far", 5, 5)
	l.spread("own", 5, 5)
	l.doneExactly("own", 10)
	l.until("readiness names it again", func() bool { return l.worker.Ready() != nil })
	l.kill()
	l.start()
	l.spread("own", 10, 5)
	l.doneExactly("own", 15)
	a.come()
	l.doneExactly("far", 10)
	l.until("it is ready", func() bool { return l.worker.Ready() == nil })
}

// A topic of another cluster that grows is read from the first record of its new partitions, also by a partition of the
// application that had none of it.
func TestATopicOfAnotherClusterThatGrowsIsReadFromItsFirstRecord(t *testing.T) {
	a := newAway(t)
	text := strings.Replace(awayModule(a.address(), "  partitions: 4\n", "startupPosition: {type: latest}"), "", "", 1)
	l := newLab(t, setting{module: text}, echo)
	l.change = a.between
	l.up()
	key := string(state.IngressKey("test/away:in"))
	l.until("every partition has its row", func() bool {
		rows := l.rows()
		return rows[rowKey{0, key}] != nil && rows[rowKey{1, key}] != nil && rows[rowKey{2, key}] != nil && rows[rowKey{3, key}] != nil
	})
	l.kill()
	a.growTo("in", 4)
	a.put("in", 3, "K", "r0")
	l.up()
	l.expect("K", "1:r0")
}

// A topic that was deleted and created anew on another cluster is refused at the next start, as one here.
func TestATopicOfAnotherClusterThatWasCreatedAnewIsRefused(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", echo)
	a.spread("far", 0, 2)
	l.up()
	l.doneExactly("far", 2)
	l.kill()
	if _, err := a.admin.DeleteTopics(t.Context(), "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.admin.CreateTopics(t.Context(), 2, 1, nil, "in"); err != nil {
		t.Fatal(err)
	}
	l.start()
	if err := l.over(); err == nil || !strings.Contains(err.Error(), "test/away:in was deleted and created anew") {
		t.Errorf("it ended with: %v", err)
	}
	l.dead()
}

// A group on the other cluster is asked where to begin when the module says so, and never again: what becomes of its
// offsets later is nothing to this application.
func TestAGroupOfAnotherClusterSaysWhereToBeginAndNoMore(t *testing.T) {
	a := newAway(t)
	a.spread("far", 0, 5)
	a.commitGroup("elsewhere", 3)
	l := twoClusters(t, a, awayModule(a.address(), "", "startupPosition: {type: group-offsets}"), "", echo)
	l.up()
	l.expect("far0", "1:r3", "2:r4")
	l.kill()
	a.commitGroup("elsewhere", 0)
	a.spread("far", 5, 1)
	l.up()
	l.expect("far1", "1:r3", "2:r4", "3:r5")
}

// A record of another cluster that the transaction cannot commit is read again from there.
func TestAnAbortReadsAgainFromAnotherCluster(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", earliest), "", both)
	l.up()
	l.settled()
	blocked, release := l.blockEndTxn(kerr.InvalidTxnState)
	a.spread("far", 0, 3)
	<-blocked
	release()
	l.doneExactly("far", 3)
	for p := range 2 {
		a.counted(l, fmt.Sprint("far", p), 3)
	}
}
