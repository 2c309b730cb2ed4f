package invoker

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// unreachableToOpen is how many addresses in a row have to meet an endpoint that cannot be reached. That is never
	// a message's fault; a few are waited for because a connection may fail by chance.
	unreachableToOpen = 5
	// failingToOpen is how many addresses in a row have to fail in whatever way. A time-out or a status of 500 may be
	// the fault of what was sent, so it takes more of them to blame the endpoint.
	failingToOpen = 16

	// firstProbe is the pause before the first probe, doubled after each that fails, up to longestPause.
	firstProbe = 100 * time.Millisecond
	// answeredPause is the longest pause after a probe whose status says that somebody is there who cannot do what was
	// asked. That may be the fault of what was sent, so an address that is well must not wait long for its turn; and a
	// server that answers bears some calls a second.
	answeredPause = 250 * time.Millisecond
	// probePatience is when another probe may begin beside one that has had no answer yet: a message that hangs must
	// not keep the circuit open for as long as a call may take.
	probePatience = 10 * time.Second
	// rampEnd is how many calls at once end the ramp; from there on the caller's own limit grows as usual.
	rampEnd = 64
)

// CircuitState is what a circuit lets through.
type CircuitState uint8

const (
	// CircuitClosed lets every call through.
	CircuitClosed CircuitState = iota
	// CircuitOpen lets through one probe at a time.
	CircuitOpen
	// CircuitRamping lets through twice as many calls after each round of answers.
	CircuitRamping
)

// String is the state as metrics and logs name it.
func (s CircuitState) String() string { return [...]string{"closed", "open", "ramping"}[s] }

// A Circuit finds out that an endpoint is down for everybody, and how to come back without a stampede.
//
// It opens when the attempts of several addresses fail in a row by the endpoint's fault with no answer in between.
// One address alone, however often it fails, does not open it: that is a poisoned message, and the failure policy's
// business. While it is open, calls end at their first failure and are not held against their address. It reads no
// clock, and its zero value is closed.
type Circuit struct {
	alarmed atomic.Bool // not closed, or faults are noted; false is the usual case, told without the lock

	mu       sync.Mutex // guards what follows
	state    CircuitState
	since    time.Time       // of the last change of state; an attempt that began before it says nothing about it
	opened   chan struct{}   // closed when the circuit opens; nil: nobody asked
	faults   map[uint64]bool // addresses that failed since the last answer; true: the endpoint was not reached
	troubled int             // calls under way that have failed once or more
	allowed  int             // calls at once while ramping
	pause    time.Duration   // before the next probe
	next     time.Time       // when it may begin
	probe    time.Time       // when the latest one began that has not ended; zero: there is none
	downFrom time.Time       // when the circuit opened first since it was closed
	changed  func(circuitChange)
}

// circuitChange is told of a change of state, under the lock.
type circuitChange struct {
	from, to CircuitState
	cause    *Error        // when it opens
	down     time.Duration // when it closes
}

// verdict is what a failed attempt says of the endpoint.
type verdict uint8

const (
	verdictNone        verdict = iota // nothing: it failed for a reason of our own
	verdictAlive                      // somebody is there, though the answer is no good
	verdictFailing                    // it failed by the endpoint's fault, or by that of what was sent
	verdictUnreachable                // it was not even reached
)

// verdictOf sorts a failure.
func verdictOf(e *Error) verdict {
	switch e.Kind {
	case KindCancelled:
		return verdictNone
	case KindConnect, KindConnectTimeout, KindTLS:
		if errors.Is(e.Err, errPoolFull) { // our own limit
			return verdictNone
		}
		return verdictUnreachable
	case KindReadTimeout, KindWriteTimeout, KindCallTimeout, KindClosed:
		if errors.Is(e.Err, ErrNoRoom) { // our own limit
			return verdictNone
		}
		return verdictFailing
	case KindStatus:
		if e.Status >= 500 || e.Busy() {
			return verdictFailing
		}
	}
	return verdictAlive
}

// Open tells whether only probes are let through.
func (c *Circuit) Open() bool {
	if !c.alarmed.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == CircuitOpen
}

// Allows tells whether another call may begin beside those in flight.
func (c *Circuit) Allows(now time.Time, inFlight int) bool {
	if !c.alarmed.Load() {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case CircuitOpen:
		return !now.Before(c.next)
	case CircuitRamping:
		return inFlight-c.troubled < c.allowed
	}
	return true
}

// Began notes that a call begins that Allows has let through. While the circuit is open it is a probe.
func (c *Circuit) Began(now time.Time) {
	if !c.alarmed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitOpen {
		c.probe, c.next = now, now.Add(probePatience)
	}
}

// NextProbe is when to ask Allows again; zero when that need not be.
func (c *Circuit) NextProbe() time.Time {
	if !c.alarmed.Load() {
		return time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != CircuitOpen {
		return time.Time{}
	}
	return c.next
}

// opening is closed when the circuit opens; at once when it is open.
func (c *Circuit) opening() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened == nil {
		c.opened = make(chan struct{})
		if c.state == CircuitOpen {
			close(c.opened)
		}
	}
	return c.opened
}

// alive notes an answer, of whatever kind, to an attempt that began at began.
func (c *Circuit) alive(began, now time.Time) {
	if !c.alarmed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.faults)
	switch {
	case c.state == CircuitClosed:
		c.alarmed.Store(c.troubled > 0)
	case began.Before(c.since): // a server that goes down may still answer what it has
	case c.state == CircuitOpen:
		c.allowed = 2
		c.enter(CircuitRamping, now, nil)
	default:
		if c.allowed++; c.allowed >= rampEnd {
			c.enter(CircuitClosed, now, nil)
		}
	}
}

// failed notes an attempt for an address that failed by the endpoint's fault, and tells whether the circuit is open.
func (c *Circuit) failed(address uint64, e *Error, unreachable bool, began, now time.Time) (open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alarmed.Store(true)
	if c.state == CircuitOpen {
		c.probed(e, began, now)
		return true
	}
	if began.Before(c.since) {
		return false
	}
	if c.faults == nil {
		c.faults = map[uint64]bool{}
	}
	c.faults[address] = c.faults[address] || unreachable
	missed := 0
	for _, unreachable := range c.faults {
		if unreachable {
			missed++
		}
	}
	if missed < unreachableToOpen && len(c.faults) < failingToOpen {
		return false
	}
	clear(c.faults)
	c.pause = firstProbe
	c.schedule(now)
	c.enter(CircuitOpen, now, e)
	return true
}

// Abandoned notes that a call, or an attempt of one, that began at began ended for a reason of our own. If it was the
// probe, another one may begin at once: this one will tell nothing.
func (c *Circuit) Abandoned(began, now time.Time) {
	if !c.alarmed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == CircuitOpen && !c.probe.IsZero() && !began.Before(c.probe) {
		c.probe, c.next = time.Time{}, now
	}
}

// probed ends the probe under way, if the attempt was it.
func (c *Circuit) probed(e *Error, began, now time.Time) {
	if c.probe.IsZero() || began.Before(c.probe) {
		return
	}
	longest := longestPause
	if e.Kind == KindStatus && !e.Busy() {
		longest = answeredPause
	}
	c.probe = time.Time{}
	c.pause = min(2*c.pause, longest)
	c.schedule(now)
}

// schedule sets the time of the next probe, spread so that many workers do not knock together.
func (c *Circuit) schedule(now time.Time) { c.next = now.Add(c.pause*3/4 + rand.N(c.pause/2)) }

// trouble notes that a call has failed for the first time and goes on; eased that it has ended.
func (c *Circuit) trouble() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.troubled++
	c.alarmed.Store(true)
}

func (c *Circuit) eased() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.troubled--
	c.alarmed.Store(c.state != CircuitClosed || c.troubled > 0 || len(c.faults) > 0)
}

func (c *Circuit) enter(s CircuitState, now time.Time, cause *Error) {
	change := circuitChange{from: c.state, to: s, cause: cause}
	switch s {
	case CircuitOpen:
		if c.state == CircuitClosed {
			c.downFrom = now
		}
		if c.opened != nil {
			close(c.opened)
		}
	case CircuitRamping:
		c.opened, c.probe = nil, time.Time{}
	case CircuitClosed:
		change.down = now.Sub(c.downFrom)
		c.alarmed.Store(c.troubled > 0)
	}
	c.state, c.since = s, now
	if c.changed != nil {
		c.changed(change)
	}
}
