package worker

import (
	"testing"
	"testing/synctest"
)

// The readers of several clusters wait for one budget. What makes room may be given back at once, and nothing after it.
func TestRoomInTheBudgetWakesEveryReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.add(1000)
		woken := make(chan struct{}, 3)
		for range cap(woken) {
			go func() {
				b.wait(t.Context())
				woken <- struct{}{}
			}()
		}
		synctest.Wait()
		if len(woken) > 0 {
			t.Error("a reader goes on without room")
		}
		b.add(-1000)
		synctest.Wait()
		if len(woken) != cap(woken) {
			t.Errorf("%d of %d readers go on", len(woken), cap(woken))
		}
	})
}
