package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

var (
	seedFlag = flag.Uint64("seed", 1, "seed of the first short run; 0 takes one from the clock, as the program does")
	runsFlag = flag.Int("runs", 4, "how many short runs")
)

// TestMain is the function process and the embedded programs too, which the suite starts from the program that it is part of.
func TestMain(m *testing.M) {
	serveIfAsked()
	os.Exit(m.Run())
}

// TestShortRunsAreGood is the suite's short form: a few runs with little load on two versions of Kafka. The program
// itself makes long ones.
func TestShortRunsAreGood(t *testing.T) {
	playShort(t, *runsFlag, *seedFlag, "--fleet", fleetCommand, "--brokers", realkafka.Version4+","+realkafka.Version3)
}

// clusterSeed draws one fault of each of two kinds.
const clusterSeed = 9

func TestAShortRunOnThreeBrokersIsGoodWhileLeadersMoveAndOneIsKilled(t *testing.T) {
	r := playShort(t, 1, clusterSeed, "--fleet", fleetCommand, "--brokers", realkafka.Version4+"x3", "--faults", "leaders-elect,leader-kill")
	if r.Faults["leaders-elect"] == 0 || r.Faults["leader-kill"] == 0 {
		t.Errorf("the faults were %v, want both kinds", r.Faults)
	}
	if r.Totals.Moved == 0 || r.Totals.Internal == 0 {
		t.Errorf("%d of the application's partitions got another leader and %d of Kafka's own, want some of both", r.Totals.Moved, r.Totals.Internal)
	}
}

// playShort makes runs with little load, all of which must be good.
func playShort(t *testing.T, runs int, seed uint64, form ...string) report {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	if err := realkafka.Available(); err != nil {
		t.Fatal(err)
	}
	form = append([]string{"--runs", fmt.Sprint(runs), "--load", "6s"}, form...)
	o, err := parseFlags(append(form, "--seed", fmt.Sprint(seed)))
	if err != nil {
		t.Fatal(err)
	}
	faults, err := chooseFaults(o.Faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d; go run ./test/chaos %s --seed %d repeats it", o.Seed, strings.Join(form, " "), o.Seed)
	r, err := play(t.Context(), o, faults)
	if err != nil {
		t.Error(err)
	}
	var text bytes.Buffer
	if err := r.writeText(&text); err != nil {
		t.Error(err)
	}
	t.Log(text.String())
	if r.Bad > 0 || len(r.Runs) != runs {
		t.Errorf("%d of %d runs are bad, %d were made", r.Bad, runs, len(r.Runs))
	}
	return r
}

const testLoad = 20 * time.Second

func TestTheSameSeedDrawsTheSamePlan(t *testing.T) {
	if one, two := draw(7, catalogue, testLoad, 1), draw(7, catalogue, testLoad, 1); !reflect.DeepEqual(one, two) {
		t.Errorf("seed 7 drew %v and %v", one, two)
	}
	if one, other := draw(7, catalogue, testLoad, 1), draw(8, catalogue, testLoad, 1); reflect.DeepEqual(one.Faults, other.Faults) {
		t.Errorf("seeds 7 and 8 draw the same faults: %v", one)
	}
}

func TestNeighbouringSeedsDrawEveryKindOfFault(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		drawn := map[string]bool{}
		for seed := range uint64(len(catalogue)) {
			for _, f := range draw(seed+1000, catalogue, testLoad, brokers).Faults {
				drawn[f.Kind] = true
			}
		}
		for _, k := range catalogue {
			if drawn[k.name] && k.brokers > brokers {
				t.Errorf("%s was drawn for %d brokers", k.name, brokers)
			}
			// Those that need no cluster are for runs without one.
			if !drawn[k.name] && max(k.brokers, 1) == brokers {
				t.Errorf("%s was not drawn for %d brokers", k.name, brokers)
			}
		}
	}
}

func TestAPlanKeepsItsLimits(t *testing.T) {
	for seed := range uint64(500) {
		brokers := 1 + 2*int(seed%2)
		p := draw(seed, catalogue, testLoad, brokers)
		if len(p.Faults) < fewestFaults || len(p.Faults) > mostFaults || p.Workers < 1 || p.Workers > mostWorkers {
			t.Errorf("seed %d drew %v", seed, p)
		}
		ofSeveral := 0
		for _, f := range p.Faults {
			k := catalogue[slices.IndexFunc(catalogue, func(k fault) bool { return k.name == f.Kind })]
			if f.after() <= 0 || f.after() >= testLoad || p.Workers < k.workers || brokers < k.brokers {
				t.Errorf("seed %d drew %v", seed, p)
			}
			if k.brokers > 1 {
				ofSeveral++
			}
		}
		if brokers > 1 && ofSeveral == 0 {
			t.Errorf("seed %d drew %v for %d brokers, of which none needs them", seed, p, brokers)
		}
	}
}

func TestRunsAreSharedOutOverTheBrokers(t *testing.T) {
	for runs := range 10 {
		for n := range 3 {
			var ends []int
			for i := range n + 1 {
				from, to := share(runs, n+1, i)
				ends = append(ends, from, to)
			}
			checkShares(t, ends, runs)
		}
	}
}

// checkShares: where one share ends the next begins.
func checkShares(t *testing.T, ends []int, runs int) {
	t.Helper()
	for i := 1; i+1 < len(ends); i += 2 {
		if ends[i] != ends[i+1] {
			t.Errorf("%d runs: shares %v", runs, ends)
		}
	}
	if ends[0] != 0 || ends[len(ends)-1] != runs {
		t.Errorf("%d runs: shares %v", runs, ends)
	}
}

func TestTheReportCountsFaultsThatFellAndNamesBadRuns(t *testing.T) {
	good := outcome{Plan: plan{Seed: 5, Faults: []plannedFault{{Kind: "kill"}, {Kind: "stall"}}}, Broker: "4.1.0", Figures: figures{Inputs: 10}}
	bad := outcome{
		Plan: plan{Seed: 6, Faults: []plannedFault{{Kind: "kill"}}}, Broker: "3.9.1", Figures: figures{Inputs: 5},
		Violations: []violation{{"lost", "input 9"}}, Missed: map[string]int{"kill": 1}, Folder: "somewhere",
	}
	r := newReport(options{Seed: 5, given: " --load 6s"}, []outcome{good, bad})
	if r.Faults["kill"] != 1 || r.Faults["stall"] != 1 || r.Bad != 1 || r.Totals.Inputs != 15 {
		t.Errorf("report: %+v", r)
	}
	var text, encoded bytes.Buffer
	if err := r.writeText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"lost: input 9", "--seed 6 --runs 1 --brokers 3.9.1 --load 6s", "somewhere", "2 runs from seed 5: 1 good, 1 bad"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text lacks %q:\n%s", part, &text)
		}
	}
	if err := r.writeJSON(&encoded); err != nil {
		t.Fatal(err)
	}
	var back report
	r.given = "" // goes into the text only
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("JSON gives back %+v (%v)", back, err)
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	for _, arguments := range [][]string{
		{"--brokers", "2.0"}, {"--faults", "flood"}, {"--brokers", "4.1.0", "--faults", "leader-kill"}, {"--runs", "0"}, {"--output", "xml"}, {"--fleet", "ships"}, {"more"}, {"--load", "1ms"},
	} {
		if code := chaos(arguments); code != exitUsage {
			t.Errorf("%v ended with %d", arguments, code)
		}
	}
}
