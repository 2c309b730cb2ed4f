package embedded

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A GoIngress is filled by the program. Its records lie in a Kafka topic of the application's own, ID-ingress-NAME, from
// Append until they have been processed, so any process of the application may process them, and none is lost with a process.
type GoIngress[T any] struct {
	src source
	typ statefun.Type[T]
}

// Go makes an ingress that the program fills with values of the type. The route runs where the records are read, which is
// in the process that owns the key.
func Go[T any, R Routing[T]](id statefun.TypeName, t statefun.Type[T], route R) *GoIngress[T] {
	in := &GoIngress[T]{typ: t}
	open(&in.src, id, t, route)
	in.src.own = true
	return in
}

// OnInvalid says what becomes of records that cannot be routed: [DeadLetter], which is so without it, [Skip] or [Fail].
func (in *GoIngress[T]) OnInvalid(p Policy) *GoIngress[T] {
	in.src.invalid = p
	return in
}

// ForwardHeaders adds the records' headers and their place in Kafka to all messages that are made of them.
func (in *GoIngress[T]) ForwardHeaders() *GoIngress[T] {
	in.src.forward = true
	return in
}

func (in *GoIngress[T]) source() *source { return &in.src }

var (
	// ErrStopped says that Run is ending or has ended.
	ErrStopped = errors.New("the application has stopped")
	// ErrUncertain says that nobody has told whether a record was written: appending it again may make it twice.
	ErrUncertain = errors.New("it is not known whether the record has become durable")

	errNoApp = errors.New("the ingress belongs to no application: give it to App.Ingress")
)

// Append appends a value and returns when it is durable: on every in-sync replica of its partition. From then on it will be
// processed, exactly once as all input is, if not by this process then by the next. It waits until Run has begun, and while
// the buffer of AppendAsync is full. Records of one key are processed in the order of their appends.
//
// An error that wraps [ErrUncertain] leaves open whether the value is durable: ctx is done or the application stops while the
// brokers are asked, or they gave an answer from which it cannot be told. With any other error it is not durable: it was
// refused before it was sent, or by the broker before it was written (too large, no right to write, an invalid record).
func (in *GoIngress[T]) Append(ctx context.Context, key string, value T, headers ...statefun.Header) error {
	ended := make(chan error, 1)
	in.AppendAsync(ctx, key, value, func(err error) { ended <- err }, headers...)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended: // both at once
		return err
	default:
		return in.failed(fmt.Errorf("%w: %w", ErrUncertain, ctx.Err()))
	}
}

// AppendAsync is Append for many records a second: it returns when the record is in a buffer of 10,000 records and 16 MiB,
// and done is called once, with nil when it is durable. Done is called on another goroutine, which it must not hold up (nor end, as
// the FailNow of a test does), because all others are called there too, or on this one before AppendAsync returns. When Run has
// returned, every done has been called, unless one did not return for seconds. A nil done stands for one that writes errors to the log.
func (in *GoIngress[T]) AppendAsync(ctx context.Context, key string, value T, done func(error), headers ...statefun.Header) {
	app := in.src.owner.Load()
	if app == nil {
		ended(in, nil, done, errNoApp)
		return
	}
	record, err := in.record(key, value, headers)
	if err == nil {
		err = app.appender.enter(ctx)
	}
	if err != nil {
		ended(in, app, done, err)
		return
	}
	app.appender.produce(ctx, app.topicOf(in.src.id), record, func(err error) { ended(in, app, done, err) })
}

// ended tells what became of a record.
func ended[T any](in *GoIngress[T], app *App, done func(error), err error) {
	if err != nil {
		err = in.failed(err)
	}
	switch {
	case done != nil:
		done(err)
	case err != nil && app != nil:
		app.log.Error("a record could not be appended", "ingress", string(in.src.id), "error", err)
	}
}

func (in *GoIngress[T]) failed(err error) error {
	return fmt.Errorf("append to ingress %s: %w", in.src.id, err)
}

func (in *GoIngress[T]) record(key string, value T, headers []statefun.Header) (*kgo.Record, error) {
	if !utf8.ValidString(key) {
		return nil, fmt.Errorf("the key %q is not UTF-8", key)
	}
	encoded, err := in.typ.Encode(value)
	if err != nil {
		return nil, err
	}
	if encoded == nil {
		encoded = []byte{} // Kafka's null is a tombstone
	}
	r := &kgo.Record{Key: []byte(key), Value: encoded}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, nil
}
