package worker

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Thousands of addresses of a function that hangs, and the limit of calls that a module has which sets none: 1,024
// calls are made and no more for as long as they hang, reading waits within its budget, memory is flat; and when the calls
// end, the others follow at once.
func TestTheDefaultLimitOfCallsHolds(t *testing.T) {
	const slots, ids, size, budget = 1024, 16_000 / slower, 800, 1 << 20
	g := newGate()
	l := newLab(t, setting{partitions: 1, module: limited(fmt.Sprintf("readBudget: %d bytes", budget))},
		g.hanging(func(string) bool { return true }, echo))
	l.up()
	l.loop(func(w *Worker) {
		if n := w.Module.Application.Limits.InFlight; n != slots {
			t.Errorf("the default is %d calls", n)
		}
		e := w.endpoints[0]
		e.limit.calls = e.limit.most // as with a function that was quick before it began to hang
	})
	l.putMany("in", 0, ids, func(i int) (string, string) { return fmt.Sprint("id", i), strings.Repeat("v", size) })
	l.until("all slots are used", func() bool { return g.held() == slots })
	l.until("reading waits", func() bool { return l.metric("statefun_worker_read_budget_used_bytes") >= budget })
	before, most := heap(), 0.0
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for end := time.After(2 * stalledAfter); end != nil; { // calls that hang no longer count for their endpoint, and for the worker they do
		select {
		case <-look.C:
			most = max(most, l.metric("statefun_worker_read_budget_used_bytes"))
		case <-end:
			end = nil
		}
	}
	if n := g.held(); n != slots {
		t.Errorf("%d calls were made, the limit is %d", n, slots)
	}
	if n := l.metric("statefun_worker_in_flight_calls"); n != slots {
		t.Errorf("the metric says %v calls", n)
	}
	const batch = recordsPerPoll * (size + 200 + 160)
	if most > budget+3*batch {
		t.Errorf("%v bytes were held, the budget is %d and a batch has %d", most, budget, batch)
	}
	copied := int64(l.metric("statefun_worker_pending_bytes")) // the lab's broker and disk are in this heap too
	if grown := heap() - before; grown > 4<<20+3*copied {
		t.Errorf("the heap has grown by %d bytes while nothing went on", grown)
	}
	began := time.Now()
	g.open()
	l.until("as many again are called", func() bool { return g.held() >= 2*slots })
	t.Logf("as many again were called %v after the calls ended", time.Since(began).Round(time.Millisecond))
	l.until("the others are answered", func() bool { return l.metric("statefun_function_inputs_total") >= min(ids, 4*slots) })
}

// heap is what the heap holds after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
