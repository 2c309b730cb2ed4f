package invoker

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// calls is what the calls of one endpoint have in common, whichever way the function is reached: attempts with pauses
// between them, the circuit, the measurements.
type calls struct {
	endpoint *module.Endpoint
	rules    rules
	metrics  *Metrics
	bodies   *Bodies
	log      *slog.Logger
	closed   chan struct{}
	circuit  Circuit
	seed     maphash.Seed // of the addresses that the circuit counts
	retried  atomic.Int64 // when it was last said that attempts fail, in Unix nanoseconds
	// once makes one attempt, which begins now and is to end at the deadline.
	once func(ctx context.Context, t *target, request []byte, now, deadline time.Time) ([]byte, *Error)
}

// Shared is what the callers of all endpoints of a worker have in common. Each of it may be nil.
type Shared struct {
	Metrics *Metrics
	Bodies  *Bodies
	Log     *slog.Logger
}

// newCalls returns calls without a way to make them.
func newCalls(e *module.Endpoint, r rules, s Shared) calls {
	if s.Metrics == nil {
		s.Metrics = NewMetrics(nil)
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return calls{endpoint: e, rules: r, metrics: s.Metrics, bodies: s.Bodies, log: s.Log, closed: make(chan struct{}), seed: maphash.MakeSeed()}
}

// begin shows the circuit, once the calls are where they stay.
func (c *calls) begin() {
	c.circuit.changed = c.circuitChanged
	c.metrics.circuit(c.endpoint.Functions.String(), CircuitClosed)
}

// call makes a call that began at begin.
func (c *calls) call(ctx context.Context, address protocol.Address, t *target, request []byte, begin time.Time) ([]byte, error) {
	if err := c.stopped(ctx); err != nil {
		c.circuit.Abandoned(begin, time.Now())
		return nil, c.give(t, err, 0)
	}
	deadline, last := begin.Add(c.rules.call), begin.Add(c.rules.lasts())
	pause, panicked := c.rules.backoff(), false
	for attempt := 1; ; attempt++ {
		body, failure := c.once(ctx, t, request, begin, deadline)
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
		if failure.stack != nil && !panicked {
			panicked = true // once a call: the attempts that follow mostly end in the same place
			c.log.Error("function panicked", "address", address.String(), "panic", failure.Err, "stack", string(failure.stack))
		}
		if failure.Down = c.blame(address, failure, begin, end); failure.Down {
			return nil, c.give(t, failure, attempt)
		}
		if !c.rules.retryable(failure) || attempt == c.endpoint.MaxAttempts {
			return nil, c.give(t, failure, attempt)
		}
		wait, again := pause.next(last.Sub(end))
		if !again {
			return nil, c.give(t, failure, attempt)
		}
		if attempt == 1 {
			c.circuit.trouble()
			defer c.circuit.eased()
		}
		failure.Attempts = attempt // its text says it
		c.sayRetried(t, attempt, wait, failure)
		if failure.Down = c.sleep(ctx, wait); failure.Down {
			return nil, c.give(t, failure, attempt)
		}
		if err := c.stopped(ctx); err != nil {
			return nil, c.give(t, err, attempt)
		}
		begin = time.Now()
	}
}

// retriesSaid is how often an endpoint whose attempts fail is named. Its calls go on until their budget ends, which may be
// minutes: until then nothing else would tell a person what is wrong.
const retriesSaid = time.Minute

func (c *calls) sayRetried(t *target, attempt int, wait time.Duration, failure *Error) {
	now, said := time.Now().UnixNano(), c.retried.Load()
	level, text := slog.LevelDebug, "attempt failed"
	if (said == 0 || now-said >= int64(retriesSaid)) && c.retried.CompareAndSwap(said, now) {
		level, text = slog.LevelWarn, "a call fails and is tried again, further ones of this minute are not named"
	}
	c.log.Log(context.Background(), level, text, "endpoint", c.endpoint.Functions.String(), "function", t.function, "attempt", attempt, "pause", wait.String(), "error", failure)
}

// Circuit is the circuit of the endpoint.
func (c *calls) Circuit() *Circuit { return &c.circuit }

// blame tells the circuit of a failed attempt, and whether it is open then.
func (c *calls) blame(address protocol.Address, failure *Error, began, now time.Time) (open bool) {
	v := verdictOf(failure)
	if c.rules.inProcess {
		v = verdictAlive // this process is up, whatever its functions say
	}
	switch v {
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
func (c *calls) circuitChanged(change circuitChange) {
	name := c.endpoint.Functions.String()
	c.metrics.circuit(name, change.to)
	switch {
	case change.to == CircuitOpen && change.from == CircuitClosed:
		c.log.Warn("endpoint is down, its circuit opens: its inputs wait on disk, and one call at a time looks whether it is back",
			"endpoint", name, "url", c.endpoint.Shown(), "kind", change.cause.Kind, "error", change.cause.Err)
	case change.to == CircuitOpen:
		c.log.Warn("endpoint is down again, its circuit opens anew", "endpoint", name, "kind", change.cause.Kind, "error", change.cause.Err)
	case change.to == CircuitRamping:
		c.log.Info("endpoint answers again, its circuit lets more and more calls through", "endpoint", name)
	default:
		c.log.Info("endpoint is back, its circuit is closed", "endpoint", name, "was_down", change.down.Round(time.Millisecond).String())
	}
}

// stopped says whether a call has to end for a reason that is not the endpoint's.
func (c *calls) stopped(ctx context.Context) *Error {
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
func (c *calls) give(t *target, e *Error, attempts int) *Error {
	e.Attempts = attempts
	if e.URL == "" {
		e.URL = t.url
	}
	return e
}

// sleep waits between two attempts. It tells whether the circuit opened meanwhile; whether the call has to end for
// another reason the caller looks itself.
func (c *calls) sleep(ctx context.Context, d time.Duration) (down bool) {
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
