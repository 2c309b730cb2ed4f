package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/router"
)

// echo writes each input to out under the id of its address, with its place in the count of the address: a lost, a
// doubled or an overtaken input shows.
func echo(_ context.Context, call *callOf, r *reply) error {
	n, _ := strconv.Atoi(string(call.states["count"]))
	for _, a := range call.arguments {
		n++
		r.egress("test/out", "out", call.target.ID, fmt.Sprint(n, ":", string(a)))
	}
	r.set("count", fmt.Sprint(n))
	return nil
}

// gate holds calls of chosen ids until it is opened, or until their context ends.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{}
	holds   map[string]bool
	waiting map[string]int
}

func newGate(ids ...string) *gate {
	g := &gate{opened: make(chan struct{}), holds: map[string]bool{}, waiting: map[string]int{}}
	for _, id := range ids {
		g.holds[id] = true
	}
	return g
}

func (g *gate) open() { close(g.opened) }

// before waits when the call's id is held.
func (g *gate) before(ctx context.Context, id string) error {
	g.mu.Lock()
	held := g.holds[id]
	if held {
		g.waiting[id]++
	}
	g.mu.Unlock()
	if !held {
		return nil
	}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// held is how many calls have come to wait, all in all.
func (g *gate) held() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waiting {
		n += w
	}
	return n
}

// behind puts a gate before a function.
func (g *gate) behind(f script) script {
	return func(ctx context.Context, call *callOf, r *reply) error {
		if err := g.before(ctx, call.target.ID); err != nil {
			return err
		}
		return f(ctx, call, r)
	}
}

// relay sends inputs of the form >ID:VALUE on to ID and echoes them; all other inputs it echoes.
func relay(ctx context.Context, call *callOf, r *reply) error {
	for _, a := range call.arguments {
		if message, is := strings.CutPrefix(string(a), ">"); is {
			to, value, _ := strings.Cut(message, ":")
			r.send(functionAt(to), value)
		}
	}
	return echo(ctx, call, r)
}

// idIn gives the n-th id that lies in a partition.
func idIn(partition, partitions int32, n int) string {
	for i := 0; ; i++ {
		id := fmt.Sprint("id", i)
		if router.Partition(id, partitions) == partition {
			if n == 0 {
				return id
			}
			n--
		}
	}
}

// m1 is a record for X, read, and waits in X's slow call, so it stays in its topic. S sends m2 to X: born inside, not
// done at the cut, so it becomes a pending row. Kill. Recovery hands out rows first and reads topics after them: m2
// would come before m1, had m1 not become a row in the same cut.
func TestH3RowsOfAnAddressAreAPrefixOfItsQueue(t *testing.T) {
	g := newGate("X")
	l := newLab(t, setting{partitions: 1}, g.behind(relay))
	l.up()
	l.put("in", 0, "X", "m1")
	l.until("X is called", func() bool { return g.held() == 1 })
	l.put("in", 0, "S", ">X:m2")
	l.expect("S", "1:>X:m2")
	l.kill()
	l.become(relay)
	l.up()
	l.expect("X", "1:m1", "2:m2")
}

// An address fails and is parked: its inputs become rows, and so do those that come while it waits. The order of
// both, and of what is read only after a kill, is the order of the records.
func TestH3OrderIsKeptThroughParkingAndKill(t *testing.T) {
	well := script(echo)
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID == "X" {
			return errors.New("not yet")
		}
		return well(ctx, call, r)
	})
	l.up()
	for i := range 3 {
		l.put("in", 0, "X", fmt.Sprint("r", i))
	}
	l.until("X is parked", func() bool { return l.metric("statefun_worker_parked_addresses") == 1 })
	for i := 3; i < 6; i++ {
		l.put("in", 0, "X", fmt.Sprint("r", i))
	}
	l.until("the offsets have moved past X", func() bool { return l.groupOffset("in", 0) == 6 })
	l.killAndWipe()
	l.put("in", 0, "X", "r6")
	l.become(well)
	l.up()
	l.expect("X", "1:r0", "2:r1", "3:r2", "4:r3", "5:r4", "6:r5", "7:r6")
}

const twoTargets = `targets: [test/f, test/g]`

// A record has shares for f and g. Those of g are done, those of f wait in a slow call: the shares of f become rows
// and the offset counts as finished. Without that the record is read again after a kill and g gets it twice.
func TestH3SharesOfOneRecordAreEachDoneOnce(t *testing.T) {
	stuck := make(chan struct{})
	l := newLab(t, setting{partitions: 1, module: replaced("targets: [test/f]", twoTargets)}, nil)
	tell := func(ctx context.Context, call *callOf, r *reply) error {
		n, _ := strconv.Atoi(string(call.states["count"]))
		for _, a := range call.arguments {
			n++
			r.egress("test/out", "out", call.target.Type.Name, fmt.Sprint(n, ":", string(a)))
		}
		r.set("count", fmt.Sprint(n))
		return nil
	}
	l.become(func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.Type.Name == "f" {
			select {
			case <-stuck:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return tell(ctx, call, r)
	})
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("g", "1:r0")
	l.put("in", 0, "K", "r1")
	l.expect("g", "1:r0", "2:r1")
	l.killAndWipe()
	l.become(tell)
	l.up()
	l.expect("f", "1:r0", "2:r1")
	l.expect("g", "1:r0", "2:r1")
}

// The two rules of rows feed each other: a message born inside makes a row of X's share of r0 before it, which
// leaves the record done in part, so Y's share must become a row as well, in the same cut.
func TestH3RowsAreDecidedToAFixpoint(t *testing.T) {
	stuck := make(chan struct{})
	name := func(call *callOf) string { return call.target.Type.Name + "/" + call.target.ID }
	tell := func(ctx context.Context, call *callOf, r *reply) error {
		n, _ := strconv.Atoi(string(call.states["count"]))
		for _, a := range call.arguments {
			n++
			if string(a) == "born" || string(a) == "r0" {
				r.egress("test/out", "out", name(call), fmt.Sprint(n, ":", string(a)))
				continue
			}
			r.send(functionAt("K"), "born")
			r.egress("test/out", "out", name(call), fmt.Sprint(n, ":", string(a)))
		}
		r.set("count", fmt.Sprint(n))
		return nil
	}
	l := newLab(t, setting{partitions: 1, module: replaced("targets: [test/f]", twoTargets)}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID == "K" || call.target.Type.Name == "g" {
			select {
			case <-stuck:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return tell(ctx, call, r)
	})
	l.up()
	l.put("in", 0, "K", "r0")
	l.put("in", 0, "S", "send")
	l.expect("f/S", "1:send")
	l.kill()
	l.become(func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.Type.Name == "g" && call.target.ID == "S" {
			return nil // its share of the sending record is of no interest
		}
		return tell(ctx, call, r)
	})
	l.up()
	l.expect("f/K", "1:r0", "2:born")
	l.expect("g/K", "1:r0")
}

// p restores: its replay gets nothing. S on another partition of the same worker sends to X on p. The message must
// not be delivered to p, nor may any commit move p's position in the store over rows that were never replayed.
func TestH5APartitionUnderRestoreIsRemote(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, relay)
		s, x := idIn(0, 2, 0), idIn(1, 2, 0)
		l.up()
		l.put("in", 1, x, "before")
		l.expect(x, "1:before")
		l.settled()
		fetches := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-changelog", Err: kerr.KafkaStorageError, Count: -1})
		handed := make(chan struct{})
		l.loop(func(w *Worker) { w.onRevoked(w.captured, &revocation{partitions: []int32{1}, handed: handed}) })
		<-handed
		l.loop(func(w *Worker) { w.onAssigned(w.captured, []int32{1}) })
		if err := fetches.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		at, _, err := l.worker.store.Position(1)
		if err != nil {
			t.Fatal(err)
		}
		l.put("in", 0, s, ">"+x+":m")
		l.expect(s, "1:>"+x+":m")
		if n := l.metric("statefun_worker_mailbox_records_total"); n < 1 {
			t.Errorf("%v messages went through the mailbox, want that of %s", n, s)
		}
		if now, _, err := l.worker.store.Position(1); err != nil || now.Offset != at.Offset {
			t.Errorf("the position moved from %d to %d during the restore (%v)", at.Offset, now.Offset, err)
		}
		fetches.Remove()
		l.expect(x, "1:before", "2:m")
	})
}

// The disk is lost. The barrier of the new owner lies behind all rows of the state; were the store's position moved
// by the barrier's commit, the replay would begin there and the state would be gone.
func TestH5OnlyReplayMovesThePositionOfARestoredPartition(t *testing.T) {
	l := newLab(t, setting{}, echo)
	x := idIn(1, 2, 0)
	l.up()
	for i := range 3 {
		l.put("in", 1, x, fmt.Sprint("r", i))
	}
	l.expect(x, "1:r0", "2:r1", "3:r2")
	l.killAndWipe()
	l.up()
	l.put("in", 1, x, "r3")
	l.expect(x, "1:r0", "2:r1", "3:r2", "4:r3")
}
