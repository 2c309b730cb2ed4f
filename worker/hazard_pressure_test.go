package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func limited(limits string) string {
	return replaced("  id: app", "  id: app\n  limits: {"+limits+"}")
}

// hanging is a function whose calls of chosen ids wait at the gate.
func (g *gate) hanging(ids func(id string) bool, f script) script {
	return func(ctx context.Context, call *callOf, r *reply) error {
		if ids(call.target.ID) {
			g.mu.Lock()
			g.holds[call.target.ID] = true
			g.mu.Unlock()
			if err := g.before(ctx, call.target.ID); err != nil {
				return err
			}
		}
		return f(ctx, call, r)
	}
}

// Every call in partition 1 hangs, and its mailbox and its ingress have more than their windows hold. What partition 0
// sends there, what it reads and what it does must not wait for that, be it on another worker or on the same.
func TestASlowOwnerOfAPartitionDoesNotStopTheOthers(t *testing.T) {
	const records = 120
	text := limited("recordsPerSource: 50, readBudget: 4 MB, inFlight: 1024")
	slow := map[string]bool{}
	for i := range records {
		slow[idIn(1, 2, i)] = true
	}
	for name, open := range map[string]func(t *testing.T, g *gate) *lab{
		"another worker": func(t *testing.T, g *gate) *lab {
			first, second := pair(t, setting{module: text}, g.hanging(func(id string) bool { return slow[id] }, relay))
			second.settled()
			return first
		},
		"the same worker": func(t *testing.T, g *gate) *lab {
			l := newLab(t, setting{module: text}, g.hanging(func(id string) bool { return slow[id] }, relay))
			l.up()
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			l := open(t, g)
			l.putMany("in", 1, records, func(i int) (string, string) { return idIn(1, 2, i), "own" })
			l.putMany("in", 0, records, func(i int) (string, string) { return idIn(0, 2, i), ">" + idIn(1, 2, i) + ":m" })
			l.until("all of partition 0 is done", func() bool { return len(l.outputs()) == records })
			g.open()
			l.until("all of partition 1 is done", func() bool {
				n := 0
				for id, values := range l.outputs() {
					if slow[id] {
						n += len(values)
					}
				}
				return n == 2*records
			})
		})
	}
}

// bounce sends an input N:ID on to ID as (N-1):OWN, until N is 0; then it tells.
func bounce(_ context.Context, call *callOf, r *reply) error {
	for _, a := range call.arguments {
		n, other, _ := strings.Cut(string(a), ":")
		left, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		if left == 0 {
			r.egress("test/out", "out", call.target.ID, "home")
			continue
		}
		r.send(functionAt(other), fmt.Sprint(left-1, ":", call.target.ID))
	}
	return nil
}

// Two workers send to each other, and the windows of both mailboxes are full: neither reads on. Were sends or calls
// held back for the receiver, each would wait for the other.
func TestH10TwoWorkersWithFullWindowsDoNotDeadlock(t *testing.T) {
	const window, records, hops = 50, 120, 6
	g := newGate()
	calls := func(ctx context.Context, call *callOf, r *reply) error {
		if strings.HasPrefix(string(call.arguments[0]), fmt.Sprint(hops, ":")) {
			return bounce(ctx, call, r)
		}
		return g.hanging(func(string) bool { return true }, bounce)(ctx, call, r)
	}
	first, second := pair(t, setting{module: limited(fmt.Sprintf("recordsPerSource: %d, transactionEffects: 200", window))}, calls)
	for p := range int32(2) { // to addresses that nobody sends to first, or these would hold the records up
		first.putMany("in", p, records, func(i int) (string, string) {
			return idIn(p, 2, records+i), fmt.Sprint(hops, ":", idIn(1-p, 2, i))
		})
	}
	full := func(l *lab) (held bool) {
		l.loop(func(w *Worker) {
			for _, f := range w.mailboxes.feeds {
				held = f.held
			}
		})
		return held
	}
	first.until("both mailbox windows are full", func() bool { return full(first) && full(second) })
	g.open()
	first.until("all are home", func() bool {
		n := 0
		for _, values := range first.outputs() {
			n += len(values)
		}
		return n == 2*records
	})
}

// spread sends from root to 100 branches and from each of those to 100 leaves, which tell each message once.
func spread(_ context.Context, call *callOf, r *reply) error {
	id := call.target.ID
	n, _ := strconv.Atoi(string(call.states["count"]))
	for _, a := range call.arguments {
		n++
		next := map[string]string{"root": "branch", "bran": "leaf"}[id[:4]]
		for i := 0; next != "" && i < 100; i++ {
			r.send(functionAt(fmt.Sprint(next, i)), id)
		}
		r.egress("test/out", "out", id, fmt.Sprint(n, ":", string(a)))
	}
	r.set("count", fmt.Sprint(n))
	return nil
}

// One record makes 10,000 messages over two levels on two workers, and none of them can be done yet: they must go to
// the disk, not to the heap. Then each is done once, in the order in which its sender sent, and nothing is left.
func TestH10AStormOverTwoWorkersIsSpilled(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		const budget = 400 << 10
		text := limited(fmt.Sprintf("readBudget: %d bytes, inputsPerAddress: 60, transactionEffects: 1000, recordsPerSource: 200", budget))
		g := newGate()
		leaf := func(id string) bool { return strings.HasPrefix(id, "leaf") }
		first, second := pair(t, setting{module: text, version: version}, g.hanging(leaf, spread))
		most := map[string]float64{}
		watch := func() {
			for _, l := range []*lab{first, second} {
				for _, name := range []string{"statefun_worker_read_budget_used_bytes", "statefun_worker_collected_effects"} {
					most[name] = max(most[name], l.metric(name))
				}
			}
		}
		first.put("in", 0, "root", "go")
		first.until("all messages are sent", func() bool {
			watch()
			n := 0
			for id := range first.outputs() {
				if strings.HasPrefix(id, "branch") {
					n++
				}
			}
			return n == 100
		})
		spilled := func() float64 {
			return first.metric("statefun_worker_pending_inputs") + second.metric("statefun_worker_pending_inputs")
		}
		first.until("what is beyond the budget is on disk", func() bool {
			watch()
			return spilled() > 5000 && first.metric("statefun_worker_read_budget_used_bytes") <= budget*5/4 &&
				second.metric("statefun_worker_read_budget_used_bytes") <= budget*5/4
		})
		g.open()
		first.until("all are done", func() bool {
			watch()
			n := 0
			for id, values := range first.outputs() {
				if leaf(id) {
					n += len(values)
				}
			}
			return n >= 10_000
		})
		if n := most["statefun_worker_read_budget_used_bytes"]; n > 2*budget+200*recordsPerPoll { // the mailbox is held at twice, and a poll may be on its way
			t.Errorf("inputs held %v bytes of heap, the budget is %d", n, budget)
		}
		if n := most["statefun_worker_collected_effects"]; n > 1000+200 { // answers and delayed messages are taken whole
			t.Errorf("%v effects were collected, the limit is 1000", n)
		}
		for id, values := range first.outputs() {
			if !leaf(id) {
				continue
			}
			from := map[string]bool{}
			for i, v := range values {
				place, sender, _ := strings.Cut(v, ":")
				from[sender] = true
				if place != fmt.Sprint(i+1) {
					t.Errorf("%s: output %d is %s", id, i+1, v)
				}
			}
			if len(values) != 100 || len(from) != 100 {
				t.Errorf("%s got %d messages of %d senders", id, len(values), len(from))
			}
		}
		first.until("nothing is left on disk", func() bool { return spilled() == 0 })
	})
}
