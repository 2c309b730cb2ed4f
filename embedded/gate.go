package embedded

import (
	"sync"
	"time"
)

// endGrace is how long Run waits at its end for code of the program that it has called.
const endGrace = 5 * time.Second

// gate lets in what Run has to wait for at its end: callbacks, and appends that were not told theirs.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when the gate is, and nothing is inside
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter tells whether one more may go in; each that does is followed by leave.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// shut lets nothing more in. It returns false when that was so before.
func (g *gate) shut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	if g.inside == 0 {
		close(g.empty)
	}
	return true
}

// await waits until what was inside when the gate was shut has left, but not for ever, and tells whether it has.
func (g *gate) await() bool {
	timer := time.NewTimer(endGrace)
	defer timer.Stop()
	select {
	case <-g.empty:
		return true
	case <-timer.C:
		return false
	}
}
