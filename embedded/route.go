package embedded

import (
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A Record is one record of an ingress, decoded.
type Record[T any] struct {
	// Key is empty for a record that has none.
	Key   string
	Value T
	// Topic, Partition and Offset are its place in Kafka; of what was appended to a [GoIngress], that in the topic of the
	// application's own.
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time

	typename statefun.TypeName
	kafka    *kgo.Record
}

// HasKey tells an empty key from none.
func (r Record[T]) HasKey() bool { return r.kafka != nil && r.kafka.Key != nil }

// TypedValue is the record's value as a message, as it came: it costs no encoding.
func (r Record[T]) TypedValue() statefun.TypedValue {
	if r.kafka == nil {
		return statefun.TypedValue{}
	}
	return statefun.Encoded(r.typename, r.kafka.Value)
}

// Headers are those of the record, in their order.
func (r Record[T]) Headers() []statefun.Header {
	if r.kafka == nil {
		return nil
	}
	headers := make([]statefun.Header, 0, len(r.kafka.Headers))
	for _, h := range r.kafka.Headers {
		copied := h.Value // what the record has is a view of the fetch that it came in
		if copied != nil {
			copied = append([]byte{}, copied...)
		}
		headers = append(headers, statefun.Header{Key: h.Key, Value: copied})
	}
	return headers
}

// Header is the value of the last header of that key.
func (r Record[T]) Header(key string) (value []byte, found bool) {
	for _, h := range r.Headers() {
		if h.Key == key {
			value, found = h.Value, true
		}
	}
	return value, found
}

// A Route says which functions get what of a record, with any number of calls of [Router.Send]. An error, or a panic, makes
// the record an invalid one, whatever was sent before: it goes by OnInvalid of its ingress. A Route runs
// where records are read, on several goroutines, so it must not wait for anything.
type Route[T any] func(r Record[T], to *Router) error

// Routing is what an ingress takes for its route: any function that a [Route] can be, or a [Keyed] one.
type Routing[T any] interface {
	~func(r Record[T], to *Router) error
}

// Keyed is a [Route] that tells its targets before the first record: Run holds them against the functions.
type Keyed[T any] func(r Record[T], to *Router) error

// ByKey is the usual route: a message with the record's value for each of the functions, to the instance that has the
// record's key as its id. Run refuses a function that nobody serves.
func ByKey[T any](functions ...statefun.TypeName) Keyed[T] {
	return func(r Record[T], to *Router) error {
		if to.targets != nil {
			*to.targets = append([]statefun.TypeName{}, functions...)
			return nil
		}
		if !r.HasKey() {
			return fmt.Errorf("it has no key, which is the id of its targets (%s): produce it with a UTF-8 key", names(functions))
		}
		value := r.TypedValue()
		for _, f := range functions {
			to.Send(f.At(r.Key), value)
		}
		return nil
	}
}

// A Router takes what a [Route] makes of a record. It is of that record alone and cannot be kept.
type Router struct {
	to       func(target protocol.Address, argument []byte)
	argument *[]byte              // of the message that is sent
	err      error                // the first
	targets  *[]statefun.TypeName // set to ask a Keyed for them
}

var errRouterOver = errors.New("the Router was used after its Route had returned")

// Send sends a message to an instance. The first that cannot be sent makes the record an invalid one, whatever the Route
// returns.
func (to *Router) Send(target statefun.Address, v statefun.TypedValue) {
	if to.err != nil || to.targets != nil { // who makes a Keyed himself is asked too, and tells nothing
		return
	}
	namespace, name, err := target.Type.Split()
	if err == nil && !utf8.ValidString(target.ID) {
		err = errors.New("the id is not UTF-8")
	}
	if err == nil {
		*to.argument, err = v.AppendBinary((*to.argument)[:0])
	}
	if err != nil {
		to.err = fmt.Errorf("send to %q: %w", target, err)
		return
	}
	to.to(protocol.Address{Type: protocol.TypeName{Namespace: namespace, Name: name}, ID: target.ID}, *to.argument)
}

// arguments keeps the memory in which messages are encoded; who takes one copies it.
var arguments = sync.Pool{New: func() any { return new([]byte) }}

// argumentKept bounds the memory that is kept.
const argumentKept = 64 << 10

func (to *Router) end() {
	if to.err == nil {
		to.err = errRouterOver
	}
	if cap(*to.argument) <= argumentKept {
		arguments.Put(to.argument)
	}
	to.to, to.argument = nil, nil
}
