package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shortSession makes a worker that is silent be taken for dead soon, and leaves its transactions time to be found.
func shortSession(c *Config) { c.SessionTimeout, c.TransactionTimeout = time.Second, 20*time.Second }

// pair is two workers, w1 and w2, that own one partition of two each. first owns partition 0.
func pair(t *testing.T, s setting, f script) (first, second *lab) {
	t.Helper()
	s.partitions = 2
	w1 := newLab(t, s, f)
	w1.change = shortSession
	w2 := w1.beside("w2")
	w1.up()
	w2.start()
	w1.until("each has a partition", func() bool {
		return w1.owns(0) && w2.owns(1) || w1.owns(1) && w2.owns(0)
	})
	if w2.owns(0) {
		w1, w2 = w2, w1
	}
	return w1, w2
}

// stalling is echo, but a call with that input hangs until its context ends or the gate is opened.
func stalling(input string, g *gate) script {
	g.holds[input] = true
	return func(ctx context.Context, call *callOf, r *reply) error {
		for _, a := range call.arguments {
			if err := g.before(ctx, string(a)); err != nil {
				return err
			}
		}
		return echo(ctx, call, r)
	}
}

// w1 has a call in flight when w2 joins. w1 is about to write its JoinGroup when its network stands still; the group
// gives all to w2, which does the input and more. Meanwhile w1's call is answered: it does not know of anything and its commit
// waits for the network. When the network comes back w1 joins again under a new member id, of which the client tells
// by no callback that partitions are lost. Its commit is one of a member of the group and would be accepted, over what
// w2 has done.
func TestH1AZombiesCommitIsNotAccepted(t *testing.T) {
	for _, stays := range []bool{false, true} {
		t.Run(fmt.Sprintf("taker stays %v", stays), func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) { zombie(t, version, stays) })
		})
	}
}

func zombie(t *testing.T, version string, stays bool) {
	g := newGate()
	w1 := newLab(t, setting{version: version}, stalling("r1", g))
	w1.change = shortSession
	w2 := w1.beside("w2")
	w2.become(echo)
	x := idIn(0, 2, 0)
	w1.up()
	w1.put("in", 0, x, "r0")
	w1.expect(x, "1:r0")
	w1.put("in", 0, x, "r1")
	w1.until("w1 is called for r1", func() bool { return g.held() == 1 })

	joining := w1.network.freezeBefore(kmsg.JoinGroup)
	w2.start()
	<-joining
	w2.until("w2 owns all", func() bool { return w2.owns(0, 1) })
	w2.put("in", 0, x, "r2")
	w2.expect(x, "1:r0", "2:r1", "3:r2")
	if !stays {
		if err := w2.stop(); err != nil {
			t.Fatal(err)
		}
	}
	ofFirst := func(r kmsg.Request) bool {
		id := r.(*kmsg.ProduceRequest).TransactionID
		return id != nil && (*id == "app-w1-0" || *id == "app-w1-1")
	}
	pass := func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false }
	produced, release := w1.blockKey(kmsg.Produce, ofFirst, pass)
	g.open()
	w1.until("w1 commits", func() (is bool) {
		w1.loop(func(w *Worker) { is = w.running != nil })
		return is
	})
	member, _ := w1.worker.group.identity()
	w1.network.thaw()
	<-produced
	w1.until("w1 has a new member id", func() bool {
		now, _ := w1.worker.group.identity()
		return now != "" && now != member
	})
	release()
	w1.says("all partitions are lost") // by the commit that was refused, or by the callback: whichever comes first
	w1.put("in", 0, x, "r3")
	w1.expect(x, "1:r0", "2:r1", "3:r2", "4:r3")
}

// w1 owns both partitions and carries a transaction when w2 joins. The client runs its revoke callback in the next
// generation, with the transaction and one more behind it still to be committed: with the generation that was
// assigned last the broker refuses them, and the work of the revoked partition would be done again or be stuck.
func TestH2TheCommitInsideARevokeIsOfTheGenerationThatHoldsNow(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		w1 := newLab(t, setting{version: version}, echo)
		w2 := w1.beside("w2")
		zero, one := idIn(0, 2, 0), idIn(1, 2, 0)
		w1.up()
		w1.settled()
		assigned := w1.cluster.GroupInfo("app").Epoch
		var later atomic.Int64
		refused := w1.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Count: -1, Observe: true, When: func(r kmsg.Request) bool {
			if r.(*kmsg.TxnOffsetCommitRequest).Generation > assigned {
				later.Add(1)
			}
			return true
		}})
		blocked, release := w1.blockEndTxn(nil)
		w1.put("in", 0, zero, "r0")
		<-blocked
		w1.put("in", 1, one, "r0") // goes into the one behind it
		w1.until("it is applied", func() (applied bool) {
			w1.loop(func(w *Worker) { applied = len(w.collected) == 1 })
			return applied
		})
		w2.start()
		w1.says("partitions revoked")
		if w2.worker.Ready() == nil {
			t.Error("w2 has taken over before w1 has committed")
		}
		release()
		w1.until("each has a partition", func() bool { return w1.owns(0) && w2.owns(1) || w1.owns(1) && w2.owns(0) })
		w1.put("in", 0, zero, "r1")
		w1.put("in", 1, one, "r1")
		w1.expect(zero, "1:r0", "2:r1")
		w1.expect(one, "1:r0", "2:r1")
		if later.Load() == 0 || refused.Hits() == 0 {
			t.Error("no offsets were committed in the new generation")
		}
		if n := w1.metric("statefun_worker_transactions_aborted_total"); n > 0 {
			t.Errorf("%v transactions were aborted", n)
		}
	})
}

// S on the first worker has sent m1 to X through the mailbox, and X's worker is behind in reading it. S's partition
// moves to X's worker: X's has not moved, the worker has written nothing to its mailbox, and its path there is local.
// Nevertheless m2 must not be delivered at once.
func TestH4OrderIsKeptWhenTheSendersPartitionMoves(t *testing.T) {
	for name, end := range map[string]func(*lab){
		"planned": func(l *lab) { l.stop() },
		"killed":  func(l *lab) { l.kill() },
		"stalled": func(l *lab) { l.stall() },
	} {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) {
				first, second := pair(t, setting{version: version}, relay)
				s, x := idIn(0, 2, 0), idIn(1, 2, 0)
				second.settled()
				behind := second.cluster.Fault(kfake.Fault{
					Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-mailbox", Partitions: []int32{1}, Err: kerr.KafkaStorageError, Count: -1,
				})
				first.put("in", 0, s, ">"+x+":m1")
				first.expect(s, "1:>"+x+":m1")
				end(first)
				second.until("the second owns all", func() bool { return second.owns(0, 1) })
				second.put("in", 0, s, ">"+x+":m2")
				second.expect(s, "1:>"+x+":m1", "2:>"+x+":m2")
				behind.Remove()
				second.expect(x, "1:m1", "2:m2")
			})
		})
	}
}

// m1 came to X through the mailbox and waits in X's slow call, so it is read and not done, and the path to X is
// local. S sends m2 by it, and then all is aborted: m1 will be read again, and until then the path is remote.
func TestH4AnAbortMakesThePathsRemote(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		s, x := idIn(0, 2, 0), idIn(1, 2, 0)
		g := newGate(x)
		l := newLab(t, setting{version: version}, g.behind(relay))
		l.up()
		l.mail(1, x, "m1")
		l.until("X is called", func() bool { return g.held() == 1 })
		l.settled()
		blocked, release := l.blockEndTxn(kerr.TransactionAbortable)
		l.put("in", 0, s, ">"+x+":m2")
		<-blocked
		behind := l.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-mailbox", Partitions: []int32{1}, Err: kerr.KafkaStorageError, Count: -1,
		})
		release()
		l.expect(s, "1:>"+x+":m2")
		behind.Remove()
		g.open()
		l.expect(x, "1:m1", "2:m2")
	})
}

// w2 takes partitions over and its replay gets nothing. Its barrier lies behind all rows of the previous owner; were
// the position on its disk moved by the barrier's commit, then a crash before the replay would lose them all.
func TestH5ACrashedTakeOverLosesNoRow(t *testing.T) {
	for _, owner := range []string{"live", "stalled", "dead"} {
		t.Run(owner, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) { crashedTakeOver(t, version, owner) })
		})
	}
}

func crashedTakeOver(t *testing.T, version, owner string) {
	w1 := newLab(t, setting{version: version}, echo)
	w1.change = shortSession
	w2 := w1.beside("w2")
	ids := []string{idIn(0, 2, 0), idIn(1, 2, 0)}
	w1.up()
	for p, id := range ids {
		w1.put("in", int32(p), id, "r0")
		w1.put("in", int32(p), id, "r1")
		w1.expect(id, "1:r0", "2:r1")
	}
	// A transaction of w1 is open in both partitions, its offsets are there, and its end is not.
	ended := func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false }
	blocked, release := w1.blockKey(kmsg.EndTxn, nil, ended)
	for p, id := range ids {
		w1.put("in", int32(p), id, "r2")
	}
	<-blocked
	fetches := w1.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-changelog", Err: kerr.KafkaStorageError, Count: -1})
	wake := func() {}
	switch owner {
	case "live":
		w2.start()
		w1.says("partitions revoked")
		release()
	case "stalled":
		wake = w1.stall()
		w2.start()
	case "dead":
		w1.kill()
		w2.start()
	}
	if err := fetches.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		if at, known, err := w2.worker.store.Position(p); known || err != nil {
			t.Errorf("partition %d: the position on disk is %d before anything was replayed (%v)", p, at.Offset, err)
		}
	}
	w2.kill()
	release()
	fetches.Remove()
	w2.up()
	wake()
	for p, id := range ids {
		w2.put("in", int32(p), id, "r3")
		w2.expect(id, "1:r0", "2:r1", "3:r2", "4:r3")
	}
}

// w3 joins and w2 stands still, so the group waits for w2: for as long as its session, 30 s here. w1 has joined again
// and is told to stop meanwhile. Its stop must not wait for the group.
func TestACleanStopDoesNotWaitForARebalance(t *testing.T) {
	w1 := newLab(t, setting{}, echo)
	w1.change = func(c *Config) { c.SessionTimeout = 30 * time.Second }
	w2, w3 := w1.beside("w2"), w1.beside("w3")
	w1.up()
	w2.start()
	w1.until("each has a partition", func() bool { return w1.owns(0) && w2.owns(1) || w1.owns(1) && w2.owns(0) })
	w2.stall()
	joining := w1.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Count: -1, Observe: true, When: func(r kmsg.Request) bool {
		id := r.(*kmsg.JoinGroupRequest).InstanceID
		return id != nil && *id == "w1"
	}})
	w3.start()
	if err := joining.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := w1.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %v", took)
	}
	w2.kill()
	w3.kill()
}
