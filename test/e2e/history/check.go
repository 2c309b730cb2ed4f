package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Rule names what a violation breaks.
type Rule string

// The rules that Check holds the entries against.
const (
	RuleLost      Rule = "lost"      // an input that must be processed has no entry
	RuleDoubled   Rule = "doubled"   // an input has two entries
	RuleUnknown   Rule = "unknown"   // an entry for an input that nobody gave
	RuleCancelled Rule = "cancelled" // a cancelled message was delivered
	RuleEarly     Rule = "early"     // a delayed message came before its time
	RuleGap       Rule = "gap"       // the counts of an address are not 1, 2, 3, …
	RuleChain     Rule = "chain"     // the second state does not fit the inputs counted by the first
	RuleNote      Rule = "note"      // the third state does not fit the inputs
	RuleOrder     Rule = "order"     // two messages of one sender came in the wrong order
	RuleArrival   Rule = "arrival"   // the egress records of an address are not in the order of its inputs
	RuleParent    Rule = "parent"    // a message does not fit the committed history of its sender
)

// clockSlack is what two readings of one clock around a timer may disagree by: the timer counts in milliseconds.
const clockSlack = 5 * time.Millisecond

// cancelSlack is how long before its due time a cancellation must have been invoked to be held to its word; it covers
// the time from the invocation of the function until its answer is applied.
const cancelSlack = 5 * time.Second

// Violation is one broken rule.
type Violation struct {
	Rule Rule
	Text string
}

// Report is what Check found.
type Report struct {
	// Violations are all broken rules, without a limit.
	Violations []Violation
	// Entries, Inputs and Addresses count what was checked.
	Entries, Inputs, Addresses int
	// Pairs counts the neighbouring messages of one sender to one target whose order was compared.
	Pairs int
	// Cancelled counts the cancelled messages that had to stay away; Undecided those whose cancellation was processed too
	// close to their due time to demand it.
	Cancelled, Undecided int
}

func (r *Report) violate(rule Rule, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// delivery is the key of an input: a record with several targets is one input to each.
type delivery struct{ id, address string }

// checker is one run of Check.
type checker struct {
	report Report
	inputs map[delivery]Input
	// first is the first entry of each delivery, byID that of each input ID (parents have one target only).
	first map[delivery]Entry
	byID  map[string]Entry
	// lives are the entries of each address in the order of arrival.
	lives map[string][]Entry
}

// Check holds entries, in the order in which a read_committed consumer got them, against the inputs.
func Check(inputs []Input, entries []Entry) Report {
	c := checker{
		report: Report{Entries: len(entries), Inputs: len(inputs)},
		inputs: make(map[delivery]Input, len(inputs)),
		first:  make(map[delivery]Entry, len(entries)),
		byID:   make(map[string]Entry, len(entries)),
		lives:  map[string][]Entry{},
	}
	for _, in := range inputs {
		c.inputs[delivery{in.ID, in.Address}] = in
	}
	for _, e := range entries {
		c.collect(e)
	}
	for _, in := range inputs {
		c.checkInput(in)
	}
	c.report.Addresses = len(c.lives)
	for address, life := range c.lives {
		c.checkLife(address, life)
	}
	return c.report
}

// collect files one entry and finds strangers and doubles.
func (c *checker) collect(e Entry) {
	key := delivery{e.Input, e.Address}
	if _, known := c.inputs[key]; !known {
		c.report.violate(RuleUnknown, "%s wrote an entry for %s, which nobody sent there", e.Address, e.Input)
	}
	if before, doubled := c.first[key]; doubled {
		c.report.violate(RuleDoubled, "%s processed %s twice, as number %d and as number %d", e.Address, e.Input, before.Seq, e.Seq)
	} else {
		c.first[key] = e
		c.byID[e.Input] = e
	}
	c.lives[e.Address] = append(c.lives[e.Address], e)
}

// checkInput holds one input against its entry or its absence.
func (c *checker) checkInput(in Input) {
	e, delivered := c.first[delivery{in.ID, in.Address}]
	parent, parentDone := c.byID[in.Parent]
	switch {
	case in.Never:
		c.report.Cancelled++
		if delivered {
			c.report.violate(RuleCancelled, "%s was delivered to %s although its own answer cancelled it", in.ID, in.Address)
		}
		return
	case in.Canceller != "":
		if !c.cancelledInTime(in, parent) {
			c.report.Undecided++
			break
		}
		c.report.Cancelled++
		if delivered {
			c.report.violate(RuleCancelled, "%s was delivered to %s although %s cancelled it long before", in.ID, in.Address, in.Canceller)
		}
		return
	case !delivered:
		c.report.violate(RuleLost, "%s never reached %s (its sender's input: %q)", in.ID, in.Address, in.Parent)
		return
	}
	if !delivered || in.Parent == "" {
		return
	}
	if !parentDone || e.Sender != parent.Address || e.SenderSeq != parent.Seq {
		c.report.violate(RuleParent, "%s says it was sent by %s at its number %d, but the entry of %s is number %d of %s",
			in.ID, e.Sender, e.SenderSeq, in.Parent, parent.Seq, parent.Address)
		return
	}
	if waited := time.Duration(e.At-parent.At) * time.Millisecond; waited < in.Delay-clockSlack {
		c.report.violate(RuleEarly, "%s came to %s after %v, not after %v", in.ID, in.Address, waited, in.Delay)
	}
}

// cancelledInTime says whether the cancellation of in was processed so early that it must have worked.
func (c *checker) cancelledInTime(in Input, parent Entry) bool {
	cancel, done := c.byID[in.Canceller]
	if !done || parent.At == 0 {
		return false
	}
	due := time.UnixMilli(parent.At).Add(in.Delay)
	return time.UnixMilli(cancel.At).Add(cancelSlack).Before(due)
}

// place is where a message stands among those of its sender.
type place struct {
	seq   int64
	index int
}

// checkLife walks the entries of one address, which are given in the order of arrival, in the order of their counts.
func (c *checker) checkLife(address string, life []Entry) {
	for i := 1; i < len(life); i++ {
		if life[i].Seq < life[i-1].Seq {
			c.report.violate(RuleArrival, "%s: number %d (%s) came after number %d", address, life[i].Seq, life[i].Input, life[i-1].Seq)
		}
	}
	slices.SortStableFunc(life, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	var chain uint64
	var note string
	last := map[string]place{}
	for i, e := range life {
		want := int64(i + 1)
		if e.Seq != want {
			c.report.violate(RuleGap, "%s: entry %d (%s) carries number %d", address, want, e.Input, e.Seq)
			return // everything after a gap is off by one
		}
		if chain = Link(chain, e.Input); e.Chain != chain {
			c.report.violate(RuleChain, "%s: at number %d (%s) the second state is not the one that its inputs lead to", address, e.Seq, e.Input)
			return
		}
		note = noteAfter(note, c.inputs[delivery{e.Input, address}])
		if e.Note != note {
			c.report.violate(RuleNote, "%s: at number %d (%s) the note is %q, not %q", address, e.Seq, e.Input, e.Note, note)
			return
		}
		c.checkOrder(last, e)
	}
}

// checkOrder compares a message with the one that the same sender sent to the same address before.
func (c *checker) checkOrder(last map[string]place, e Entry) {
	if e.Delayed {
		return
	}
	now := place{e.SenderSeq, e.SenderIndex}
	if before, any := last[e.Sender]; any {
		c.report.Pairs++
		if now.seq < before.seq || now.seq == before.seq && now.index <= before.index {
			c.report.violate(RuleOrder, "%s got message %d.%d of %s after %d.%d",
				e.Address, now.seq, now.index, e.Sender, before.seq, before.index)
		}
	}
	last[e.Sender] = now
}

// noteAfter is the note of an address after an input.
func noteAfter(before string, in Input) string {
	switch in.Note {
	case NoteSet:
		return in.ID
	case NoteDeleted:
		return ""
	default:
		return before
	}
}
