// Package invoker calls remote functions: over HTTP, over HTTPS, through a Unix socket or in process.
//
// It has an HTTP/1.1 client of its own, because one call is the largest cost of an input that cannot be
// batched, and the standard client doubles it. The client does what a call to a function needs and no
// more: one POST at a time on a connection, connections kept and reused last in, first out, deadlines on
// the connection in place of timers and goroutines.
package invoker

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// maxTargets bounds the function types whose URL, request head and metrics are kept ready. With a
// namespace pattern the types come from messages, so there is no other bound to them. Types beyond it
// are still called, on a connection of their own each time and measured together as "other".
const maxTargets = 1024

// A Caller calls the functions of one endpoint. It is safe for concurrent use.
type Caller struct {
	calls
	tls      *tls.Config
	watches  watches
	redirect sync.Once // warns of the first redirect
	names    *names

	// targets is replaced as a whole, so that a call reads it without a lock.
	targets atomic.Pointer[map[protocol.TypeName]*target]

	mu    sync.Mutex // guards what follows, and the replacing of targets
	pools map[destination]*pool
	ended bool
}

// New returns a caller for the endpoint. It reads the certificates that the endpoint names, and refuses
// time-outs and URLs that cannot work. It connects to nothing.
func New(e *module.Endpoint, s Shared) (*Caller, error) {
	r, err := newRules(e)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Functions, err)
	}
	c := &Caller{calls: newCalls(e, r, s), pools: map[destination]*pool{}, names: newNames()}
	c.once = c.attempt
	c.begin()
	c.targets.Store(&map[protocol.TypeName]*target{})
	if c.tls, err = clientTLS(e); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Functions, err)
	}
	// A pattern's own name stands for any name here: what is wrong with the template is wrong for all.
	if _, _, err := c.resolve(protocol.TypeName(e.Functions)); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Functions, err)
	}
	return c, nil
}

// Call sends one request to the function of an address and returns the body of its answer, which is the caller's.
// It tries again by the rules of the endpoint's transport until the endpoint's budget or its number of
// attempts is used up, or its circuit is open; the error is then an *Error. It returns at once when ctx is done. What it
// returns has room in the Shared.Bodies until the caller says there that it is applied.
func (c *Caller) Call(ctx context.Context, address protocol.Address, request []byte) ([]byte, error) {
	begin := time.Now()
	t, err := c.target(address.Type)
	if err != nil {
		c.circuit.Abandoned(begin, time.Now())
		return nil, &Error{Kind: KindURL, URL: c.endpoint.Shown(), Err: err}
	}
	return c.call(ctx, address, t, request, begin)
}

// Close closes the idle connections and ends all further attempts. A call whose attempt is under way
// ends with it; cancel its context to end it at once.
func (c *Caller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.closed)
	for _, p := range c.pools {
		p.close()
	}
	c.watches.end()
}

// target returns what is kept ready for calls of a function type.
func (c *Caller) target(fn protocol.TypeName) (*target, error) {
	if t, ok := (*c.targets.Load())[fn]; ok {
		return t, nil
	}
	u, d, err := c.resolve(fn)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.targets.Load()
	if t, ok := known[fn]; ok {
		return t, nil
	}
	t := c.newTarget(u, d)
	if len(known) >= maxTargets {
		t.function = "other"
		t.latency = c.metrics.latency.WithLabelValues(t.function)
		return t, nil
	}
	t.function = fn.String()
	t.latency = c.metrics.latency.WithLabelValues(t.function)
	t.pool = c.pool(d)
	more := maps.Clone(known)
	more[fn] = t
	c.targets.Store(&more)
	return t, nil
}

// pool returns the pool of connections to d. The caller holds c.mu.
func (c *Caller) pool(d destination) *pool {
	p, ok := c.pools[d]
	if !ok {
		p = newPool(c.rules, c.metrics.pool(c.endpoint.Functions.String()))
		if c.ended {
			p.close()
		}
		c.pools[d] = p
	}
	return p
}
