package history

import (
	"slices"
	"testing"
	"time"
)

// sound is a short run in which nothing went wrong: a/1 gets r1 and r2 from an ingress partition; r1 sends s1 and s2 to
// b/1 and schedules d1 (delivered), d2 (cancelled in the same answer) and d3 (cancelled by r2) there.
func sound() ([]Input, []Entry) {
	inputs := []Input{
		{ID: "r1", Address: "a/1", Note: NoteSet},
		{ID: "r2", Address: "a/1", Note: NoteDeleted},
		{ID: "s1", Address: "b/1", Parent: "r1", Note: NoteSet},
		{ID: "s2", Address: "b/1", Parent: "r1"},
		{ID: "d1", Address: "b/1", Parent: "r1", Delay: time.Second},
		{ID: "d2", Address: "b/1", Parent: "r1", Delay: time.Second, Never: true},
		{ID: "d3", Address: "b/1", Parent: "r1", Delay: 20 * time.Second, Canceller: "r2"},
	}
	entries := []Entry{
		{Address: "a/1", Input: "r1", Sender: "in/0/1", SenderSeq: 1, At: 100_000, Note: "r1"},
		{Address: "b/1", Input: "s1", Sender: "a/1", SenderSeq: 1, SenderIndex: 0, At: 100_010, Note: "s1"},
		{Address: "a/1", Input: "r2", Sender: "in/0/1", SenderSeq: 2, At: 100_020},
		{Address: "b/1", Input: "s2", Sender: "a/1", SenderSeq: 1, SenderIndex: 1, At: 100_020, Note: "s1"},
		{Address: "b/1", Input: "d1", Sender: "a/1", SenderSeq: 1, SenderIndex: 2, Delayed: true, At: 101_010, Note: "s1"},
	}
	renumber(entries)
	return inputs, entries
}

// renumber gives the entries the counts and chains that functions would give when they processed them in this order.
func renumber(entries []Entry) {
	seq, chain := map[string]int64{}, map[string]uint64{}
	for i := range entries {
		e := &entries[i]
		seq[e.Address]++
		chain[e.Address] = Link(chain[e.Address], e.Input)
		e.Seq, e.Chain = seq[e.Address], chain[e.Address]
	}
}

func TestCheckAcceptsASoundRun(t *testing.T) {
	inputs, entries := sound()
	report := Check(inputs, entries)
	if len(report.Violations) != 0 {
		t.Fatalf("violations in a sound run: %v", report.Violations)
	}
	if report.Cancelled != 2 || report.Undecided != 0 || report.Pairs != 2 || report.Addresses != 2 {
		t.Errorf("figures: %+v", report)
	}
}

// breaches plant one fault each into the sound run.
var breaches = []struct {
	name  string
	plant func(inputs []Input, entries []Entry) []Entry
	want  Rule
}{
	{"a lost record in the middle of a life", func(_ []Input, e []Entry) []Entry { return slices.Delete(e, 1, 2) }, RuleGap},
	{"an input that was never processed", func(_ []Input, e []Entry) []Entry {
		e = slices.Delete(e, 1, 2)
		e[2].Note, e[3].Note = "", ""
		renumber(e)
		return e
	}, RuleLost},
	{"the last record of a life lost", func(_ []Input, e []Entry) []Entry { return e[:4] }, RuleLost},
	{"an egress record written twice", func(_ []Input, e []Entry) []Entry { return append(e, e[4]) }, RuleDoubled},
	{"an input processed twice on the new state", func(_ []Input, e []Entry) []Entry {
		e = append(e, e[4])
		renumber(e)
		return e
	}, RuleDoubled},
	{"an input of nobody", func(_ []Input, e []Entry) []Entry {
		e = append(e, Entry{Address: "b/1", Input: "x", Sender: "a/1", SenderSeq: 9, Note: "s1"})
		renumber(e)
		return e
	}, RuleUnknown},
	{"an input at the wrong address", func(_ []Input, e []Entry) []Entry {
		e[4].Address = "a/1"
		renumber(e)
		return e
	}, RuleUnknown},
	{"two messages of one sender swapped", func(_ []Input, e []Entry) []Entry {
		e[1].Input, e[3].Input = e[3].Input, e[1].Input
		e[1].SenderIndex, e[3].SenderIndex = 1, 0
		e[1].Note = ""
		renumber(e)
		return e
	}, RuleOrder},
	{"two records of one ingress partition and key swapped", func(_ []Input, e []Entry) []Entry {
		e[0].SenderSeq, e[2].SenderSeq = 2, 1
		return e
	}, RuleOrder},
	{"two egress records of one address swapped", func(_ []Input, e []Entry) []Entry {
		e[1], e[3] = e[3], e[1]
		return e
	}, RuleArrival},
	{"a count that went back", func(_ []Input, e []Entry) []Entry {
		e[2].Seq = 1
		return e
	}, RuleGap},
	{"a second state that lags behind the first", func(_ []Input, e []Entry) []Entry {
		e[2].Chain = Link(0, "r2")
		return e
	}, RuleChain},
	{"a deleted state that came back", func(_ []Input, e []Entry) []Entry {
		e[2].Note = "r1"
		return e
	}, RuleNote},
	{"a set state that went away", func(_ []Input, e []Entry) []Entry {
		e[3].Note = ""
		return e
	}, RuleNote},
	{"a message that its own answer cancelled", func(_ []Input, e []Entry) []Entry {
		e = append(e, Entry{Address: "b/1", Input: "d2", Sender: "a/1", SenderSeq: 1, Delayed: true, At: 102_000, Note: "s1"})
		renumber(e)
		return e
	}, RuleCancelled},
	{"a message cancelled long before it was due", func(_ []Input, e []Entry) []Entry {
		e = append(e, Entry{Address: "b/1", Input: "d3", Sender: "a/1", SenderSeq: 1, Delayed: true, At: 121_000, Note: "s1"})
		renumber(e)
		return e
	}, RuleCancelled},
	{"a delayed message before its time", func(_ []Input, e []Entry) []Entry {
		e[4].At = 100_500
		return e
	}, RuleEarly},
	{"a message of an attempt that was taken back", func(_ []Input, e []Entry) []Entry {
		e[1].SenderSeq = 7
		e[3].SenderSeq, e[4].SenderSeq = 7, 7
		return e
	}, RuleParent},
}

func TestCheckCatches(t *testing.T) {
	for _, test := range breaches {
		t.Run(test.name, func(t *testing.T) {
			inputs, entries := sound()
			report := Check(inputs, test.plant(inputs, entries))
			caught := slices.ContainsFunc(report.Violations, func(v Violation) bool { return v.Rule == test.want })
			if !caught {
				t.Errorf("rule %q not reported; violations: %v", test.want, report.Violations)
			}
		})
	}
}

func TestCheckLeavesALateCancellationOpen(t *testing.T) {
	inputs, entries := sound()
	entries[2].At = 118_000 // 2 s before d3 is due
	for _, delivered := range []bool{false, true} {
		got := slices.Clone(entries)
		if delivered {
			got = append(got, Entry{Address: "b/1", Input: "d3", Sender: "a/1", SenderSeq: 1, Delayed: true, At: 120_500, Note: "s1"})
			renumber(got)
		}
		report := Check(inputs, got)
		if len(report.Violations) != 0 || report.Undecided != 1 {
			t.Errorf("delivered=%v: %+v", delivered, report)
		}
	}
}
