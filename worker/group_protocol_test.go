package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// With the consumer protocol the broker distributes the partitions. A second worker gets its share and gives it back
// when it leaves; counts go on without a gap through both moves.
func TestWorkersShareThePartitionsUnderTheConsumerProtocol(t *testing.T) {
	w := newWorld(t, 4)
	w.module = loadModule(t, strings.Replace(moduleText, "  id: app", "  id: app\n  groupProtocol: consumer", 1))
	first := w.config(t.TempDir())
	first.Functions, first.Registerer = counter, prometheus.NewRegistry()
	one, _ := w.run(first)
	const keys = 40
	round := 0
	count := func() {
		round++
		for i := range keys {
			w.send(fmt.Sprint("k", i), "x")
		}
		last := map[string]string{}
		for _, r := range w.collect("out", keys*round) {
			last[string(r.Key)] = string(r.Value)
		}
		for i := range keys {
			if got := last[fmt.Sprint("k", i)]; got != fmt.Sprint(round) {
				t.Fatalf("key k%d is counted to %s, want %d", i, got, round)
			}
		}
	}
	owned := func(c Config) string { return sum(t, c.Registerer, "statefun_worker_partitions", "stage", "running") }
	count()

	second := w.config(t.TempDir())
	second.WorkerID, second.Functions, second.Registerer = "w2", counter, prometheus.NewRegistry()
	two, stop := w.run(second)
	waits{t, func() string { return owned(first) + " and " + owned(second) }}.until("each owns two", func() bool {
		return one.Ready() == nil && two.Ready() == nil && owned(first) == "2" && owned(second) == "2"
	})
	count()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	waits{t, func() string { return owned(first) }}.until("the first owns all", func() bool { return one.Ready() == nil && owned(first) == "4" })
	count()
}
