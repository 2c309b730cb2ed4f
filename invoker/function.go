package invoker

import (
	"context"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A Function is a function in this process. It takes the bytes of a ToFunction and returns those of a
// FromFunction, as a remote one does.
type Function func(ctx context.Context, fn protocol.TypeName, request []byte) ([]byte, error)

// Call calls the function. A panic in it becomes an error: like a remote function that dies, it holds up
// its own address and nothing else.
func (f Function) Call(ctx context.Context, fn protocol.TypeName, request []byte) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Kind: KindPanic, Attempts: 1, URL: "in-process:" + fn.String(), Err: fmt.Errorf("panic: %v", r)}
		}
	}()
	return f(ctx, fn, request)
}
