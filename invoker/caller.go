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
	"hash/maphash"
	"log/slog"
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
	endpoint *module.Endpoint
	rules    rules
	tls      *tls.Config
	metrics  *Metrics
	log      *slog.Logger
	watches  watches
	closed   chan struct{}
	redirect sync.Once // warns of the first redirect
	circuit  Circuit
	seed     maphash.Seed // of the addresses that the circuit counts
	names    *names

	// targets is replaced as a whole, so that a call reads it without a lock.
	targets atomic.Pointer[map[protocol.TypeName]*target]

	mu    sync.Mutex // guards what follows, and the replacing of targets
	pools map[destination]*pool
	ended bool
}

// New returns a caller for the endpoint. It reads the certificates that the endpoint names, and refuses
// time-outs and URLs that cannot work. It connects to nothing. m and log may be nil.
func New(e *module.Endpoint, m *Metrics, log *slog.Logger) (*Caller, error) {
	r, err := newRules(e)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", e.Functions, err)
	}
	if m == nil {
		m = NewMetrics(nil)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Caller{endpoint: e, rules: r, metrics: m, log: log, closed: make(chan struct{}), pools: map[destination]*pool{},
		seed: maphash.MakeSeed(), names: newNames()}
	c.circuit.changed = c.circuitChanged
	m.circuit(e.Functions.String(), CircuitClosed)
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
// attempts is used up, or its circuit is open; the error is then an *Error. It returns at once when ctx is done.
func (c *Caller) Call(ctx context.Context, address protocol.Address, request []byte) ([]byte, error) {
	begin := time.Now()
	t, err := c.target(address.Type)
	if err != nil {
		c.circuit.Abandoned(begin, time.Now())
		return nil, &Error{Kind: KindURL, URL: c.endpoint.URLPathTemplate, Err: err}
	}
	if err := c.stopped(ctx); err != nil {
		c.circuit.Abandoned(begin, time.Now())
		return nil, c.give(t, err, 0)
	}
	deadline := begin.Add(c.rules.call)
	pause := c.rules.backoff()
	for attempt := 1; ; attempt++ {
		body, failure := c.attempt(ctx, t, request, begin, deadline)
		end := time.Now()
		t.latency.Observe(end.Sub(begin).Seconds())
		if failure == nil {
			c.circuit.alive(begin, end)
			return body, nil
		}
		if err := c.stopped(ctx); err != nil {
			c.circuit.Abandoned(begin, end)
			return nil, c.give(t, err, attempt)
		}
		c.metrics.failures.WithLabelValues(t.function, failure.Kind).Inc()
		if failure.Down = c.blame(address, failure, begin, end); failure.Down {
			return nil, c.give(t, failure, attempt)
		}
		if !c.rules.retryable(failure) || attempt == c.endpoint.MaxAttempts {
			return nil, c.give(t, failure, attempt)
		}
		wait, again := pause.next(deadline.Sub(end))
		if !again {
			return nil, c.give(t, failure, attempt)
		}
		if attempt == 1 {
			c.circuit.trouble()
			defer c.circuit.eased()
		}
		c.log.Debug("attempt failed", "function", t.function, "attempt", attempt, "pause", wait, "error", failure)
		if failure.Down = c.sleep(ctx, wait); failure.Down {
			return nil, c.give(t, failure, attempt)
		}
		if err := c.stopped(ctx); err != nil {
			return nil, c.give(t, err, attempt)
		}
		begin = time.Now()
	}
}

// Circuit is the circuit of the endpoint.
func (c *Caller) Circuit() *Circuit { return &c.circuit }

// blame tells the circuit of a failed attempt, and whether it is open then.
func (c *Caller) blame(address protocol.Address, failure *Error, began, now time.Time) (open bool) {
	switch v := verdictOf(failure); v {
	case verdictNone:
		c.circuit.Abandoned(began, now)
		return c.circuit.Open()
	case verdictAlive:
		c.circuit.alive(began, now)
		return false
	default:
		return c.circuit.failed(maphash.Comparable(c.seed, address), failure, v == verdictUnreachable, began, now)
	}
}

// circuitChanged says what became of the endpoint.
func (c *Caller) circuitChanged(change circuitChange) {
	name := c.endpoint.Functions.String()
	c.metrics.circuit(name, change.to)
	switch {
	case change.to == CircuitOpen && change.from == CircuitClosed:
		c.log.Warn("endpoint is down, its circuit opens: its inputs wait on disk, and one call at a time looks whether it is back",
			"endpoint", name, "url", c.endpoint.URLPathTemplate, "kind", change.cause.Kind, "error", change.cause.Err)
	case change.to == CircuitOpen:
		c.log.Warn("endpoint is down again, its circuit opens anew", "endpoint", name, "kind", change.cause.Kind, "error", change.cause.Err)
	case change.to == CircuitRamping:
		c.log.Info("endpoint answers again, its circuit lets more and more calls through", "endpoint", name)
	default:
		c.log.Info("endpoint is back, its circuit is closed", "endpoint", name, "was_down", change.down.Round(time.Millisecond).String())
	}
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

// stopped says whether a call has to end for a reason that is not the endpoint's.
func (c *Caller) stopped(ctx context.Context) *Error {
	if err := ctx.Err(); err != nil {
		return &Error{Kind: KindCancelled, Err: err}
	}
	select {
	case <-c.closed:
		return &Error{Kind: KindCancelled, Err: ErrClosed}
	default:
		return nil
	}
}

// give completes the error that a call ends with.
func (c *Caller) give(t *target, e *Error, attempts int) *Error {
	e.Attempts = attempts
	if e.URL == "" {
		e.URL = t.url
	}
	return e
}

// sleep waits between two attempts. It tells whether the circuit opened meanwhile; whether the call has to end for
// another reason the caller looks itself.
func (c *Caller) sleep(ctx context.Context, d time.Duration) (down bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-c.circuit.opening():
		return true
	case <-ctx.Done():
	case <-c.closed:
	}
	return false
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
