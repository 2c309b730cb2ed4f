package invoker

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTheBudgetEndsTheContextOfACallThatIsLate(t *testing.T) {
	type key struct{}
	parent := context.WithValue(context.Background(), key{}, "value")
	for name, wait := range map[string]func(ctx context.Context){
		"told":             func(ctx context.Context) { <-ctx.Done() },
		"told by a child":  func(ctx context.Context) { child, cancel := context.WithCancel(ctx); defer cancel(); <-child.Done() },
		"asks, not before": func(ctx context.Context) { end, _ := ctx.Deadline(); time.Sleep(time.Until(end)) },
	} {
		b := &budgeted{Context: parent, end: time.Now().Add(5 * time.Millisecond)}
		if err := b.Err(); err != nil {
			t.Errorf("%s: ended early: %v", name, err)
		}
		wait(b)
		if err := b.Err(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(b), errBudget) {
			t.Errorf("%s: %v, because of %v", name, err, context.Cause(b))
		}
		if b.Value(key{}) != "value" {
			t.Errorf("%s: the value behind it is lost", name)
		}
		b.close()
	}
}

func TestTheContextOfACallEndsWithTheCall(t *testing.T) {
	for name, end := range map[string]time.Time{"a budget": time.Now().Add(time.Hour), "none": {}} {
		before, after := &budgeted{Context: context.Background(), end: end}, &budgeted{Context: context.Background(), end: end}
		done := before.Done()
		before.close()
		after.close()
		for when, done := range map[string]<-chan struct{}{"asked before": done, "asked after": after.Done()} {
			select {
			case <-done:
			default:
				t.Errorf("with %s: it goes on, %s", name, when)
			}
		}
		if before.Err() != context.Canceled || after.Err() != context.Canceled {
			t.Errorf("with %s: %v, %v", name, before.Err(), after.Err())
		}
	}
}

func TestTheContextOfACallEndsWithTheOneBehindIt(t *testing.T) {
	parent, cancel := context.WithDeadline(context.Background(), time.Now().Add(time.Minute))
	b := &budgeted{Context: parent, end: time.Now().Add(time.Hour)}
	defer b.close()
	if at, is := b.Deadline(); !is || time.Until(at) > time.Minute {
		t.Errorf("the deadline is %v", at)
	}
	cancel()
	if b.Err() != context.Canceled {
		t.Errorf("it goes on: %v", b.Err())
	}
	<-b.Done()
}
