package invoker

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// InProcess calls the functions of one endpoint that are in this process, by the rules by which a Caller calls remote ones:
// attempts with pauses between them, and a budget. Its circuit never opens. It is safe for concurrent use.
//
// A function is called on the goroutine of Call, which returns when the function does: one that ignores its context keeps
// its caller.
type InProcess struct {
	calls
	function Function
	end      sync.Once

	// targets is replaced as a whole, so that a call reads it without a lock.
	targets atomic.Pointer[map[protocol.TypeName]*target]
	mu      sync.Mutex // for the replacing
}

// NewInProcess returns a caller of f for the endpoint.
func NewInProcess(e *module.Endpoint, f Function, s Shared) *InProcess {
	p := &InProcess{calls: newCalls(e, inProcessRules(e), s), function: f}
	p.once = p.attempt
	p.targets.Store(&map[protocol.TypeName]*target{})
	p.begin()
	return p
}

// Call sends one request to the function of an address and returns its answer, as Caller.Call does.
func (p *InProcess) Call(ctx context.Context, address protocol.Address, request []byte) ([]byte, error) {
	return p.call(ctx, address, p.target(address.Type), request, time.Now())
}

// Close ends all further attempts. A function that is at work is ended by its context alone.
func (p *InProcess) Close() { p.end.Do(func() { close(p.closed) }) }

func (p *InProcess) attempt(ctx context.Context, t *target, request []byte, _, deadline time.Time) ([]byte, *Error) {
	bounded := &budgeted{Context: ctx}
	if p.endpoint.Transport.Call > 0 {
		bounded.end = deadline
	}
	defer bounded.close()
	answer, failure := p.function.call(bounded, t.name, request)
	if failure == nil && int64(len(answer)) > p.rules.answerBytes {
		return nil, &Error{Kind: KindAnswerTooLarge, Err: fmt.Errorf("%w: it has %d bytes, %d are allowed", errAnswerTooLarge, len(answer), p.rules.answerBytes)}
	}
	if failure == nil {
		p.bodies.read(len(answer))
	}
	return answer, failure
}

// target returns what is kept ready for calls of a function type.
func (p *InProcess) target(fn protocol.TypeName) *target {
	if t, ok := (*p.targets.Load())[fn]; ok {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := *p.targets.Load()
	if t, ok := known[fn]; ok {
		return t
	}
	t := &target{name: fn, url: "in-process:" + fn.String(), function: fn.String()}
	if len(known) >= maxTargets {
		t.function = "other"
		t.latency = p.metrics.latency.WithLabelValues(t.function)
		return t
	}
	t.latency = p.metrics.latency.WithLabelValues(t.function)
	more := maps.Clone(known)
	more[fn] = t
	p.targets.Store(&more)
	return t
}
