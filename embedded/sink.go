package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A Delivery is a value that a function has sent to a [Sink].
type Delivery[T any] struct {
	// ID is the same each time that this value is delivered, and of no other one.
	ID string
	// Sender is the id of the instance that has sent it.
	Sender string
	Value  T
	// Since is when the value was sent.
	Since time.Time
	// Headers are those that the function has given it.
	Headers []statefun.Header
}

// Sink adds an egress that ends in the program: functions send values of the type to its id with Context.Egress, and deliver
// is called with each after the commit of what else its call did. What was not committed is never delivered.
//
// Delivery is at least once: a value is kept until deliver has returned nil and is delivered again, by whatever process has its
// partition then, with the same ID. Whoever needs it once keeps the IDs beside what deliver writes. With an error it is
// tried again, with growing pauses, and what its partition has sent after it waits; so it is after a panic. An error of
// [Refuse] sends it to the dead-letter topic instead, as does a value of another type. Values of one sender come in the order in which they were sent;
// different partitions are delivered at the same time.
//
// When ctx is done the partition is no longer this process', or Run is about to end: deliver should return. Run waits a
// few seconds for one that does not, and then leaves it behind.
func Sink[T any](app *App, id statefun.TypeName, t statefun.Type[T], deliver func(ctx context.Context, d Delivery[T]) error) {
	app.declare(func(d *draft, at module.Position) {
		parsed, err := protocol.ParseTypeName(string(id))
		switch {
		case err != nil:
			d.addError(at, "sink", err)
			return
		case deliver == nil:
			d.add(at, fmt.Sprintf("sink %q: the callback is nil", id), "")
		case t.Name() == "":
			d.add(at, fmt.Sprintf("sink %q: the type of its values is none", id), "make it with statefun.JSON, Protobuf, Bytes or NewType")
		}
		d.parts.Sinks = append(d.parts.Sinks, module.Sink{ID: parsed, Position: at})
		d.sinks[parsed] = outbox.Callback(func(ctx context.Context, item outbox.Item) error {
			if !app.callbacks.enter() {
				return ErrStopped
			}
			defer app.callbacks.leave()
			v, err := decodeDelivery(t, item)
			if err != nil {
				return &outbox.Refusal{Reason: "undecodable", Certain: true, Err: err}
			}
			return deliver(ctx, v)
		})
	})
}

// Refuse makes an error by which a callback says that it will never take a value: it goes to the dead-letter topic, with
// the text of the error.
func Refuse(err error) error {
	if err == nil {
		err = errors.New("refused without a reason")
	}
	return &outbox.Refusal{Reason: "refused", Certain: true, Err: err}
}

func decodeDelivery[T any](t statefun.Type[T], item outbox.Item) (d Delivery[T], err error) {
	r, err := outbox.ParseRecord(item.Payload)
	if err != nil {
		return d, err
	}
	if typename := statefun.TypeName(r.Key); typename != t.Name() {
		return d, fmt.Errorf("the value is of type %q, and the sink takes %q", typename, t.Name())
	}
	d = Delivery[T]{ID: item.ID, Sender: item.Sender, Since: item.Since}
	for _, h := range r.Headers {
		d.Headers = append(d.Headers, statefun.Header{Key: h.Key, Value: h.Value})
	}
	d.Value, err = t.Decode(r.Value)
	return d, err
}
