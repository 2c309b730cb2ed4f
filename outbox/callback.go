package outbox

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// Callback is a target that is Go code. Of one lane it gets the items one after the other, in their order: the next when
// it has returned nil for the last, or a *Refusal. After another error, or a panic, it gets the same item again, after a
// pause, and nothing of that lane in between. The lanes of several partitions call it at the same time.
//
// It is to return when ctx is done, which says that the partition is given away or that the worker stops: whoever has the
// partition next delivers again what was not settled. Code that does not return then is left to itself, and the item may be
// delivered again beside it.
type Callback func(ctx context.Context, item Item) error

// Begin is Target's.
func (c Callback) Begin(ctx context.Context) error { return ctx.Err() }

// Send is Target's.
func (c Callback) Send() {}

// Deliver is Target's.
func (c Callback) Deliver(ctx context.Context, item Item, done func(error)) {
	ended := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
			ended <- err
		}()
		err = c(ctx, item)
	}()
	select {
	case err := <-ended:
		done(err)
	case <-ctx.Done():
	}
}

// errGoexit is what a callback fails with that ended its goroutine.
var errGoexit = errors.New("the callback ended its goroutine (runtime.Goexit)")
