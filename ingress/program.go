package ingress

import (
	"runtime/debug"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A Route is the program's own code in the place of targets: it calls to once for each message that is made of a record,
// in their order, or not at all. argument is an encoded TypedValue; it is copied. An error or a panic makes the record an
// invalid one, whatever was sent before it. Records without a key or a value come too. A Route is called from several
// goroutines at once, keeps nothing of the record, and calls to only before it returns.
type Route func(r *kgo.Record, to func(target protocol.Address, argument []byte)) error

// RouteBy lets route say where the records go, before the first one is decoded.
func (d *Decoder) RouteBy(route Route) { d.route = route }

// called appends an envelope for each message that the program makes of a record.
func (d *Decoder) called(dst []protocol.Envelope, r *kgo.Record) ([]protocol.Envelope, error) {
	before := len(dst)
	var carried []protocol.KafkaHeader
	if d.topic.ForwardHeaders {
		carried = metadata(r)
	}
	var wrong error // the first message that is none
	err := d.call(r, func(target protocol.Address, argument []byte) {
		size := protocol.SizeInvocation(nil, argument, carried...)
		if wrong == nil {
			wrong = d.checkMessage(target, argument, r, size)
		}
		if wrong == nil {
			dst = append(dst, protocol.Envelope{Target: target, Invocation: protocol.AppendInvocation(make([]byte, 0, size), nil, argument, carried...)})
		}
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
		clear(dst[before:])
		return dst[:before], err
	}
	return dst, nil
}

// call calls the route. What it panics with is an error of the record, and not the end of the worker.
func (d *Decoder) call(r *kgo.Record, to func(protocol.Address, []byte)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			invalid := d.invalid(Undecodable, r, "its route panicked: %v", p)
			invalid.Stack = debug.Stack()
			err = invalid
		}
	}()
	if err := d.route(r, to); err != nil {
		return d.invalid(Undecodable, r, "%w", err)
	}
	return nil
}

// checkMessage refuses what would fail in the receiver, where the route could no longer be blamed.
func (d *Decoder) checkMessage(target protocol.Address, argument []byte, r *kgo.Record, size int) error {
	if !utf8.ValidString(target.ID) || !utf8.ValidString(target.Type.Namespace) || !utf8.ValidString(target.Type.Name) {
		return d.invalid(Undecodable, r, "its route sends to %q, which is not UTF-8", target.String())
	}
	if err := protocol.CheckTypedValue(argument); err != nil {
		return d.invalid(Undecodable, r, "its route sends %s what is no message: %v", target, err)
	}
	return d.checkTarget(target, r, size)
}
