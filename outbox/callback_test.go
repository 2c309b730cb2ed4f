package outbox

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestACallbackThatPanicsOrEndsItsGoroutineHasFailed(t *testing.T) {
	for want, c := range map[string]Callback{
		"":             func(context.Context, Item) error { return nil },
		"not today":    func(context.Context, Item) error { return errors.New("not today") },
		"panic: oh no": func(context.Context, Item) error { panic("oh no") },
		"Goexit":       func(context.Context, Item) error { runtime.Goexit(); return nil },
	} {
		called, outcome := 0, error(nil)
		c.Deliver(t.Context(), Item{}, func(err error) { called++; outcome = err })
		if called != 1 || (outcome == nil) != (want == "") || outcome != nil && !strings.Contains(outcome.Error(), want) {
			t.Errorf("%q: done is called %d times, with %v", want, called, outcome)
		}
		if want == "panic: oh no" && !strings.Contains(outcome.Error(), "callback_test.go") {
			t.Errorf("the panic has no stack: %v", outcome)
		}
	}
}

func TestACallbackIsLeftToItselfWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := Callback(func(context.Context, Item) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		c.Deliver(ctx, Item{}, func(error) { t.Error("it has an outcome") })
		if took := time.Since(began); took != time.Second {
			t.Errorf("the lane waited for %v", took)
		}
		close(release)
		synctest.Wait()
		if c.Begin(ctx) == nil {
			t.Error("a round begins behind the end")
		}
	})
}

// A slow callback has what it took settled from second to second, in its order; one that hangs is told of.
func TestARoundOfASlowCallbackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{rows: map[string][]byte{}}
		for i := range uint64(50) {
			store.put("t/out", i, "a")
		}
		said := &strings.Builder{}
		ctx, cancel := context.WithCancel(t.Context())
		var next uint64
		var rounds, settled int
		l := NewLane(Config{
			Target: "t/out", Store: store, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(said, nil)),
			Failed: func(err error) { t.Error(err) },
			Deliver: Callback(func(_ context.Context, item Item) error {
				if item.Seq != next {
					t.Errorf("row %d came in the place of %d", item.Seq, next)
				}
				next++
				time.Sleep(100 * time.Millisecond)
				if item.Seq == 40 {
					time.Sleep(2 * slowAfter)
				}
				return nil
			}),
			Settled: func(_ context.Context, results []Result) {
				if rounds++; len(results) > 11 {
					t.Errorf("%d rows are settled together", len(results))
				}
				settled += len(results)
			},
		})
		over := make(chan struct{})
		go func() { l.Run(ctx); close(over) }()
		time.Sleep(time.Minute)
		cancel()
		<-over
		if settled != 50 || rounds < 5 {
			t.Errorf("%d rows are settled in %d rounds", settled, rounds)
		}
		if n, on := strings.Count(said.String(), "does not answer"), strings.Count(said.String(), "goes on"); n != 1 || on != 1 {
			t.Errorf("it was said %d and %d times:\n%s", n, on, said)
		}
	})
}

var _ Target = Callback(nil)
