package invoker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// clock tells the time of a circuit's test, which nothing else moves.
type clock struct {
	Circuit
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)} }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// meet lets an address meet a failure of a kind, in an attempt that takes a millisecond.
func (c *clock) meet(address int, kind string) bool {
	began := c.now
	c.pass(time.Millisecond)
	e := &Error{Kind: kind, Err: errors.New("as told")}
	return c.failed(uint64(address), e, verdictOf(e) == verdictUnreachable, began, c.now)
}

func (c *clock) answered() {
	began := c.now
	c.pass(time.Millisecond)
	c.alive(began, c.now)
}

// down makes the circuit open.
func (c *clock) down(t *testing.T) {
	t.Helper()
	for a := range unreachableToOpen {
		c.meet(a, KindConnect)
	}
	if !c.Open() {
		t.Fatal("the circuit is closed")
	}
}

func TestTheCircuitOpensWhenSeveralAddressesFailInARow(t *testing.T) {
	for _, tt := range []struct {
		name      string
		addresses int
		kind      string
		open      bool
	}{
		{"one address less than it takes to call an endpoint unreachable", unreachableToOpen - 1, KindConnect, false},
		{"enough that cannot reach it", unreachableToOpen, KindConnect, true},
		{"TLS", unreachableToOpen, KindTLS, true},
		{"as many time-outs", unreachableToOpen, KindReadTimeout, false},
		{"one time-out less than it takes", failingToOpen - 1, KindCallTimeout, false},
		{"enough time-outs", failingToOpen, KindCallTimeout, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			for a := range tt.addresses {
				c.meet(a, tt.kind)
			}
			if c.Open() != tt.open {
				t.Errorf("open is %v", c.Open())
			}
		})
	}
}

// A poisoned message makes its address fail for ever. That says nothing of the endpoint.
func TestOneAddressNeverOpensTheCircuit(t *testing.T) {
	for _, kind := range []string{KindStatus, KindConnect, KindCallTimeout} {
		c := newClock()
		for range 10_000 {
			if c.meet(1, kind); c.Open() {
				t.Fatalf("open after failures of one address: %s", kind)
			}
		}
	}
}

func TestAnAnswerMakesFailuresCountFromTheStart(t *testing.T) {
	c := newClock()
	for round := range 100 {
		for a := range unreachableToOpen - 1 {
			if c.meet(100*round+a, KindConnect) {
				t.Fatal("open, though it answers in between")
			}
		}
		c.answered()
	}
}

func TestAFailureSaysSomethingOfTheEndpointOrNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		failure *Error
		says    verdict
	}{
		"pool":         {&Error{Kind: KindConnectTimeout, Err: errPoolFull}, verdictNone},
		"room":         {failed(reading, fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, ErrNoRoom), time.Time{}), verdictNone},
		"cancelled":    {&Error{Kind: KindCancelled}, verdictNone},
		"404":          {&Error{Kind: KindStatus, Status: 404}, verdictAlive},
		"content type": {&Error{Kind: KindContentType}, verdictAlive},
		"too large":    {&Error{Kind: KindRequestTooLarge, Status: 413}, verdictAlive},
		"500":          {&Error{Kind: KindStatus, Status: 500}, verdictFailing},
		"502":          {&Error{Kind: KindStatus, Status: 502}, verdictFailing},
		"503":          {&Error{Kind: KindStatus, Status: 503}, verdictFailing},
		"429":          {&Error{Kind: KindStatus, Status: 429}, verdictFailing},
		"no answer":    {&Error{Kind: KindReadTimeout}, verdictFailing},
		"refused":      {&Error{Kind: KindConnect}, verdictUnreachable},
		"no route":     {&Error{Kind: KindConnectTimeout}, verdictUnreachable},
	} {
		if says := verdictOf(tt.failure); says != tt.says {
			t.Errorf("%s says %d, want %d", name, says, tt.says)
		}
	}
}

// A pool of ours that is full is neither an answer nor the endpoint's fault.
func TestAFullPoolSaysNothingToTheCircuit(t *testing.T) {
	full := &Error{Kind: KindConnectTimeout, Err: errPoolFull}
	c, now := &Caller{}, newClock().now
	for a := range uint64(failingToOpen) {
		if c.blame(protocol.Address{ID: "waits"}, full, now, now) {
			t.Fatalf("open after %d failures", a)
		}
		c.circuit.failed(a, &Error{Kind: KindReadTimeout}, false, now, now)
	}
	if !c.circuit.Open() {
		t.Fatal("a full pool counts as an answer: all others time out, and the circuit is closed")
	}
	now = now.Add(time.Second)
	c.circuit.Began(now)
	if !c.blame(protocol.Address{ID: "waits"}, full, now, now) {
		t.Error("the call is held against its address, though the circuit is open")
	}
	if c.circuit.state != CircuitOpen {
		t.Errorf("a full pool counts as an answer: the circuit is %s", c.circuit.state)
	}
	if !c.circuit.Allows(now, 0) {
		t.Error("the next probe waits for one that got no connection of ours")
	}
}

func TestAnOpenCircuitLetsThroughOneProbeAtATime(t *testing.T) {
	c := newClock()
	c.down(t)
	if c.Allows(c.now, 0) {
		t.Fatal("a probe without a pause")
	}
	var pauses []time.Duration
	for range 8 {
		pauses = append(pauses, c.NextProbe().Sub(c.now))
		c.pass(c.NextProbe().Sub(c.now))
		if !c.Allows(c.now, 0) {
			t.Fatal("no probe when its time has come")
		}
		c.Began(c.now)
		if c.Allows(c.now.Add(time.Second), 1) {
			t.Fatal("a second probe beside the first")
		}
		c.meet(1, KindConnect)
	}
	for i, p := range pauses {
		want := min(firstProbe<<i, longestPause)
		if p < want*3/4 || p > want*5/4 {
			t.Errorf("pause %d is %v, want about %v", i, p, want)
		}
	}
}

// A server that answers 500 is there. What it was sent may be at fault, so the next address has its turn soon; that of a
// server that says it cannot serve now comes as late as that of one that says nothing.
func TestAnAddressWaitsLessForAServerThatAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure Error
		longest time.Duration
	}{
		{"500", Error{Kind: KindStatus, Status: 500}, answeredPause},
		{"503", Error{Kind: KindStatus, Status: 503}, longestPause},
		{"429", Error{Kind: KindStatus, Status: 429}, longestPause},
		{"no answer", Error{Kind: KindCallTimeout}, longestPause},
		{"dropped", Error{Kind: KindClosed}, longestPause},
	} {
		c := newClock()
		c.down(t)
		last := time.Duration(0)
		for range 8 {
			last = c.NextProbe().Sub(c.now)
			c.pass(last)
			c.Began(c.now)
			c.failed(1, &tt.failure, false, c.now, c.now)
		}
		if last < tt.longest*3/4 || last > tt.longest*5/4 {
			t.Errorf("%s: the pause is %v in the end, want about %v", tt.name, last, tt.longest)
		}
	}
}

// The probe's message may be one that hangs. Others must not wait for it as long as a call may take.
func TestAProbeThatHangsDoesNotKeepTheCircuitOpen(t *testing.T) {
	c := newClock()
	c.down(t)
	c.pass(time.Second)
	c.Began(c.now)
	c.pass(probePatience)
	if !c.Allows(c.now, 1) {
		t.Fatal("no other probe")
	}
	c.Began(c.now)
	c.answered()
	if c.Open() {
		t.Error("still open after an answer")
	}
}

func TestAProbeThatWeAbandonIsFollowedAtOnce(t *testing.T) {
	c := newClock()
	c.down(t)
	c.pass(time.Second)
	c.Began(c.now)
	c.Abandoned(c.now, c.now)
	if !c.Allows(c.now, 0) {
		t.Error("the next probe waits for one that is gone")
	}
}

// A call that was let through as a probe may end before its first attempt.
func TestAProbeWithoutAnAttemptIsFollowedAtOnce(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, probe := range map[string]struct {
		ctx      context.Context
		function string
		kind     string
	}{
		"no URL":        {t.Context(), "", KindURL},
		"context ended": {ended, "f", KindCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, "http://{function.name}:80/", async())
			now := time.Now()
			for a := range uint64(failingToOpen) {
				c.circuit.failed(a, &Error{Kind: KindReadTimeout}, false, now, now)
			}
			c.circuit.Began(time.Now())
			_, err := c.Call(probe.ctx, protocol.Address{Type: protocol.TypeName{Namespace: "example", Name: probe.function}}, nil)
			var e *Error
			if !errors.As(err, &e) || e.Kind != probe.kind {
				t.Fatal(err)
			}
			if !c.circuit.Allows(time.Now(), 0) {
				t.Error("the next probe waits for a call that made no attempt")
			}
		})
	}
}

// A server that goes down still answers what it has begun.
func TestAnAnswerToWhatBeganBeforeDoesNotCloseTheCircuit(t *testing.T) {
	c := newClock()
	before := c.now
	c.down(t)
	c.alive(before, c.now)
	if !c.Open() {
		t.Error("closed by an answer from before")
	}
}

func TestTheRampDoublesWithEachRoundAndEnds(t *testing.T) {
	c := newClock()
	var said []string
	c.changed = func(change circuitChange) { said = append(said, change.to.String()) }
	c.down(t)
	c.pass(time.Second)
	c.Began(c.now)
	c.answered()
	rounds := 0
	for ; c.state == CircuitRamping && rounds < 100; rounds++ {
		n := 0
		for c.Allows(c.now, n) {
			n++
		}
		if n != 2<<rounds {
			t.Fatalf("%d calls in round %d, want %d", n, rounds, 2<<rounds)
		}
		began := c.now
		c.pass(time.Millisecond)
		for range n {
			c.alive(began, c.now)
		}
	}
	if rounds != 5 || !c.Allows(c.now, 10_000) || fmt.Sprint(said) != "[open ramping closed]" {
		t.Errorf("%d rounds, %v", rounds, said)
	}
	if c.alarmed.Load() {
		t.Error("a closed circuit still takes its lock for each call")
	}
}

// Poisoned addresses fail during the ramp as they did before. They must not take the places of those that are well.
func TestCallsInTroubleDoNotHoldUpTheRamp(t *testing.T) {
	c := newClock()
	c.down(t)
	c.pass(time.Second)
	c.answered()
	c.trouble()
	c.trouble()
	c.meet(1, KindStatus)
	c.meet(2, KindStatus)
	if !c.Allows(c.now, 2) || c.Open() {
		t.Error("two poisoned addresses hold up the ramp")
	}
	c.eased()
	c.eased()
	for a := range unreachableToOpen {
		c.meet(a, KindConnect)
	}
	if !c.Open() {
		t.Error("the endpoint went down again, and the circuit did not open")
	}
}

// The whole with calls: many at once meet a server that is gone. They come back at once, not after their budgets, and
// what knocks is a handful.
func TestManyCallsMeetAnEndpointThatIsDown(t *testing.T) {
	s := serveRaw(t, "tcp", each(ok("hello")))
	m, said := NewMetrics(prometheus.NewRegistry()), &strings.Builder{}
	e := endpointAt(s.url(), async())
	c, err := New(e, Shared{Metrics: m, Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.rules.firstPause = time.Minute // so that who pauses comes back only by the opening
	var up atomic.Bool
	reach := c.names.reach
	c.names.reach = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !up.Load() {
			return nil, errors.New("connection refused")
		}
		return reach(ctx, network, address)
	}
	const calls = 500
	var down atomic.Int64
	until(t, "the calls come back", func() {
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				_, err := c.Call(t.Context(), protocol.Address{Type: greeter, ID: fmt.Sprint(i)}, nil)
				var e *Error
				if errors.As(err, &e) && e.Down && e.Kind == KindConnect {
					down.Add(1)
				}
			})
		}
		all.Wait()
	})
	if down.Load() != calls {
		t.Errorf("%d of %d calls say that the endpoint is down", down.Load(), calls)
	}
	if n := counted(t, m.dials.WithLabelValues("example/*")); n > 2*calls {
		t.Errorf("%v attempts to connect", n)
	}
	if !c.Circuit().Open() || counted(t, m.circuits.WithLabelValues("example/*", "open")) != 1 {
		t.Error("the circuit is closed")
	}
	up.Store(true)
	for range rampEnd {
		call(t, c, "hello")
	}
	if counted(t, m.circuits.WithLabelValues("example/*", "closed")) != 1 || counted(t, m.circuits.WithLabelValues("example/*", "open")) != 0 {
		t.Error("the circuit does not close")
	}
	for _, words := range []string{"endpoint is down", "answers again", "its circuit is closed"} {
		if !strings.Contains(said.String(), words) {
			t.Errorf("the log does not say %q", words)
		}
	}
}

func TestFiveHundredsFromAllOpenTheCircuitAndOnesOwnDoNot(t *testing.T) {
	s := answerWith(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) == "poison" {
			http.Error(w, "oh no", 500)
			return
		}
		w.Header().Set("Content-Type", mediaType)
	})
	c := newCaller(t, s.URL, async())
	c.endpoint.MaxAttempts = 1
	at := func(i int) protocol.Address { return protocol.Address{Type: greeter, ID: fmt.Sprint(i)} }
	for i := range 100 {
		_, _ = c.Call(t.Context(), at(0), []byte("poison"))
		if i%10 == 0 {
			_, _ = c.Call(t.Context(), at(i), []byte("fine"))
		}
	}
	if c.Circuit().Open() {
		t.Fatal("one poisoned address opened the circuit")
	}
	for i := range failingToOpen {
		_, _ = c.Call(t.Context(), at(i), []byte("poison"))
	}
	if !c.Circuit().Open() {
		t.Error("every address fails, and the circuit is closed")
	}
}

// 32 callers make 10,000 calls. Their connections are those of the callers, used again and again.
func TestConnectionsOpenedAreFarFewerThanCalls(t *testing.T) {
	const callers, calls = 32, 10_000
	s := serveRaw(t, "tcp", each(ok("hello")))
	for name, tr := range map[string]struct{ most int64 }{"okhttp": {callers}, "async": {callers}} {
		t.Run(name, func(t *testing.T) {
			transport := okhttp()
			if name == "async" {
				transport = async()
			}
			before := s.conns.Load()
			c := newCaller(t, s.url(), transport)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range calls / callers {
						if _, err := c.Call(t.Context(), anybody, []byte("r")); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			if n := s.conns.Load() - before; n > tr.most {
				t.Errorf("%d connections for %d calls of %d callers", n, calls, callers)
			} else {
				t.Logf("%d connections for %d calls", n, calls)
			}
		})
	}
}
