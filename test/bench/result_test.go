package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpreadTakesQuantilesOfUnsortedLatencies(t *testing.T) {
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration((i*7)%1000+1)*time.Millisecond)
	}
	s := newSpread(all)
	if s.P50 != 501 || s.P90 != 901 || s.P99 != 991 || s.Max != 1000 || s.Count != 1000 {
		t.Fatalf("%+v", s)
	}
	if newSpread(nil) != nil {
		t.Fatal("a spread of nothing")
	}
}

func TestMedianKeepsTheProblemsOfAllRuns(t *testing.T) {
	m := median([]result{{PerSecond: 30}, {PerSecond: 10, Problems: []string{"lost"}}, {PerSecond: 20}})
	if m.PerSecond != 20 || len(m.Problems) != 1 {
		t.Fatalf("%+v", m)
	}
}

func TestStatIsReadBehindANameWithBlanksAndParentheses(t *testing.T) {
	group, cpu, err := parseStat("71 (a) (b c) S 1 70 70 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 9 0")
	if err != nil || group != 70 || cpu != 2100*time.Millisecond {
		t.Fatalf("group %d, cpu %v, %v", group, cpu, err)
	}
	if _, _, err := parseStat("71 (a) S 1"); err == nil {
		t.Fatal("a short text was accepted")
	}
}

func TestLedgerTellsWhoUsedWhat(t *testing.T) {
	busy, all, err := parseMachine("cpu  10 20 30 400 40 5 6 7 1 1\ncpu0 1\n")
	if err != nil || busy != 780*time.Millisecond || all != 5180*time.Millisecond {
		t.Fatalf("busy %v of %v, %v", busy, all, err)
	}
	if _, _, err := parseMachine("intr 1"); err == nil {
		t.Fatal("another line was accepted")
	}
	const ms = time.Millisecond
	before := ledger{process: 0, function: 10 * ms, broker: 100 * ms, self: 5 * ms, busy: 1000 * ms, all: 2000 * ms}
	after := ledger{process: 60 * ms, function: 30 * ms, broker: 110 * ms, self: 10 * ms, busy: 1295 * ms, all: 3000 * ms, peakRSS: 1 << 21}
	var res result
	after.enter(&res, before, 1000, 20*ms)
	if res.CPUMicros != 40 || res.FunctionMicros != 20 || res.BrokerMicros != 10 || res.PeakRSSMiB != 2 || res.Others != 0.2 {
		t.Fatalf("%+v", res)
	}
}

// sample is a table with the bare loop, and a worker whose results are all right but one.
func sample() table {
	return table{
		{Scenario: "drain", System: plain, Title: "bare loop", PerSecond: 100, CPUMicros: 40},
		{Scenario: "drain", System: "worker", Title: "statefun-kafka", PerSecond: 250, CPUMicros: 10, PeakRSSMiB: 340},
		{Scenario: "distinct", System: plain, Title: "bare loop", PerSecond: 100, CPUMicros: 40},
		{Scenario: "distinct", System: "worker", Title: "statefun-kafka", PerSecond: 900, CPUMicros: 10, Problems: []string{"lost"}},
		{Scenario: "latency-200", System: "worker", Title: "statefun-kafka <&>", Latency: newSpread([]time.Duration{4e6, 5e6, 6e6})},
	}
}

func TestGoalsAreHeldAgainstRightResultsOnly(t *testing.T) {
	var got []string
	for _, g := range sample().goals() {
		got = append(got, strings.ReplaceAll(g.String(), "\t", " "))
	}
	want := []string{
		"drain: records/s ≥ 3 × bare 2.5 missed",
		"drain: processor time ≤ 0.5 × bare 0.25 met",
		"latency-200: p50 ≤ 5 ms 5 met",
		"latency-200: p99 ≤ 12 ms 6 met",
		"resident memory, highest of all ≤ 350 MiB 340 met",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("goals\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTroubleMayMoveTheOthersByAQuarter(t *testing.T) {
	at := func(p50, p99 float64) *spread { return &spread{P50: p50, P99: p99} }
	results := table{{Scenario: "hang", System: "worker", Pressure: &pressure{Before: at(4, 20), During: at(5, 26), After: at(4, 20)}}}
	var got []string
	for _, g := range results.goals() {
		got = append(got, strings.ReplaceAll(g.String(), "\t", " "))
	}
	want := "hang: p50 of the others ≤ 1.25 × before 1.25 met\nhang: p99 of the others ≤ 1.25 × before 1.3 missed"
	if strings.Join(got, "\n") != want {
		t.Fatalf("goals\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	slower := result{Scenario: "hang", Pressure: &pressure{During: at(3, 40)}}
	quicker := result{Scenario: "hang", Pressure: &pressure{During: at(9, 10)}}
	if m := median([]result{slower, results[0], quicker}); m.Pressure.During.P99 != 26 {
		t.Fatalf("the middle of three has %v ms", m.Pressure.During.P99)
	}
}

func TestBusyMachineProvesNoGoal(t *testing.T) {
	results := sample()
	results[0].Others = 0.4 // the bare loop was held up: the ratio flatters the worker
	for _, g := range results.goals() {
		want := strings.HasPrefix(g.Name, "drain")
		if g.Busy != want || strings.Contains(g.String(), "not proven") != want {
			t.Errorf("%s: busy %v, want %v", g, g.Busy, want)
		}
	}
	r := report{Results: results[1:2], Goals: []goal{{Met: true, Busy: true}}}
	if r.good(true) || !r.good(false) {
		t.Error("strict must not pass on a busy machine")
	}
}

func TestWrongOutputsMakeTheRunBad(t *testing.T) {
	r := report{Results: sample()}
	r.Goals = r.Results.goals()
	if r.good(false) {
		t.Fatal("good with lost outputs")
	}
	r.Results = r.Results[:2]
	if !r.good(false) || r.good(true) {
		t.Fatal("a missed goal counts with strict only")
	}
}

func TestTableNamesRatioAndVerdict(t *testing.T) {
	r := report{Results: sample(), Machine: "m"}
	var out bytes.Buffer
	if err := r.writeText(&out, scenarios(options{})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2.50", "exact", "WRONG: lost"} {
		if !strings.Contains(out.String(), want) {
			t.Fatalf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	dir := t.TempDir()
	r := report{Results: sample(), Machine: "m", Kafka: "4"}
	r.Results = append(r.Results, result{Scenario: "rolling", System: "worker", Timeline: &timeline{From: -2, Step: 0.1, Waits: []float64{3, 900}, Marks: []float64{0}}})
	if err := r.writePlots(dir, scenarios(options{})); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"throughput.svg", "cpu.svg", "latency-200.svg", "rolling.svg"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(bytes.NewReader(b)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	name := func(s system) string { return s.Name }
	if got, err := choose(systems(), name, "systems", "worker, floor", ""); err != nil || len(got) != 2 || got[0].Name != plain {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := choose(systems(), name, "systems", "flor"); err == nil || !strings.Contains(err.Error(), `"flor"`) {
		t.Fatalf("%v", err)
	}
}
