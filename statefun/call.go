package statefun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// A call is one batch on its way through a function. It is made anew for every request, because a function may
// keep a Context of it after the end; what is used again is in work, which the call gives back.
type call struct {
	function *binding
	self     Address
	now      time.Time
	logger   *slog.Logger

	mu      sync.Mutex
	turn    int          // which message of the batch is being handled; the Contexts of others are over
	work    *work        // nil when the call is over
	failure error        // the first of an effect
	missing []*stateSpec // used and not sent
}

// work is the memory of a call that the next one uses again.
type work struct {
	request
	effects
	answer []byte
	record []byte // the egress record that is being written
}

// keptBytes bounds the memory that stays in the pool after an unusually large call.
const keptBytes = 256 << 10

// reset empties work and tells whether it is small enough to be kept.
func (w *work) reset() bool {
	w.request.reset()
	w.effects.reset()
	size := cap(w.messages) + cap(w.delayed) + cap(w.egresses) + cap(w.answer) + cap(w.record) + 64*cap(w.invocations)
	for _, c := range w.cells[:cap(w.cells)] {
		size += cap(c.own)
	}
	return size <= keptBytes
}

// over marks that no message is being handled: no Context has this turn.
const over = -1

// unset is the type that a runtime gives to a state without one.
const unset = "io.statefun.types/unset"

// binding is a registered function with what is computed of it once.
type binding struct {
	Function
	wild  bool
	specs []*stateSpec
}

// run calls the function for each message of the batch and returns its answer, which is a part of work.
func (c *call) run(parent context.Context) ([]byte, error) {
	w := c.work
	if c.bind(); len(c.missing) > 0 {
		return appendIncomplete(w.answer[:0], c.missing), nil
	}
	contexts := make([]Context, len(w.invocations))
	for i := range contexts {
		if err := parent.Err(); err != nil {
			return nil, fmt.Errorf("call %s: %w", c.self, err)
		}
		contexts[i] = Context{parent: parent, call: c, turn: i, from: w.invocations[i]}
		missing, err := c.handle(&contexts[i])
		if len(missing) > 0 {
			return appendIncomplete(w.answer[:0], missing), nil
		}
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", c.self, err)
		}
	}
	return appendResult(w.answer[:0], &w.effects, w.cells), nil
}

// bind gives each declared state its cell, and finds those that have not come.
func (c *call) bind() {
	for _, s := range c.function.specs {
		if found := c.work.cell(s.name); found != nil {
			found.spec = s
		} else {
			c.missing = append(c.missing, s)
		}
	}
}

// handle takes one turn: until its end the Context may be used, by other goroutines too.
func (c *call) handle(ctx *Context) (missing []*stateSpec, err error) {
	c.mu.Lock()
	c.turn = ctx.turn
	c.mu.Unlock()
	err = c.invoke(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn = over
	if c.failure != nil && !errors.Is(err, c.failure) {
		err = errors.Join(err, c.failure)
	}
	return c.missing, err
}

// invoke calls the function for one message. What it panics with is its error.
func (c *call) invoke(ctx *Context) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return c.function.Invoke(ctx, ctx.from.message)
}

// cell finds the state of a spec, and asks for it when it has not come.
func (c *call) cell(s *stateSpec) (*cell, error) {
	found := c.work.cell(s.name)
	if found == nil {
		return nil, c.ask(s)
	}
	if known := found.spec; known != nil && known != s && known.typename != s.typename {
		return nil, fmt.Errorf("state %q is of type %s, and used as %s", s.name, known.typename, s.typename)
	}
	if sent := string(found.typename); sent != string(s.typename) && sent != "" && sent != unset {
		return nil, fmt.Errorf("state %q holds a value of type %s, not %s", s.name, found.typename, s.typename)
	}
	return found, nil
}

// ask notes a state that was not declared, and has not come.
func (c *call) ask(s *stateSpec) error {
	if err := s.check(); err != nil {
		return err
	}
	for _, asked := range c.missing {
		if asked.name == s.name && asked.typename != s.typename {
			return fmt.Errorf("state %q is of type %s, and used as %s", s.name, asked.typename, s.typename)
		}
		if asked.name == s.name {
			return fmt.Errorf("state %q: %w", s.name, ErrStateNotSent)
		}
	}
	c.missing = append(c.missing, s)
	return fmt.Errorf("state %q: %w", s.name, ErrStateNotSent)
}

// A PanicError is what a function panicked with, and where.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says what the panic was; the stack goes to the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap is the error that the function panicked with, if it was one.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
