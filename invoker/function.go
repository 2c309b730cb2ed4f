package invoker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A Function answers for functions in this process. It takes the bytes of a ToFunction and returns those of a
// FromFunction, as a remote one does. It may keep the request, and does not change it. The answer is the
// caller's from then on. It is called from many goroutines at once, for one address from one
// at a time; unless a call was given up that goes on regardless of its context, beside which the next one begins.
type Function func(ctx context.Context, fn protocol.TypeName, request []byte) ([]byte, error)

// Panic is an error by which a Function tells that its code has panicked, where it recovers by itself.
type Panic struct {
	Err   error
	Stack []byte
}

// Error is the error's text.
func (p *Panic) Error() string { return p.Err.Error() }

// Unwrap returns the error.
func (p *Panic) Unwrap() error { return p.Err }

// call calls the function. A panic in it becomes a failure, so that like a remote function that dies it holds up its own
// address and nothing else.
func (f Function) call(ctx context.Context, fn protocol.TypeName, request []byte) (answer []byte, failure *Error) {
	defer func() {
		if r := recover(); r != nil {
			answer, failure = nil, &Error{Kind: KindPanic, Err: asError(r), stack: debug.Stack()}
		}
	}()
	answer, err := f(ctx, fn, request)
	if err == nil {
		return answer, nil
	}
	return nil, failureOfFunction(ctx, err)
}

func failureOfFunction(ctx context.Context, err error) *Error {
	var panicked *Panic
	switch {
	case errors.As(err, &panicked):
		return &Error{Kind: KindPanic, Err: err, stack: panicked.Stack}
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errBudget):
		return &Error{Kind: KindCallTimeout, Err: fmt.Errorf("%w: %w", errBudget, err)}
	default:
		return &Error{Kind: KindFunction, Err: err}
	}
}

// errBudget ends the context of a call in process.
var errBudget = errors.New("the budget of the call ended")

// asError is what a function has panicked with.
func asError(r any) error {
	if err, is := r.(error); is {
		return err
	}
	return fmt.Errorf("%v", r)
}
