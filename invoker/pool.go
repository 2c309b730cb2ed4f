package invoker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

var errPoolFull = errors.New("all connections of the pool are in use: raise pool_size, or the function is too slow")

// A pool keeps the connections to one destination. The connection that rested for the shortest time is
// used first, so that those that are not needed grow old and go.
type pool struct {
	rules   rules
	metrics poolMetrics

	mu      sync.Mutex
	idle    []*conn // last in, first out
	open    int     // connections idle, in use or being made
	waiting []*waiter
	sweeper *time.Timer // nil: no sweep is due
	closed  bool
}

// A waiter is a call that waits for room in a full pool.
type waiter struct{ ready chan *conn } // receives a connection, or nil: leave to make one

func newPool(r rules, m poolMetrics) *pool { return &pool{rules: r, metrics: m} }

// take returns a connection to use again, or nil with the leave to make one: then opened or drop(nil)
// must follow. It waits for room up to the time given.
func (p *pool) take(ctx context.Context, now, until time.Time) (*conn, error) {
	p.mu.Lock()
	if c := p.youngest(now); c != nil {
		p.mu.Unlock()
		return c, nil
	}
	if p.rules.maxOpen == 0 || p.open < p.rules.maxOpen {
		p.open++
		p.mu.Unlock()
		return nil, nil
	}
	w := &waiter{ready: make(chan *conn, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()

	timer := time.NewTimer(until.Sub(now))
	defer timer.Stop()
	var err error
	select {
	case c := <-w.ready:
		return c, nil
	case <-timer.C:
		err = errPoolFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	at := slices.Index(p.waiting, w)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 { // served at the very moment it gave up
		return <-w.ready, nil
	}
	return nil, err
}

// youngest takes the idle connection that was used last, and closes those on the way that are too old.
func (p *pool) youngest(now time.Time) *conn {
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle[len(p.idle)-1] = nil
		p.idle = p.idle[:len(p.idle)-1]
		p.metrics.idle.Dec()
		if !c.expired(now) {
			return c
		}
		c.close()
		p.open--
	}
	return nil
}

// put gives a connection back that can be used again.
func (p *pool) put(c *conn) {
	now := time.Now()
	if p.rules.maxRest > 0 {
		c.expires = now.Add(p.rules.maxRest)
		if !c.ends.IsZero() {
			c.expires = earlier(c.expires, c.ends)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.expired(now) {
		c.close()
		p.leave()
		return
	}
	if len(p.waiting) > 0 {
		p.serve(c)
		return
	}
	p.idle = append(p.idle, c)
	p.metrics.idle.Inc()
	if p.rules.maxIdle > 0 && len(p.idle) > p.rules.maxIdle {
		p.idle[0].close()
		p.idle = slices.Delete(p.idle, 0, 1)
		p.metrics.idle.Dec()
		p.leave()
	}
	if p.sweeper == nil && !c.expires.IsZero() {
		p.sweeper = time.AfterFunc(c.expires.Sub(now), p.sweep)
	}
}

// drop closes a connection that cannot be used again, or gives the leave to make one back when c is nil.
func (p *pool) drop(c *conn) {
	if c != nil {
		c.close()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave()
}

// leave makes the room of one connection free, for the first who waits for it.
func (p *pool) leave() {
	if len(p.waiting) > 0 {
		p.serve(nil)
		return
	}
	p.open--
}

func (p *pool) serve(c *conn) {
	w := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	w.ready <- c
}

// opened notes a connection that was made: its age begins.
func (p *pool) opened(c *conn) {
	p.metrics.opened.Inc()
	if p.rules.maxAge > 0 {
		// One to three seconds are spread over the connections, so that they do not end together.
		c.ends = time.Now().Add(p.rules.maxAge + time.Second + rand.N(2*time.Second))
		c.expires = c.ends
	}
}

// sweep closes the idle connections that are too old, and comes back when the next of them will be.
func (p *pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeper = nil
	var next time.Time
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if c.expired(now) {
			c.close()
			p.metrics.idle.Dec()
			p.leave()
			return true
		}
		if next.IsZero() || c.expires.Before(next) {
			next = c.expires
		}
		return false
	})
	if !next.IsZero() && !p.closed {
		p.sweeper = time.AfterFunc(next.Sub(now), p.sweep)
	}
}

// close closes what is idle now and whatever comes back later.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	for _, c := range p.idle {
		c.close()
		p.metrics.idle.Dec()
		p.open--
	}
	p.idle = nil
}
