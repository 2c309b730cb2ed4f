package invoker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// here is an endpoint in this process, with a budget of a minute.
func here() *module.Endpoint {
	return &module.Endpoint{Functions: module.Pattern{Namespace: "example", Name: "*"}, Transport: module.Transport{Kind: module.TransportInProcess, Call: time.Minute}}
}

// failsFor fails that many times, and then answers with the request.
func failsFor(times int64, called *atomic.Int64) Function {
	return func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
		if called.Add(1) <= times {
			return nil, errors.New("not yet")
		}
		return request, nil
	}
}

// children is how many label values a metric has.
func children(c prometheus.Collector) (n int) {
	found := make(chan prometheus.Metric)
	go func() {
		c.Collect(found)
		close(found)
	}()
	for range found {
		n++
	}
	return n
}

func failureOf(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is %v", err)
	}
	return e
}

func TestAFunctionInProcessGetsItsTypeAndItsRequest(t *testing.T) {
	p := NewInProcess(here(), func(_ context.Context, fn protocol.TypeName, request []byte) ([]byte, error) {
		return append([]byte(fn.String()+" "), request...), nil
	}, Shared{})
	if got, err := p.Call(t.Context(), anybody, []byte("request")); err != nil || string(got) != anybody.Type.String()+" request" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAFailedFunctionInProcessIsTriedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var called atomic.Int64
		p := NewInProcess(here(), failsFor(3, &called), Shared{})
		began := time.Now()
		if got, err := p.Call(t.Context(), anybody, []byte("r")); err != nil || string(got) != "r" {
			t.Fatalf("%q, %v", got, err)
		}
		if took := time.Since(began); called.Load() != 4 || took < 14*time.Millisecond || took > 42*time.Millisecond {
			t.Errorf("%d attempts took %v, want 4 with pauses of about 4, 8 and 16 ms", called.Load(), took)
		}
		if n := counted(t, p.metrics.failures.WithLabelValues(anybody.Type.String(), KindFunction)); n != 3 {
			t.Errorf("%v failures are counted", n)
		}
		if n := children(p.metrics.latency); n != 1 {
			t.Errorf("%d functions are measured", n)
		}
	})
}

func TestAttemptsInProcessHaveTheirLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		attempts  int
		budget    time.Duration
		onFailure string
		ends      time.Duration // at most
	}{
		"attempts":              {3, time.Minute, module.FailureSkip, time.Second},
		"a budget":              {0, 5 * time.Second, module.FailureDeadLetter, 5 * time.Second},
		"neither":               {0, 0, module.FailureDeadLetter, time.Minute},
		"an address that parks": {0, time.Minute, module.FailureRetry, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var called atomic.Int64
				e := here()
				e.MaxAttempts, e.Transport.Call, e.OnFailure = tt.attempts, tt.budget, tt.onFailure
				began := time.Now()
				_, err := NewInProcess(e, failsFor(1000, &called), Shared{}).Call(t.Context(), anybody, nil)
				took := time.Since(began)
				if f := failureOf(t, err); f.Kind != KindFunction || int64(f.Attempts) != called.Load() || took > tt.ends || took < tt.ends/2 && tt.attempts == 0 {
					t.Errorf("it ends after %v with %v", took, err)
				}
				if tt.attempts > 0 && called.Load() != int64(tt.attempts) {
					t.Errorf("%d attempts", called.Load())
				}
			})
		})
	}
}

func TestTheBudgetIsTheDeadlineOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left time.Duration
		p := NewInProcess(here(), func(ctx context.Context, _ protocol.TypeName, _ []byte) ([]byte, error) {
			at, _ := ctx.Deadline()
			left = time.Until(at)
			<-ctx.Done()
			return nil, ctx.Err()
		}, Shared{})
		_, err := p.Call(t.Context(), anybody, nil)
		if f := failureOf(t, err); f.Kind != KindCallTimeout || left != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, with %v at first", err, left)
		}
		e := here()
		e.Transport.Call = 0
		p = NewInProcess(e, func(ctx context.Context, _ protocol.TypeName, _ []byte) ([]byte, error) {
			if at, bounded := ctx.Deadline(); bounded {
				t.Errorf("a call without a budget ends at %v", at)
			}
			return nil, nil
		}, Shared{})
		if _, err := p.Call(t.Context(), anybody, nil); err != nil {
			t.Error(err)
		}
	})
}

// A function that fails because its caller goes away says nothing of itself.
func TestAnAbandonedCallInProcessIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := NewInProcess(here(), func(ctx context.Context, _ protocol.TypeName, _ []byte) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}, Shared{})
	_, err := p.Call(ctx, anybody, nil)
	if f := failureOf(t, err); f.Kind != KindCancelled || f.Attempts != 1 {
		t.Errorf("%v", err)
	}
	if n := children(p.metrics.failures); n != 0 {
		t.Errorf("%d kinds of failure are counted", n)
	}
	p.Close()
	p.Close()
	if _, err := p.Call(t.Context(), anybody, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after the end: %v", err)
	}
}

func TestAPanicIsAFailureWhoseStackIsLoggedOnceACall(t *testing.T) {
	cause := errors.New("the cause")
	for name, f := range map[string]Function{
		"not recovered": func(context.Context, protocol.TypeName, []byte) ([]byte, error) { panic(cause) },
		"told": func(context.Context, protocol.TypeName, []byte) ([]byte, error) {
			return nil, fmt.Errorf("call the function: %w", &Panic{Err: cause, Stack: debug.Stack()})
		},
	} {
		t.Run(name, func(t *testing.T) { showPanic(t, f, cause) })
	}
}

func showPanic(t *testing.T, f Function, cause error) {
	t.Helper()
	var said bytes.Buffer
	e := here()
	e.MaxAttempts = 3
	p := NewInProcess(e, f, Shared{Log: slog.New(slog.NewTextHandler(&said, nil))})
	for call := 1; call <= 2; call++ {
		_, err := p.Call(t.Context(), anybody, nil)
		if f := failureOf(t, err); f.Kind != KindPanic || f.Attempts != 3 || !errors.Is(err, cause) {
			t.Errorf("%v", err)
		}
		if n := strings.Count(said.String(), "msg=\"function panicked\""); n != call {
			t.Errorf("after %d calls of 3 attempts %d stacks are logged:\n%s", call, n, said.String())
		}
	}
	if !strings.Contains(said.String(), anybody.String()) || !strings.Contains(said.String(), "inprocess_test.go") {
		t.Errorf("the log does not name the address or the place: %s", said.String())
	}
}

func TestAnAnswerInProcessHasALimit(t *testing.T) {
	e := here()
	e.MaxAttempts, e.Transport.PayloadMaxBytes = 1, 10
	_, err := NewInProcess(e, func(context.Context, protocol.TypeName, []byte) ([]byte, error) { return make([]byte, 11), nil }, Shared{}).Call(t.Context(), anybody, nil)
	if f := failureOf(t, err); f.Kind != KindAnswerTooLarge || !strings.Contains(err.Error(), "11 bytes") {
		t.Errorf("%v", err)
	}
}

// Many addresses that fail, in whatever way, hold up no other one: this process is not down.
func TestNoFailureInProcessOpensTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, f := range map[string]Function{
			"error": func(context.Context, protocol.TypeName, []byte) ([]byte, error) {
				return nil, errors.New("no database")
			},
			"panic": func(context.Context, protocol.TypeName, []byte) ([]byte, error) { panic("no database") },
			"time": func(ctx context.Context, _ protocol.TypeName, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		} {
			e := here()
			e.MaxAttempts = 2
			p := NewInProcess(e, f, Shared{})
			for i := range 3 * failingToOpen {
				_, err := p.Call(t.Context(), protocol.Address{Type: anybody.Type, ID: fmt.Sprint(i)}, nil)
				if f := failureOf(t, err); f.Down || p.Circuit().Open() || !p.Circuit().Allows(time.Now(), 100) {
					t.Fatalf("%s: address %d: %v", name, i, err)
				}
			}
		}
	})
}

func TestTypesBeyondTheLimitAreMeasuredTogetherInProcess(t *testing.T) {
	p := NewInProcess(here(), func(_ context.Context, fn protocol.TypeName, _ []byte) ([]byte, error) { return []byte(fn.Name), nil }, Shared{})
	for i := range maxTargets + 10 {
		name := fmt.Sprint("f", i)
		if got, err := p.Call(t.Context(), protocol.Address{Type: protocol.TypeName{Namespace: "example", Name: name}}, nil); err != nil || string(got) != name {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if n := children(p.metrics.latency); n != maxTargets+1 {
		t.Errorf("%d functions are measured, want %d", n, maxTargets+1)
	}
}

func TestACallInProcessAllocatesItsContextOnly(t *testing.T) {
	for _, budget := range []time.Duration{0, time.Minute} {
		e := here()
		e.Transport.Call = budget
		p := NewInProcess(e, func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) { return request, nil }, Shared{})
		request := make([]byte, 200)
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := p.Call(ctx, anybody, request); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("with a budget of %s: %v allocations a call", budget, n)
		}
	}
}
