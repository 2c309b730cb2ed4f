package invoker

import (
	"context"
	"sync"
	"time"
)

// budgeted is the context of a call in process, which ends with the call, or with its budget if it has one. What that
// takes is made when somebody asks to be told, or is late: most functions are through before, and a timer costs more than
// they do.
type budgeted struct {
	context.Context           // of the worker
	end             time.Time // of the budget; zero: none

	mu     sync.Mutex
	timed  context.Context // nil: nobody has asked
	cancel context.CancelFunc
	over   bool
}

// Deadline is the end of the budget, or that of the context behind it.
func (b *budgeted) Deadline() (time.Time, bool) {
	d, is := b.Context.Deadline()
	if b.end.IsZero() || is && d.Before(b.end) {
		return d, is
	}
	return b.end, true
}

// Done is closed when the call is over, given up, or out of its budget.
func (b *budgeted) Done() <-chan struct{} { return b.made().Done() }

// Err says why Done is closed.
func (b *budgeted) Err() error {
	b.mu.Lock()
	early := b.timed == nil && !b.over
	b.mu.Unlock()
	if early && b.Context.Err() == nil && (b.end.IsZero() || time.Now().Before(b.end)) {
		return nil
	}
	return b.made().Err()
}

// Value is that of the context behind it; package context finds what is to be cancelled by it.
func (b *budgeted) Value(key any) any {
	b.mu.Lock()
	timed := b.timed
	b.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return b.Context.Value(key)
}

// made is the context that tells.
func (b *budgeted) made() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed != nil {
		return b.timed
	}
	if b.end.IsZero() {
		b.timed, b.cancel = context.WithCancel(b.Context)
	} else {
		b.timed, b.cancel = context.WithDeadlineCause(b.Context, b.end, errBudget)
	}
	if b.over {
		b.cancel()
	}
	return b.timed
}

// close ends the context with its call.
func (b *budgeted) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.cancel != nil {
		b.cancel()
	}
}
