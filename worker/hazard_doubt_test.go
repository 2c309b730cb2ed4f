package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// oneOwner waits until the workers together run each of two partitions once, and all else is over.
func oneOwner(workers ...*lab) {
	workers[0].t.Helper()
	workers[0].until("each partition has one owner", func() bool {
		owners := map[int32]int{}
		for _, l := range workers {
			if l.worker.Ready() != nil {
				return false
			}
			l.loop(func(w *Worker) {
				for id, p := range w.partitions {
					if p.stage == running {
						owners[id]++
					}
				}
			})
		}
		return len(owners) == 2 && owners[0] == 1 && owners[1] == 1
	})
}

// w1 stops for longer than its session, as by SIGSTOP, at each step of a transaction, and wakes up when w2 has all its
// partitions and has gone on. It must find out, say so, and have changed nothing.
func TestAStalledWorkerThatWakesUpHasLostAll(t *testing.T) {
	for name, at := range map[string]func(*network) <-chan struct{}{
		"idle":                        nil,
		"before its first record":     func(n *network) <-chan struct{} { return n.freezeBefore(kmsg.Produce) },
		"before its offsets":          func(n *network) <-chan struct{} { return n.freezeBefore(kmsg.TxnOffsetCommit) },
		"before its EndTxn":           func(n *network) <-chan struct{} { return n.freezeBefore(kmsg.EndTxn) },
		"before the answer to EndTxn": func(n *network) <-chan struct{} { return n.freezeAfter(kmsg.EndTxn) },
		"and loses the answer for good": func(n *network) <-chan struct{} {
			reached := n.freezeAfter(kmsg.EndTxn)
			over := make(chan struct{})
			go func() {
				<-reached
				n.breakAll()
				close(over)
			}()
			return over
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) { stallAndWake(t, version, at) })
		})
	}
}

func stallAndWake(t *testing.T, version string, at func(*network) <-chan struct{}) {
	w1 := newLab(t, setting{version: version}, relay)
	w1.change = shortSession
	w2 := w1.beside("w2")
	s, x := idIn(0, 2, 0), idIn(1, 2, 0)
	w1.up()
	w1.settled()
	w1.put("in", 0, s, ">"+x+":m0")
	w1.expect(x, "1:m0")
	w1.settled()
	if at != nil {
		reached := at(w1.network)
		w1.put("in", 0, s, ">"+x+":m1")
		<-reached
	}
	wake := w1.stall()
	w2.start()
	w2.until("w2 owns all", func() bool { return w2.owns(0, 1) })
	if at == nil {
		w2.put("in", 0, s, ">"+x+":m1")
	}
	w2.put("in", 0, s, ">"+x+":m2")
	w2.expect(s, "1:>"+x+":m0", "2:>"+x+":m1", "3:>"+x+":m2")
	w2.expect(x, "1:m0", "2:m1", "3:m2")
	wake()
	w1.says("all partitions are lost")
	oneOwner(w1, w2)
	w2.put("in", 0, s, ">"+x+":m3")
	w2.expect(s, "1:>"+x+":m0", "2:>"+x+":m1", "3:>"+x+":m2", "4:>"+x+":m3")
	w2.expect(x, "1:m0", "2:m1", "3:m2", "4:m3")
	if w1.metric("statefun_worker_losses_total") == 0 {
		t.Error("w1 counts no loss")
	}
}

// The answer to EndTxn is lost. The worker looks the outcome up, says what it was, and stays the owner.
func TestALostAnswerToEndTxnIsLookedUp(t *testing.T) {
	for name, err := range map[string]*kerr.Error{"committed": nil, "not done": kerr.UnknownServerError} {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) {
				first, second := pair(t, setting{version: version}, echo)
				id := idIn(0, 2, 0)
				if asked := new(atomic.Int64); err == nil {
					first.network.loseEnd.Store(true)
					first.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError,
						When: func(kmsg.Request) bool { return asked.Add(1) > 1 }})
				} else {
					first.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: err})
				}
				first.put("in", 0, id, "r0")
				first.expect(id, "1:r0")
				first.says("outcome of the transaction", fmt.Sprint("committed=", err == nil))
				first.put("in", 0, id, "r1")
				first.expect(id, "1:r0", "2:r1")
				oneOwner(first, second)
				if n := first.metric("statefun_worker_losses_total"); n > 0 {
					t.Errorf("the partitions were lost %v times", n)
				}
			})
		})
	}
}

// A second process is started with the name of one that runs, on a folder of its own. The group knows the name once:
// the first must end, and say why and what to do; the second serves.
func TestH14TwoWorkersWithOneNameEndInOne(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		g := newGate()
		first := newLab(t, setting{version: version}, stalling("r1", g))
		second := first.beside("w1")
		second.become(echo)
		id := idIn(0, 2, 0)
		first.up()
		first.put("in", 0, id, "r0")
		first.expect(id, "1:r0")
		first.put("in", 0, id, "r1")
		first.until("it is called for r1", func() bool { return g.held() == 1 })
		second.start()
		err := first.over()
		if !errors.Is(err, kerr.FencedInstanceID) || !strings.Contains(fmt.Sprint(err), `"w1"`) || !strings.Contains(fmt.Sprint(err), "--worker-id") {
			t.Errorf("the first ends with %v", err)
		}
		second.until("the second owns all", func() bool { return second.owns(0, 1) })
		g.open()
		second.put("in", 0, id, "r2")
		second.expect(id, "1:r0", "2:r1", "3:r2")
	})
}

// A state folder is copied and the worker goes on; later a second worker starts on the copy. A member of its name lives
// that never ran on the copy, so it must refuse and leave the other alone: they would fence each other for ever.
func TestH14ACopyOfALiveWorkersFolderIsRefused(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		first := newLab(t, setting{version: version}, echo)
		second := first.beside("w1")
		id := idIn(0, 2, 0)
		first.up()
		first.put("in", 0, id, "r0")
		first.expect(id, "1:r0")
		first.kill()
		second.disk = first.crashed()
		first.up()
		for range 2 { // a supervisor tries again
			second.refused(`"w1"`, "copy")
			second.dead()
		}
		first.put("in", 0, id, "r1")
		first.expect(id, "1:r0", "2:r1")
		if n := first.metric("statefun_worker_losses_total"); n > 0 {
			t.Errorf("the partitions were lost %v times", n)
		}
	})
}

// Somebody takes the transactional ids of a worker, as a take-over does that thinks it is dead. That does not mean
// that there are two workers: it gets new ones, takes its partitions over anew, and goes on.
func TestH14AFencedProducerIsNotTheEnd(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, echo)
		id := idIn(0, 2, 0)
		l.up()
		l.settled()
		for i, slot := range []int{0, 1, 0, 1} {
			client, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.TransactionalID(fmt.Sprint("app-w1-", slot)))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := client.ProducerID(t.Context()); err != nil {
				t.Fatal(err)
			}
			client.Close()
			l.put("in", 0, id, fmt.Sprint("r", i))
		}
		l.expect(id, "1:r0", "2:r1", "3:r2", "4:r3")
		l.says("transaction not committed", "fenced")
		if l.metric("statefun_worker_losses_total") == 0 {
			t.Error("no loss is counted")
		}
	})
}

// Workers are killed, stopped and stalled 20 times, so that partitions go to and fro. A broker remembers every
// transactional id for days, so there must not be more of them than a few for each name.
func TestH14TransactionalIDsAreStableAndFew(t *testing.T) {
	first, second := pair(t, setting{}, echo)
	ids := []string{idIn(0, 2, 0), idIn(1, 2, 0)}
	want := map[string][]string{}
	for i := range 20 {
		l := []*lab{first, second}[i%2]
		switch i / 2 % 3 {
		case 0:
			l.kill()
		case 1:
			if err := l.stop(); err != nil {
				t.Fatal(err)
			}
		case 2:
			l.killAndWipe()
		}
		l.start()
		for p, id := range ids {
			first.put("in", int32(p), id, fmt.Sprint("r", i))
			want[id] = append(want[id], fmt.Sprint(i+1, ":r", i))
		}
		oneOwner(first, second)
	}
	for _, id := range ids {
		first.expect(id, want[id]...)
	}
	if names := transactionalIDs(first); len(names) != 2*producerSlots {
		t.Errorf("%d transactional ids after 20 restarts, want %d: %v", len(names), 2*producerSlots, names)
	}
}

// transactionalIDs are those of the application's workers that the brokers know.
func transactionalIDs(l *lab) (names []string) {
	l.t.Helper()
	listed, err := kadm.NewClient(l.client).ListTransactions(l.t.Context(), nil, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for id := range listed {
		if strings.HasPrefix(id, "app-w") {
			names = append(names, id)
		}
	}
	return names
}

// The wall clock jumps an hour ahead, a delayed message is fired as if it were due, and the clock is put back. What is
// decided by it may be early or late; it is done once, in order, also through a kill, and the worker stays the owner.
func TestAClockThatJumpsFiresEachDelayedMessageOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{partitions: 1, version: version}, func(ctx context.Context, call *callOf, r *reply) error {
			for _, a := range call.arguments {
				if value, is := strings.CutPrefix(string(a), "delay:"); is {
					r.delay(call.target, value, 3_600_000, value)
				}
			}
			return echo(ctx, call, r)
		})
		l.up()
		l.put("in", 0, "K", "delay:d0")
		l.put("in", 0, "K", "delay:d1")
		l.expect("K", "1:delay:d0", "2:delay:d1")
		jump := func(d time.Duration) {
			l.loop(func(w *Worker) {
				now := w.now
				w.now = now.Add(d)
				if err := w.wakeTask(w.partitions[0]); err != nil {
					t.Error(err)
				}
				w.now = now
			})
		}
		jump(2 * time.Hour)
		l.expect("K", "1:delay:d0", "2:delay:d1", "3:d0", "4:d1")
		jump(-2 * time.Hour)
		jump(4 * time.Hour)
		l.put("in", 0, "K", "delay:d2")
		l.expect("K", "1:delay:d0", "2:delay:d1", "3:d0", "4:d1", "5:delay:d2")
		l.kill()
		l.up()
		jump(-2 * time.Hour)
		l.put("in", 0, "K", "r")
		l.expect("K", "1:delay:d0", "2:delay:d1", "3:d0", "4:d1", "5:delay:d2", "6:r")
		jump(2 * time.Hour)
		l.expect("K", "1:delay:d0", "2:delay:d1", "3:d0", "4:d1", "5:delay:d2", "6:r", "7:d2")
		if n := l.metric("statefun_worker_losses_total"); n > 0 {
			t.Errorf("the partitions were lost %v times", n)
		}
	})
}

// The group refuses offsets once as those of no member, and yet it has this member as before: a coordinator that has
// just moved may. The client notices nothing, so no callback comes. The worker gives up what it has, and takes over
// again.
func TestARefusalOfOffsetsThatPassesIsNotTheEnd(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.GroupIDNotFound, kerr.UnknownMemberID, kerr.StaleMemberEpoch} {
		t.Run(refusal.Message, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, version string) {
				l := newLab(t, setting{version: version}, echo)
				id := idIn(0, 2, 0)
				l.up()
				l.settled()
				l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: refusal})
				l.put("in", 0, id, "r0")
				l.expect(id, "1:r0")
				l.says("ownership was lost", refusal.Message)
				if n := l.metric("statefun_worker_losses_total"); n > 3 {
					t.Errorf("%v losses for one refusal", n)
				}
			})
		})
	}
}

// A partition is being taken over when something asks for that again. Two take-overs of one partition would each make
// a task of it, and the second would forget what the first has in the next transaction.
func TestAPartitionIsInOneTakeOverAtATime(t *testing.T) {
	l := newLab(t, setting{}, echo)
	fetches := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-changelog", Err: kerr.KafkaStorageError, Count: -1})
	l.start()
	if err := fetches.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	l.loop(func(w *Worker) {
		w.takeOver(w.assignedPartitions())
		times := map[int32]int{}
		for _, t := range w.takeovers {
			for _, id := range t.partitions {
				times[id]++
			}
		}
		if len(times) != 2 || times[0] != 1 || times[1] != 1 {
			t.Errorf("the partitions are in %v take-overs", times)
		}
	})
	fetches.Remove()
	l.until("the partitions run", func() bool { return l.worker.Ready() == nil })
}
