package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// view is the view of an address, which is to be there.
func (l *lab) view(id string) View {
	l.t.Helper()
	v, err := l.worker.View(context.Background(), functionAt(id))
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

func TestAViewHasWhatIsCommitted(t *testing.T) {
	l := newLab(t, setting{}, func(_ context.Context, call *callOf, r *reply) error {
		if string(call.arguments[0]) == "forget" {
			r.forget("count")
			return nil
		}
		r.set("count", string(call.arguments[0]))
		return nil
	})
	l.up()
	l.settled()
	if v := l.view("K"); v.Found || len(v.Values) != 0 {
		t.Errorf("before anything: %v", v)
	}
	l.put("in", 0, "K", "one")
	l.until("it has the state", func() bool { return l.view("K").Found })
	want := View{Partition: l.view("K").Partition, Found: true, Values: map[string]state.Value{"count": {Type: "test/state", Bytes: []byte("one")}}}
	if v := l.view("K"); fmt.Sprint(v) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", v, want)
	}
	for _, neighbour := range []string{"", "J", "KK"} {
		if v := l.view(neighbour); v.Found {
			t.Errorf("%q has %v", neighbour, v)
		}
	}
	l.settled()

	blocked, release := l.blockEndTxn(nil)
	l.put("in", 0, "K", "two")
	<-blocked
	if got := string(l.view("K").Values["count"].Bytes); got != "one" {
		t.Errorf("while the commit runs it is %s", got)
	}
	release()
	l.until("it has the new state", func() bool { return string(l.view("K").Values["count"].Bytes) == "two" })
	l.put("in", 0, "K", "forget")
	l.until("it has no state", func() bool { return !l.view("K").Found })
}

// forget deletes a state.
func (r *reply) forget(state string) {
	r.result = message(r.result, 1, message(nil, 2, []byte(state)))
}

func TestAViewWithoutARunningWorkerIsAnError(t *testing.T) {
	l := newLab(t, setting{}, echo)
	worker, err := New(inProcess(func() Config { c := l.config(t.TempDir()); c.Functions = l.invoke; return c }()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.View(t.Context(), functionAt("K")); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "test/f/K") {
		t.Errorf("before Run: %v", err)
	}
	worker.close()
	l.up()
	worker = l.worker
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.View(t.Context(), functionAt("K")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after Run: %v", err)
	}
}

// The partition is this worker's, and what its disk has is that of an earlier time.
func TestAViewOfAPartitionUnderRestoreIsAnError(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	l.settled()
	old := l.crashed()
	l.put("in", 0, "K", "r1")
	l.expect("K", "1:r0", "2:r1")
	l.settled()
	l.kill()
	l.disk = old
	blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false }) // of the barrier
	l.start()
	<-blocked
	if _, err := l.worker.View(t.Context(), functionAt("K")); !errors.Is(err, ErrRestoring) {
		t.Errorf("under restore: %v", err)
	}
	release()
	l.until("it can be viewed", func() bool {
		v, err := l.worker.View(t.Context(), functionAt("K"))
		if err == nil && string(v.Values["count"].Bytes) != "2" {
			t.Fatalf("it is %v", v)
		}
		return err == nil
	})
}

func TestAViewLeavesOutWhatHasExpired(t *testing.T) {
	const lasts = 400 * time.Millisecond
	l := newLab(t, setting{partitions: 1}, nil)
	l.change = func(c *Config) {
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			call, err := parseCall(request)
			if err != nil {
				return nil, err
			}
			if !call.knows("brief") {
				return append(missingFor("brief", lasts), missing("lasting")...), nil // parts of one message are merged
			}
			var r reply
			r.set("brief", "b")
			r.set("lasting", "l")
			return r.bytes(), nil
		}
	}
	l.up()
	l.put("in", 0, "K", "r0")
	l.until("both are there", func() bool { return len(l.view("K").Values) == 2 })
	l.until("one has expired", func() bool { return len(l.view("K").Values) == 1 })
	if v := l.view("K"); !v.Found || v.Values["lasting"].Type != "test/state" {
		t.Errorf("it has %v", v)
	}
	l.put("in", 0, "K", "r1")
	l.until("both are there again", func() bool { return len(l.view("K").Values) == 2 })
	l.settled()
	l.kill()
	<-time.After(lasts)
	l.up() // nobody has told it yet what the function declares, so nothing is swept
	if v := l.view("K"); len(v.Values) != 1 || !v.Found {
		t.Errorf("after a restart it has %v", v)
	}
	var row []byte
	l.loop(func(w *Worker) { row, _ = w.store.Get(0, state.ValueKey(functionAt("K"), "brief")) })
	if row == nil {
		t.Error("the row is gone, so the test shows nothing")
	}
}

// missingFor asks for a state that expires after a write.
func missingFor(name string, lasts time.Duration) []byte {
	expire := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	expire = protowire.AppendVarint(protowire.AppendTag(expire, 2, protowire.VarintType), uint64(lasts.Milliseconds()))
	spec := message(message(message(nil, 1, []byte(name)), 2, expire), 3, []byte("test/state"))
	return message(nil, 101, message(nil, 1, spec))
}

// An expiration counts for as long as the function declares one.
func TestAnExpirationThatIsNoLongerDeclaredDoesNotCount(t *testing.T) {
	now := time.Now()
	stamp := state.AppendExpiry(nil, state.Expiry{At: now.Add(-time.Second)})
	for name, tt := range map[string]struct {
		specs []protocol.StateSpec
		stamp []byte
		want  bool
	}{
		"declared":     {[]protocol.StateSpec{{Name: "s", Mode: protocol.ExpireAfterInvoke}}, stamp, true},
		"not known":    {nil, stamp, true},
		"of another":   {[]protocol.StateSpec{{Name: "other"}}, stamp, true},
		"not declared": {[]protocol.StateSpec{{Name: "s"}}, stamp, false},
		"no stamp":     {nil, nil, false},
		"not yet":      {nil, state.AppendExpiry(nil, state.Expiry{At: now.Add(time.Second)}), false},
	} {
		if got, err := expired(tt.stamp, "s", tt.specs, now); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Two workers share the partitions, with either protocol. Each views its own and says whose the others are. While they
// move, whoever answers answers with what is committed: a count never goes back.
func TestAViewNamesTheOwnerOfAnotherPartition(t *testing.T) {
	for _, group := range []string{"classic", "consumer"} {
		t.Run(group, func(t *testing.T) {
			l := newLab(t, setting{partitions: 4, module: replaced("  id: app\n", "  id: app\n  groupProtocol: "+group+"\n")}, echo)
			var ids []string
			for p := range int32(4) {
				ids = append(ids, idIn(p, 4, 0))
			}
			count := func(round int) {
				for p, id := range ids {
					l.put("in", int32(p), id, fmt.Sprint("r", round))
				}
				l.until("all are counted", func() bool {
					return !slices.ContainsFunc(ids, func(id string) bool { return len(l.outputs()[id]) < round })
				})
			}
			l.up()
			count(1)
			second := l.beside("w2")
			second.start()
			stop := watchCounts(t, ids, l.worker, second.worker)
			for round := 2; !(l.worker.Ready() == nil && second.worker.Ready() == nil && atWork(l) == 2 && atWork(second) == 2); round++ {
				count(round)
			}
			stop()
			checkOwners(t, ids, map[string]*lab{"w1": l, "w2": second})
		})
	}
}

// checkOwners views each id on each worker: one answers, and the others send there.
func checkOwners(t *testing.T, ids []string, labs map[string]*lab) {
	t.Helper()
	for name, l := range labs {
		answered := 0
		for _, id := range ids {
			view, err := l.worker.View(t.Context(), functionAt(id))
			if err == nil && view.Found {
				answered++
				continue
			}
			sendsTo(t, functionAt(id), name, err, labs)
		}
		if answered != atWork(l) {
			t.Errorf("%s answers for %d of its %d partitions", name, answered, atWork(l))
		}
	}
}

// sendsTo checks that a worker's error sends to the one that has the state.
func sendsTo(t *testing.T, a protocol.Address, name string, err error, labs map[string]*lab) {
	t.Helper()
	var other *NotOwned
	if !errors.As(err, &other) || other.Owner == name || labs[other.Owner] == nil || other.Host == "" || other.Address != a || !strings.Contains(err.Error(), "worker "+other.Owner) {
		t.Errorf("%s says %v", name, err)
		return
	}
	if v := labs[other.Owner].view(a.ID); v.Partition != other.Partition || !v.Found {
		t.Errorf("%s sends to %s, which says %v", name, other.Owner, v)
	}
}

func atWork(l *lab) (n int) {
	l.loop(func(w *Worker) {
		for _, p := range w.partitions {
			if p.stage == running {
				n++
			}
		}
	})
	return n
}

// watchCounts views ids all the time, until stop.
func watchCounts(t *testing.T, ids []string, workers ...*Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, worker := range workers {
		all.Go(func() {
			last := map[string]int{}
			for i := 0; ctx.Err() == nil; i++ {
				id := ids[i%len(ids)]
				view, err := worker.View(ctx, functionAt(id))
				if err != nil {
					continue
				}
				n, _ := strconv.Atoi(string(view.Values["count"].Bytes))
				if n < last[id] {
					t.Errorf("%s of %s goes back from %d to %d", id, worker.WorkerID, last[id], n)
				}
				last[id] = n
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}
