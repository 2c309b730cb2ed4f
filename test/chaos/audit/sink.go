package audit

import (
	"fmt"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

// The rules of a sink, to which every entry goes that also goes to the egress topic.
const (
	RuleSinkLost  Rule = "sink-lost"  // an entry was never delivered
	RuleSinkFalse Rule = "sink-false" // what was delivered is not what was committed
	RuleSinkID    Rule = "sink-id"    // an id is not that of one value alone, or a value has two
	RuleSinkOrder Rule = "sink-order" // the values of one sender were delivered in another order than it sent them
)

// Delivery is one call of a sink's callback that wrote down what it was given.
type Delivery struct {
	ID     string        `json:"id"`
	Sender string        `json:"sender"`
	Value  history.Entry `json:"value"`
	By     string        `json:"by"` // the process
}

// turn is the place of an entry in the life of its address.
type turn struct {
	address string
	seq     int64
}

// SinkReport is what CheckSink found.
type SinkReport struct {
	Violations []Violation
	// Deliveries counts all of them, Again those of a value that was delivered before, Orders the neighbouring values of one
	// sender that were compared.
	Deliveries, Again, Orders int
}

func (r *SinkReport) violate(rule Rule, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// CheckSink holds the deliveries of all processes, in the order in which they were made, against the committed entries: each
// is delivered, again under the same id only, and for the first time in the order of its sender.
func CheckSink(committed []history.Entry, deliveries []Delivery) (r SinkReport) {
	r.Deliveries = len(deliveries)
	want := map[turn]history.Entry{}
	for _, e := range committed {
		want[turn{e.Address, e.Seq}] = e
	}
	ids, turns, last := map[string]turn{}, map[turn]string{}, map[string]int64{}
	for _, d := range deliveries {
		at := turn{d.Value.Address, d.Value.Seq}
		if e, is := want[at]; !is {
			r.violate(RuleSinkFalse, "%s got number %d of %s (%s), which was never committed", d.By, at.seq, at.address, d.Value.Input)
		} else if e != d.Value {
			r.violate(RuleSinkFalse, "%s got %+v, and %+v was committed", d.By, d.Value, e)
		}
		if _, id, _ := strings.Cut(at.address, "/"); id != d.Sender {
			r.violate(RuleSinkFalse, "%s got number %d of %s as one of %q", d.By, at.seq, at.address, d.Sender)
		}
		if before, known := ids[d.ID]; known && before != at {
			r.violate(RuleSinkID, "id %q is of number %d of %s and of number %d of %s", d.ID, before.seq, before.address, at.seq, at.address)
		}
		ids[d.ID] = at
		before, again := turns[at]
		if again {
			r.Again++
			if before != d.ID {
				r.violate(RuleSinkID, "number %d of %s was delivered as %q and, by %s, as %q", at.seq, at.address, before, d.By, d.ID)
			}
			continue
		}
		turns[at] = d.ID
		if r.Orders++; at.seq != last[at.address]+1 {
			r.violate(RuleSinkOrder, "%s got number %d of %s for the first time after number %d", d.By, at.seq, at.address, last[at.address])
		}
		last[at.address] = at.seq
	}
	for at, e := range want {
		if _, delivered := turns[at]; !delivered {
			r.violate(RuleSinkLost, "number %d of %s (%s) was committed and never delivered", at.seq, at.address, e.Input)
		}
	}
	return r
}
