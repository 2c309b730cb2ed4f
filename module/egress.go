package module

import (
	"fmt"
	"math"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// egress reads io.statefun.kafka.v1/egress.
func (r *reader) egress(o *object) {
	o.require("id")
	e := Egress{ID: o.typename("id"), Properties: o.properties(), Position: o.at}
	e.Address = r.address(o, e.Properties)
	e.Semantic, e.TransactionTimeout = r.semantic(o.child("deliverySemantic"))
	if e.ID == (protocol.TypeName{}) {
		return
	}
	e.Position = o.where("id")
	r.declareEgress(e)
}

// declareEgress takes in an egress, of a file or of the program.
func (r *reader) declareEgress(e Egress) {
	for _, other := range r.module.Egresses {
		if other.ID == e.ID {
			r.report(e.Position, fmt.Sprintf("egress %s is declared twice, first at %s", e.ID, other.where()), "give it another id")
			return
		}
	}
	r.module.Egresses = append(r.module.Egresses, e)
}

// semantic reads deliverySemantic. It is checked as StateFun does although every egress is transactional here.
func (r *reader) semantic(o *object) (string, time.Duration) {
	if o == nil {
		return SemanticAtLeastOnce, 0
	}
	o.require("type")
	semantic := o.folded("type", SemanticAtLeastOnce, SemanticAtLeastOnce, SemanticExactlyOnce, SemanticNone)
	timeout := o.duration("transactionTimeout", 0)
	if n, ok := o.lookup("transactionTimeoutMillis"); ok {
		timeout = r.timeoutMillis(o, n, timeout)
	}
	_, given := o.lookup("transactionTimeout")
	_, givenMillis := o.lookup("transactionTimeoutMillis")
	if semantic == SemanticExactlyOnce && !given && !givenMillis {
		r.warn(o.where("type"), o.named("exactly-once without transactionTimeout: StateFun would refuse it"), "")
	}
	o.done()
	return semantic, timeout
}

// timeoutMillis reads the deprecated key, a bare number that wins over transactionTimeout.
func (r *reader) timeoutMillis(o *object, n node, otherwise time.Duration) time.Duration {
	const key = "transactionTimeoutMillis"
	text, ok := n.text()
	if !ok {
		return otherwise
	}
	millis, err := parseWhole(text)
	if err != nil || millis < 0 || millis > math.MaxInt64/int64(time.Millisecond) {
		hint := ""
		if _, err := ParseDuration(text); err == nil {
			hint = "write transactionTimeout: " + text
		}
		n.report(fmt.Sprintf("%q is not a number of milliseconds", text), hint)
		return otherwise
	}
	o.noEffect("transactionTimeout", key+" wins")
	return time.Duration(millis) * time.Millisecond
}
