package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// embeddedSeed draws a kill and a stall of one of two programs, and a fault of the functions.
const embeddedSeed = 2

// TestAShortRunOfEmbeddedProgramsIsGood kills and stalls programs on package embedded, whose functions are in the process and
// behind HTTP, which fill an ingress themselves and have a sink.
func TestAShortRunOfEmbeddedProgramsIsGood(t *testing.T) {
	r := playShort(t, 1, embeddedSeed, "--fleet", fleetEmbedded, "--brokers", realkafka.Version4, "--faults", "kill,stall,fn-twice")
	f := r.Totals
	if r.Faults["kill"] == 0 || f.Kills == 0 || f.Appended == 0 || f.Delivered == 0 {
		t.Errorf("%v, %d kills, %d appends, %d deliveries: want some of all", r.Faults, f.Kills, f.Appended, f.Delivered)
	}
}

// fates writes what a process says of n records, all of them durable save those that are given.
func fates(t *testing.T, dir string, process, n int, others map[int]string) {
	t.Helper()
	var text strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&text, "%s %d\n", wordTry, i)
		if word, is := others[i]; !is {
			fmt.Fprintf(&text, "%s %d\n", wordDurable, i)
		} else if word != "" {
			fmt.Fprintf(&text, "%s %d\n", word, i)
		}
	}
	text.WriteString("durable ") // cut off
	path := filepath.Join(dir, fmt.Sprintf("%03d-w0%s", process, appendsSuffix))
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// starts are the inputs that records themselves are, without what they lead to.
func starts(inputs []history.Input) (ids []string) {
	for _, in := range inputs {
		if in.Parent == "" && !slices.Contains(ids, in.ID) {
			ids = append(ids, in.ID)
		}
	}
	return ids
}

func TestWhatIsDueOfAppendsFollowsFromTheirFates(t *testing.T) {
	const seed, n = 7, 40
	dir := t.TempDir()
	fates(t, dir, 3, n, map[int]string{5: wordRefused, 9: wordUnknown, 11: ""})
	a, err := readAppends(dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	if a.durable != n-3 || a.refused != 1 || a.unknown != 2 {
		t.Errorf("%d durable, %d refused, %d unknown", a.durable, a.refused, a.unknown)
	}
	g, ids := appendGenerator(seed, 3), make([]string, n)
	for i := range ids {
		ids[i] = g.Next().Command.ID
	}
	without := func(gone ...int) (want []string) {
		for i, id := range ids {
			if !slices.Contains(gone, i+1) {
				want = append(want, id)
			}
		}
		return want
	}
	nothing := func(string, string) bool { return false }
	if got := starts(a.due(nothing)); !slices.Equal(got, without(5, 9, 11)) {
		t.Errorf("due are %v", got)
	}
	got := starts(a.due(func(id, _ string) bool { return id == ids[8] }))
	slices.Sort(got)
	if want := without(5, 11); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("once record 9 has come, due are %v", got)
	}
}

// TestTheCheckOfAppendsCatches lets the inputs of a process come out in order, with one fault each.
func TestTheCheckOfAppendsCatches(t *testing.T) {
	const seed, n, refused = 7, 60, 20
	dir := t.TempDir()
	fates(t, dir, 1, n, map[int]string{refused: wordRefused})
	a, err := readAppends(dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	g := appendGenerator(seed, 1)
	var roots []history.Entry // of records with one target, in the order of their appends
	for i := range n {
		if root := g.Next(); len(root.Ingress.Targets) == 1 {
			roots = append(roots, history.Entry{
				Address: root.Ingress.Targets[0] + "/" + root.Key, Input: root.Command.ID, Sender: root.Command.Sender, SenderSeq: root.Command.SenderSeq,
				Seq: int64(i + 1),
			})
		}
	}
	for name, test := range map[string]struct {
		entries []history.Entry
		want    history.Rule
	}{
		"a durable record that never came": {roots[1:], history.RuleLost},
		"a durable record that came twice": {append(slices.Clone(roots), roots[0]), history.RuleDoubled},
		"a record that was refused": {append(slices.Clone(roots), history.Entry{Address: "a/k000", Input: idOf(seed, refused)}),
			history.RuleUnknown},
	} {
		report := history.Check(a.due(func(string, string) bool { return false }), test.entries)
		sound := history.Check(a.due(func(string, string) bool { return false }), roots)
		if count(report, test.want) <= count(sound, test.want) {
			t.Errorf("%s was not noticed", name)
		}
	}
}

func idOf(seed uint64, n int) (id string) {
	g := appendGenerator(seed, 1)
	for range n {
		id = g.Next().Command.ID
	}
	return id
}

func count(r history.Report, rule history.Rule) (n int) {
	for _, v := range r.Violations {
		if v.Rule == rule {
			n++
		}
	}
	return n
}

func TestLinesOfTheSinkThatAKillHasCutOffAreNoDeliveries(t *testing.T) {
	path := filepath.Join(t.TempDir(), sinkFile)
	whole := `{"id":"p-1","sender":"k","value":{"address":"a/k","seq":1},"by":"w0"}`
	if err := os.WriteFile(path, []byte("\n"+whole+"\n\n"+whole[:30]+"\n"+whole+"\n\n"+whole[:20]), 0o644); err != nil {
		t.Fatal(err)
	}
	d := newDeliveries(path)
	if err := d.read(); err != nil {
		t.Fatal(err)
	}
	if len(d.list) != 2 || d.torn != 1 || len(d.got) != 1 {
		t.Errorf("%d deliveries of %d values, %d lines are cut off; want 2 of 1 and 1", len(d.list), len(d.got), d.torn)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(whole[20:] + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := d.read(); err != nil {
		t.Fatal(err)
	}
	if len(d.list) != 3 {
		t.Errorf("%d deliveries once the last line has its end, want 3", len(d.list))
	}
}

func TestBothKindsOfWorkersAreDrawnAndMeetAllKindsOfFaults(t *testing.T) {
	met := map[string]map[string]bool{fleetCommand: {}, fleetEmbedded: {}}
	for seed := range uint64(200) {
		for _, brokers := range []int{1, 3} {
			p := draw(seed, catalogue, testLoad, brokers)
			for _, f := range p.Faults {
				met[p.Fleet][f.Kind] = true
			}
		}
	}
	for fleet, kinds := range met {
		for _, k := range catalogue {
			if !kinds[k.name] {
				t.Errorf("none of 200 seeds lets %s fall on a fleet of kind %s", k.name, fleet)
			}
		}
	}
}
