package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/module"
)

func TestMetricIsSummedOverItsSeries(t *testing.T) {
	const text = "# HELP lag rows\nlag{p=\"1\"} 5\nlag{p=\"a b\"} 1e3\nlagging 7\nalone 3\n"
	if sum, n := metric(text, "lag"); sum != 1005 || n != 2 {
		t.Fatalf("lag is %v in %d", sum, n)
	}
	if sum, n := metric(text, "alone"); sum != 3 || n != 1 {
		t.Fatalf("alone is %v in %d", sum, n)
	}
	if _, n := metric(text, "missing"); n != 0 {
		t.Fatal("found what is not there")
	}
}

func TestAGroupIsWholeWhenEachWorkerHasItsShare(t *testing.T) {
	f := &fleet{fleetPlan: fleetPlan{partitions: 5}, crew: []*worker{{name: "a"}, {name: "b"}}}
	for _, test := range []struct {
		name, state, lack string
		held              map[string][]int32
	}{
		{"all", "Stable", "", map[string][]int32{"a": {0, 1, 2}, "b": {3, 4}}},
		{"a rebalance", "PreparingRebalance", "Preparing", map[string][]int32{"a": {0, 1, 2}, "b": {3, 4}}},
		{"one is missing", "Stable", "with 1 members", map[string][]int32{"a": {0, 1, 2, 3, 4}}},
		{"one has nearly nothing", "Stable", "b owns 1", map[string][]int32{"a": {0, 1, 2, 3}, "b": {4}}},
		{"a partition on its way", "Stable", "4 of 5", map[string][]int32{"a": {0, 1}, "b": {3, 4}}},
		{"a stranger", "Stable", "b owns 0", map[string][]int32{"a": {0, 1, 2}, "x": {3, 4}}},
	} {
		if got := f.uneven(test.held, test.state); (got == "") != (test.lack == "") || !strings.Contains(got, test.lack) {
			t.Errorf("%s: %q, want %q in it", test.name, got, test.lack)
		}
	}
}

func TestMembersGoByTheirNames(t *testing.T) {
	name := "worker-1"
	got := owners(kadm.DescribedGroup{Members: []kadm.DescribedGroupMember{{MemberID: "x", InstanceID: &name}, {MemberID: "y"}}})
	if _, named := got[name]; !named || len(got) != 2 {
		t.Fatalf("%v", got)
	}
}

func TestAdminAddressIsReadFromTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if got := adminAddress(log); got != "" {
		t.Fatalf("%q of no log", got)
	}
	text := "not json\n{\"msg\":\"x\"}\n{\"msg\":\"admin server listens\",\"admin\":\"127.0.0.1:7\"}\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := adminAddress(log); got != "127.0.0.1:7" {
		t.Fatalf("%q", got)
	}
}

func TestModuleOfAFleetIsValid(t *testing.T) {
	plan := fleetPlan{partitions: 12, inFlight: 7, session: 6 * time.Second}
	r := &run{lab: &lab{brokers: "127.0.0.1:9"}, name: "app", dir: t.TempDir(), endpoint: "http://127.0.0.1:1/x",
		job: job{in: "topic", target: "bench/counter"}}
	path, err := r.writeModule(3, plan.properties(), plan.application())
	if err != nil {
		t.Fatal(err)
	}
	m, err := module.Load([]string{path}, module.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Application.Partitions != 12 || m.Application.Limits.InFlight != 7 || m.Endpoints[0].MaxNumBatchRequests != 3 {
		t.Fatalf("%+v", m.Application)
	}
	if p := m.Ingresses[0].Properties; len(p) != 1 || p[0].Key != "session.timeout.ms" || p[0].Value != "6000" {
		t.Fatalf("%+v", p)
	}
	if text := (fleetPlan{standbys: 2}).application(); !strings.Contains(text, "  standbyReplicas: 2\n") {
		t.Fatal(text)
	}
}

func TestFilledWorkloadBeginsWithEveryID(t *testing.T) {
	w := newFilled(50, 200)
	last := map[uint32]int64{}
	for seq, id := range w.ids {
		if seq < 50 && id != uint32(seq) || w.rank[seq] != last[id]+1 {
			t.Fatalf("input %d: id %d, rank %d after %d", seq, id, w.rank[seq], last[id])
		}
		last[id]++
	}
	if len(w.ids) != 250 || len(last) != 50 {
		t.Fatalf("%d inputs over %d ids", len(w.ids), len(last))
	}
}

func TestCheckerExpectsOnlyWhatWasSent(t *testing.T) {
	w := newFilled(2, 5)
	c := newChecker(w)
	for seq := range 3 {
		c.add(output(w, seq))
	}
	if c.expect(4); c.complete() || !slices.Contains(c.problems(), "1 outputs missing") {
		t.Fatalf("%v", c.problems())
	}
	if c.expect(3); !c.complete() || len(c.problems()) > 0 {
		t.Fatalf("%v", c.problems())
	}
}

func TestFleetGoalsAndNames(t *testing.T) {
	rounds := func(p ...pause) *pauses { return &pauses{Session: 6, Rounds: p} }
	results := table{
		{Scenario: "failover-standby", System: "worker", Workers: 3, PeakRSSMiB: 700, Pauses: rounds(pause{All: 5}, pause{All: 7.5})},
		{Scenario: "planned-stop-standby", System: "worker", Workers: 3, Pauses: rounds(pause{Wait: 0.4, Others: 0.3})},
		{Scenario: "rolling-standby", System: "worker", Workers: 3, Pauses: rounds(pause{Wait: 0.4, Others: 1.5})},
		{Scenario: "scaling-1", System: "worker", Workers: 1, PerSecond: 100, Ideal: 128},
		{Scenario: "scaling-2", System: "worker", Workers: 2, PerSecond: 190, Ideal: 256},
	}
	var got []string
	for _, g := range results.goals() {
		got = append(got, strings.ReplaceAll(g.String(), "\t", " "))
	}
	want := []string{
		"failover with a standby: p99 until all is served ≤ 7 s 7.5 missed",
		"planned stop with a standby: longest wait ≤ 0.5 s 0.4 met",
		"rolling restart with standbys: longest wait ≤ 1 s 1.5 missed",
		"scaling to 2 workers ≥ 0.9 × linear 0.95 met",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("goals\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	name := func(s scenario) string { return s.Name }
	asked, err := choose(scenarios(options{}), name, "scenarios", families.Replace("failover-all,rolling-all,planned-stop-all,scaling-all,storm"))
	if err != nil || len(asked) != 12 {
		t.Fatalf("%d scenarios, %v", len(asked), err)
	}
	for _, q := range asked {
		if systems()[0].runs(q) || len(strings.Split(q.view.line(results, &result{}), "\t")) != len(strings.Split(q.view.head, "\t")) {
			t.Errorf("%s: runs on the bare loop, or has other dashes than columns", q.Name)
		}
		if r := results.find(q.Name, "worker"); r != nil {
			if cells := q.view.line(results, r); strings.Count(cells, "\t") != strings.Count(q.view.head, "\t") || strings.Contains(cells, "%!") {
				t.Errorf("%s: cells %q under %q", q.Name, cells, q.view.head)
			}
		}
	}
}
