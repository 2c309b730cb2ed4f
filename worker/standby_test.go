package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A standby follows what the owner commits. When the owner leaves, it takes over with the tail alone to replay.
func TestAStandbyTakesOverWithoutReplayingTheLog(t *testing.T) {
	w := newWorld(t, 4)
	w.module = loadModule(t, strings.Replace(moduleText, "  id: app", "  id: app\n  standbyReplicas: 1", 1))
	first := w.config(t.TempDir())
	first.Functions = counter
	_, stop := w.run(first)
	const keys, rounds = 50, 40
	for i := range keys * rounds / 2 {
		w.send(fmt.Sprint("k", i%keys), "x")
	}
	w.collect("out", keys*rounds/2)

	second := w.config(t.TempDir())
	second.WorkerID, second.Functions, second.Registerer = "w2", counter, prometheus.NewRegistry()
	other, _ := w.run(second)
	standing := waits{t, func() string { return sum(t, second.Registerer, "statefun_worker_partitions", "stage", "standby") }}
	standing.until("the second worker owns two partitions and follows two", func() bool {
		return other.Ready() == nil && standing.value() == "2" && sum(t, second.Registerer, "statefun_worker_partitions", "stage", "running") == "2"
	})
	for i := range keys * rounds / 2 {
		w.send(fmt.Sprint("k", i%keys), "x")
	}
	w.collect("out", keys*rounds)
	lag := waits{t, func() string { return sum(t, second.Registerer, "statefun_standby_lag_rows") }}
	lag.until("the standby has all", func() bool { return lag.value() == "0" })

	before := sum(t, second.Registerer, "statefun_worker_restored_rows_total")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	standing.until("the second worker owns all", func() bool {
		return other.Ready() == nil && sum(t, second.Registerer, "statefun_worker_partitions", "stage", "running") == "4"
	})
	var replayed int
	after := sum(t, second.Registerer, "statefun_worker_restored_rows_total")
	fmt.Sscan(after, &replayed)
	var earlier int
	fmt.Sscan(before, &earlier)
	if replayed -= earlier; replayed > 8 { // barriers, and what the stop committed
		t.Errorf("%d rows were replayed", replayed)
	}
	for i := range keys {
		w.send(fmt.Sprint("k", i), "x")
	}
	last := map[string]string{}
	for _, r := range w.collect("out", keys*(rounds+1)) {
		last[string(r.Key)] = string(r.Value)
	}
	for i := range keys {
		if got := last[fmt.Sprint("k", i)]; got != fmt.Sprint(rounds+1) {
			t.Errorf("key k%d is counted to %s, want %d", i, got, rounds+1)
		}
	}
}

// waits polls a value for which there is no event.
type waits struct {
	t     *testing.T
	value func() string
}

func (w waits) until(what string, is func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			w.t.Fatalf("it did not come that %s; the value is %s", what, w.value())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sum adds up a metric over the labels that match; pairs are label, value.
func sum(t *testing.T, r prometheus.Registerer, name string, pairs ...string) string {
	t.Helper()
	families, err := r.(prometheus.Gatherer).Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if labelled(m.GetLabel(), pairs) {
				total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return fmt.Sprint(total)
}

func labelled(labels []*dto.LabelPair, pairs []string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if !slices.ContainsFunc(labels, func(l *dto.LabelPair) bool { return l.GetName() == pairs[i] && l.GetValue() == pairs[i+1] }) {
			return false
		}
	}
	return true
}
