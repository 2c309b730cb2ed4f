package audit

import (
	"fmt"
	"slices"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

func entry(address string, seq int64) history.Entry {
	return history.Entry{Address: address, Seq: seq, Input: fmt.Sprintf("%s-%d", address, seq)}
}

// soundSink is three values of one sender and one of another, of which one was delivered again by the next process.
func soundSink() (committed []history.Entry, deliveries []Delivery) {
	committed = []history.Entry{entry("a/x", 1), entry("b/y", 1), entry("a/x", 2), entry("a/x", 3)}
	deliveries = []Delivery{
		{"p0-1", "x", committed[0], "w0"}, {"p0-2", "x", committed[2], "w0"}, {"p1-1", "y", committed[1], "w0"},
		{"p0-2", "x", committed[2], "w1"}, {"p0-3", "x", committed[3], "w1"},
	}
	return committed, deliveries
}

func TestASoundSinkPasses(t *testing.T) {
	r := CheckSink(soundSink())
	if len(r.Violations) > 0 {
		t.Fatalf("violations: %v", r.Violations)
	}
	if r.Deliveries != 5 || r.Again != 1 || r.Orders != 4 {
		t.Errorf("figures: %+v", r)
	}
}

func TestCheckSinkCatches(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(committed *[]history.Entry, d *[]Delivery)
		want  Rule
	}{
		"a value that was never delivered": {func(_ *[]history.Entry, d *[]Delivery) {
			*d = slices.Delete(*d, 2, 3)
		}, RuleSinkLost},
		"a value that was never committed": {func(_ *[]history.Entry, d *[]Delivery) {
			*d = append(*d, Delivery{"p0-4", "x", entry("a/x", 4), "w1"})
		}, RuleSinkFalse},
		"a value of an attempt that was given up": {func(_ *[]history.Entry, d *[]Delivery) {
			(*d)[2].Value.At = 17
		}, RuleSinkFalse},
		"a value under the name of another sender": {func(_ *[]history.Entry, d *[]Delivery) {
			(*d)[2].Sender = "z"
		}, RuleSinkFalse},
		"a value that gets another id when it is delivered again": {func(_ *[]history.Entry, d *[]Delivery) {
			(*d)[3].ID = "p0-9"
		}, RuleSinkID},
		"an id that is used twice": {func(_ *[]history.Entry, d *[]Delivery) {
			(*d)[4].ID = "p0-1"
		}, RuleSinkID},
		"a value that is first delivered after its successor": {func(_ *[]history.Entry, d *[]Delivery) {
			*d = slices.Delete(*d, 3, 4)
			(*d)[1], (*d)[3] = (*d)[3], (*d)[1]
		}, RuleSinkOrder},
	} {
		t.Run(name, func(t *testing.T) {
			committed, deliveries := soundSink()
			test.plant(&committed, &deliveries)
			r := CheckSink(committed, deliveries)
			if len(r.Violations) == 0 {
				t.Fatal("no violation")
			}
			for _, v := range r.Violations {
				if v.Rule != test.want {
					t.Errorf("rule %s is broken too: %s", v.Rule, v.Text)
				}
			}
		})
	}
}
