package worker

import (
	"context"
	"sync/atomic"
)

// budget counts the heap that waiting inputs hold and makes the ingress readers wait when it is used up. Only
// reading waits for it: holding back a local message or an answer could not free anything.
type budget struct {
	limit int64
	held  atomic.Int64
	freed chan struct{}
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, freed: make(chan struct{}, 1)}
}

// add takes bytes from the budget, or gives them back when negative.
func (b *budget) add(bytes int64) {
	if held := b.held.Add(bytes); bytes < 0 && held < b.limit {
		b.wake()
	}
}

// wake lets one of those go on that wait.
func (b *budget) wake() {
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// full reports whether reading waits.
func (b *budget) full() bool { return b.held.Load() >= b.limit }

// pressing reports whether three quarters are used.
func (b *budget) pressing() bool { return b.held.Load() >= b.limit/4*3 }

// wait returns when there is room or ctx is done. Whoever waited wakes the next one: there may be room for all of them,
// and nothing that would be given back later.
func (b *budget) wait(ctx context.Context) {
	if !b.full() {
		return
	}
	for b.full() {
		select {
		case <-b.freed:
		case <-ctx.Done():
			return
		}
	}
	b.wake()
}
