package statefun

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// A Context is what a function sees of its instance while it handles one message, and the way to all that it
// can do. It is a [context.Context] too: it is done when the caller has given up, and has the call's deadline if
// the [Handler] sets one. Several goroutines may use it at once, until the function returns.
//
// What is sent, and what is set, takes effect when the whole call has succeeded: all of it, or nothing.
type Context struct {
	parent context.Context
	call   *call
	turn   int        // the place of its message in the batch
	from   invocation // a copy: the call's memory is used again
}

// Errors that a function may want to tell apart.
var (
	// ErrStateNotSent says that a state was used that has not come with the call. The runtime is asked for it, and the call
	// is repeated, whatever the function returns; it is best to return this error at once.
	ErrStateNotSent = errors.New("the state has not come with the call; the runtime is asked for it")
	// ErrOver says that a Context was used after its function had returned.
	ErrOver = errors.New("the function has returned: its Context can no longer be used")
)

var (
	errNoCaller      = errors.New("there is no caller: the message came from an ingress")
	errNegativeDelay = errors.New("the delay is below zero")
	errEmptyToken    = errors.New("the cancellation token is empty")
	errTokenNotUTF8  = errors.New("the cancellation token is not UTF-8")
	errNoRecord      = errors.New("the record is nil")
)

// Self is the instance that is called.
func (ctx *Context) Self() Address { return ctx.call.self }

// Caller is the instance that sent the message; there is none when it came from an ingress.
func (ctx *Context) Caller() (caller Address, present bool) {
	if !ctx.from.hasCaller {
		return Address{}, false
	}
	c := ctx.from.caller
	return Address{Type: TypeName(string(c.namespace) + "/" + string(c.name)), ID: string(c.id)}, true
}

// Now is the time of the call, the same for all messages of a batch. In tests it is the time of the test's clock.
func (ctx *Context) Now() time.Time { return ctx.call.now }

// Send sends a message to an instance. Messages from here to there arrive in the order in which they were sent.
func (ctx *Context) Send(to Address, v TypedValue) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	target, err := ctx.target(to, &v)
	if err != nil {
		ctx.fail(fmt.Errorf("send to %s: %w", to, err))
		return
	}
	ctx.call.work.messages = send(ctx.call.work.messages, target, &v)
}

// Reply sends a message to the caller.
func (ctx *Context) Reply(v TypedValue) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	err := ctx.open()
	if err == nil {
		err = v.check()
	}
	if err == nil && !ctx.from.hasCaller {
		err = errNoCaller
	}
	if err != nil {
		ctx.fail(fmt.Errorf("reply: %w", err))
		return
	}
	ctx.call.work.messages = send(ctx.call.work.messages, ctx.from.caller, &v)
}

// SendAfter sends a message to an instance after a delay, counted from the end of the call. It is kept by the
// runtime, as durable as state is. Delays are whole milliseconds.
func (ctx *Context) SendAfter(delay time.Duration, to Address, v TypedValue) {
	ctx.sendAfter(delay, to, &v, "")
}

// SendAfterWithToken is SendAfter for a message that [Context.Cancel] can cancel. All functions of one id share
// their tokens. A token may be used again once its message has been sent or cancelled, and not before.
func (ctx *Context) SendAfterWithToken(delay time.Duration, to Address, v TypedValue, token string) {
	if err := checkToken(token); err != nil {
		ctx.call.mu.Lock()
		defer ctx.call.mu.Unlock()
		ctx.fail(fmt.Errorf("send to %s after %s: %w", to, delay, err))
		return
	}
	ctx.sendAfter(delay, to, &v, token)
}

func (ctx *Context) sendAfter(delay time.Duration, to Address, v *TypedValue, token string) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	target, err := ctx.target(to, v)
	if err == nil && delay < 0 {
		err = errNegativeDelay
	}
	if err != nil {
		ctx.fail(fmt.Errorf("send to %s after %s: %w", to, delay, err))
		return
	}
	ctx.call.work.delayed = sendAfter(ctx.call.work.delayed, uint64(delay.Milliseconds()), target, v, token)
}

// Cancel cancels the delayed message of that token, if it has not been sent yet.
func (ctx *Context) Cancel(token string) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	err := ctx.open()
	if err == nil {
		err = checkToken(token)
	}
	if err != nil {
		ctx.fail(fmt.Errorf("cancel a delayed message: %w", err))
		return
	}
	ctx.call.work.delayed = cancel(ctx.call.work.delayed, token)
}

// Egress sends a record out of the application, by the egress of that id.
func (ctx *Context) Egress(id TypeName, r EgressRecord) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	err := ctx.open()
	if err == nil {
		err = ctx.egress(id, r)
	}
	if err != nil {
		ctx.fail(fmt.Errorf("send to egress %s: %w", id, err))
	}
}

func (ctx *Context) egress(id TypeName, r EgressRecord) error {
	namespace, name, err := id.Split()
	if err != nil {
		return err
	}
	if r == nil {
		return errNoRecord
	}
	w := ctx.call.work
	v, err := r.egressValue(&w.record)
	if err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return err
	}
	w.egresses = egress(w.egresses, namespace, name, &v)
	return nil
}

// Failure is the first error of Set, Remove, Send, SendAfter, Cancel, Reply and Egress in this call. With one the call
// fails, whatever the function returns.
func (ctx *Context) Failure() error {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	return ctx.call.failure
}

// WithContext returns a Context for the same message with another context.Context behind it, such as one that
// carries a span or an earlier deadline.
func (ctx *Context) WithContext(parent context.Context) *Context {
	derived := *ctx
	derived.parent = parent
	return &derived
}

// Deadline is that of the call, if it has one.
func (ctx *Context) Deadline() (time.Time, bool) { return ctx.parent.Deadline() }

// Done is closed when nobody waits for the answer any more.
func (ctx *Context) Done() <-chan struct{} { return ctx.parent.Done() }

// Err says why Done is closed.
func (ctx *Context) Err() error { return ctx.parent.Err() }

// Value is that of the context behind this one.
func (ctx *Context) Value(key any) any { return ctx.parent.Value(key) }

// open tells whether the function still runs. It is called with the lock held, as all that follows.
func (ctx *Context) open() error {
	if ctx.turn != ctx.call.turn {
		return ErrOver
	}
	return nil
}

// target checks all that a message needs.
func (ctx *Context) target(to Address, v *TypedValue) (wireAddress[string], error) {
	if err := ctx.open(); err != nil {
		return wireAddress[string]{}, err
	}
	if err := v.check(); err != nil {
		return wireAddress[string]{}, err
	}
	return to.wire()
}

// fail keeps the first error. What comes after the end can fail nothing any more, so it is logged.
func (ctx *Context) fail(err error) {
	if ctx.turn != ctx.call.turn {
		ctx.call.logger.Error("a function used its Context after it had returned; this has no effect",
			"address", ctx.call.self.String(), "error", err)
		return
	}
	if ctx.call.failure == nil {
		ctx.call.failure = err
	}
}

// cell finds the state of a spec, and asks for it when it has not come.
func (ctx *Context) cell(s *stateSpec) (*cell, error) {
	if err := ctx.open(); err != nil {
		return nil, err
	}
	return ctx.call.cell(s)
}

func checkToken(token string) error {
	if token == "" {
		return errEmptyToken
	}
	if !utf8.ValidString(token) {
		return errTokenNotUTF8
	}
	return nil
}
