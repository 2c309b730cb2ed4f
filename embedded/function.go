package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A CallOption says how a function is called, one of [App.Function] or of [App.Remote].
type CallOption struct{ apply func(*endpoint) error }

// endpoint is a function of a builder.
type endpoint struct {
	module.Endpoint
	remote bool
}

// MaxBatch bounds how many messages of an instance one call carries; 1000 without it.
func MaxBatch(n int) CallOption {
	return CallOption{func(e *endpoint) error {
		if n < 1 {
			return fmt.Errorf("MaxBatch(%d): a call carries at least one message", n)
		}
		e.MaxNumBatchRequests = n
		return nil
	}}
}

// MaxAttempts bounds the attempts of one call; without it only its time-out bounds them.
func MaxAttempts(n int) CallOption {
	return CallOption{func(e *endpoint) error {
		if n < 1 {
			return fmt.Errorf("MaxAttempts(%d): at least one attempt is needed", n)
		}
		e.Endpoint.MaxAttempts = n
		return nil
	}}
}

// CallTimeout bounds one call with all its attempts, and is the deadline of the function's context; 2 minutes without it.
// For a function in the process 0 is no bound.
func CallTimeout(d time.Duration) CallOption {
	return CallOption{func(e *endpoint) error {
		if d < 0 || d == 0 && e.remote {
			return fmt.Errorf("CallTimeout(%s): the time of a call must be above 0", d)
		}
		t := &e.Transport
		t.Call = d
		if d > 0 { // what bounds the whole bounds its parts
			t.Connect, t.Read, t.Write = min(t.Connect, d), min(t.Read, d), min(t.Write, d)
		}
		return nil
	}}
}

// ConnectTimeout bounds the making of a connection to a remote function; 20 seconds without it.
func ConnectTimeout(d time.Duration) CallOption {
	return CallOption{func(e *endpoint) error {
		switch {
		case !e.remote:
			return errors.New("ConnectTimeout is for remote functions: there is no connection to one in the process")
		case d <= 0:
			return fmt.Errorf("ConnectTimeout(%s): the time must be above 0", d)
		}
		e.Transport.Connect = d
		return nil
	}}
}

// OnFailure says what becomes of messages when attempts or time of a call are used up: [Retry], which is so without it,
// [DeadLetter] or [Skip].
func OnFailure(p Policy) CallOption {
	return CallOption{func(e *endpoint) error {
		if !slices.Contains([]Policy{Retry, DeadLetter, Skip}, p) {
			return fmt.Errorf("OnFailure(%q): use Retry, DeadLetter or Skip", p)
		}
		e.Endpoint.OnFailure = string(p)
		return nil
	}}
}

// Generation2 is for a remote function on an SDK of StateFun 2.x, whose states are declared here.
func Generation2(states ...string) CallOption {
	return CallOption{func(e *endpoint) error {
		if !e.remote {
			return errors.New("Generation2 is for remote functions: those in the process speak the protocol of 3.x")
		}
		e.Generation = protocol.Generation2
		for i, s := range states {
			if s == "" || slices.Contains(states[:i], s) {
				return fmt.Errorf("Generation2: the state %q is empty or named twice", s)
			}
			e.States = append(e.States, protocol.StateSpec{Name: s})
		}
		return nil
	}}
}

// Function adds a function that is called in this process. A function with the type "namespace/*" serves all types of its
// namespace that no other one serves. A panic in it is an error, its stack is logged once a call. One that does not end, although its
// context is done, holds its own instance and one call in flight; at its end Run leaves it behind after some seconds, and
// what it answers then is dropped.
func (a *App) Function(f statefun.Function, options ...CallOption) {
	a.declare(func(d *draft, at module.Position) {
		if _, err := statefun.NewHandler(f); err != nil {
			d.addError(at, "", err)
			d.parts.LostEndpoints = true
			return
		}
		e := module.DefaultEndpoint()
		e.Transport = module.DefaultTransport(module.TransportInProcess)
		if d.endpoint(at, &endpoint{Endpoint: e}, f.Type, options) {
			d.functions = append(d.functions, f)
		}
	})
}

// Remote adds a function behind HTTP, in any language: the type, or "namespace/*" for all of a namespace, and the URL, in which
// {function.name} stands for the name of the type. It may be that of a Unix socket, http+unix:///run/f.sock/path.
func (a *App) Remote(functions statefun.TypeName, url string, options ...CallOption) {
	a.declare(func(d *draft, at module.Position) {
		e := module.DefaultEndpoint()
		e.URLPathTemplate = url
		if scheme, _, _ := strings.Cut(url, ":"); strings.HasSuffix(scheme, "+unix") {
			e.Transport = module.DefaultTransport(module.TransportOkHTTP) // the other one does not speak to sockets
		}
		d.endpoint(at, &endpoint{Endpoint: e, remote: true}, functions, options)
	})
}

// endpoint adds an endpoint, with its options, unless its pattern is none.
func (d *draft) endpoint(at module.Position, e *endpoint, functions statefun.TypeName, options []CallOption) bool {
	pattern, err := module.ParsePattern(string(functions))
	if err != nil {
		d.addError(at, "", err)
		d.parts.LostEndpoints = true
		return false
	}
	for _, o := range options {
		if o.apply == nil {
			continue
		}
		if err := o.apply(e); err != nil {
			d.addError(at, fmt.Sprintf("function %q", functions), err)
		}
	}
	e.Functions, e.Position = pattern, at
	d.parts.Endpoints = append(d.parts.Endpoints, e.Endpoint)
	return true
}

// invoke is how the worker calls the functions of the process; nil when there are none.
func invoke(functions []statefun.Function) (invoker.Function, error) {
	if len(functions) == 0 {
		return nil, nil
	}
	h, err := statefun.NewHandler(functions...)
	if err != nil {
		return nil, fmt.Errorf("make the functions: %w", err)
	}
	return func(ctx context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
		answer, err := h.Invoke(ctx, request)
		var p *statefun.PanicError
		if errors.As(err, &p) { // the worker counts it as one, and logs its stack
			err = &invoker.Panic{Err: err, Stack: p.Stack}
		}
		return answer, err
	}, nil
}
