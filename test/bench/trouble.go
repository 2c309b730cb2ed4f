package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// poisonID is the id whose first message bench/counter cannot take.
const poisonID = "poison"

// poisonBehind is how many good messages of the same id stand behind it.
const poisonBehind = 10

// troubled is a server of functions that can be made to misbehave: bench/counter counts, bench/sleeper sleeps and
// counts, bench/hang waits for a gate and counts.
type troubled struct {
	handler http.Handler
	address string // stays over the outages
	sleep   time.Duration

	mu       sync.Mutex
	server   *http.Server  // nil: down
	gate     chan struct{} // closed: bench/hang answers at once
	conns    atomic.Int64  // accepted
	calls    atomic.Int64
	poisoned atomic.Int64 // calls with the poisoned message
	mended   atomic.Bool  // it can be taken now
}

func newTroubled(topic string, sleep time.Duration) (*troubled, error) {
	log.SetOutput(io.Discard) // the SDK logs every registration
	t := &troubled{sleep: sleep, gate: make(chan struct{}), address: "127.0.0.1:0"}
	b := statefun.StatefulFunctionsBuilder()
	for name, before := range map[string]func(statefun.Context, []byte) (bool, error){
		"bench/counter": t.poison,
		"bench/sleeper": func(statefun.Context, []byte) (bool, error) { return true, nil }, // slept once a call, not once an input
		"bench/hang":    t.hang,
	} {
		count := statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type}
		function := func(ctx statefun.Context, message statefun.Message) error {
			value := message.RawValue()
			if good, err := before(ctx, value); err != nil || !good {
				return err
			}
			var n int64
			ctx.Storage().Get(count, &n)
			n++
			ctx.Storage().Set(count, n)
			record.SetCount(value, n)
			ctx.SendEgress(statefun.KafkaEgressBuilder{Target: statefun.TypeNameFrom("bench/out"), Topic: topic, Key: ctx.Self().Id, Value: value})
			return nil
		}
		spec := statefun.StatefulFunctionSpec{FunctionType: statefun.TypeNameFrom(name), States: []statefun.ValueSpec{count},
			Function: statefun.StatefulFunctionPointer(function)}
		if err := b.WithSpec(spec); err != nil {
			return nil, fmt.Errorf("register %s: %w", name, err)
		}
	}
	t.handler = b.AsHandler()
	return t, t.up()
}

// ServeHTTP serves one call. A call of /sleeper takes its time once, whatever it carries.
func (t *troubled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.calls.Add(1)
	if r.URL.Path == "/sleeper" {
		select {
		case <-time.After(t.sleep):
		case <-r.Context().Done():
			return
		}
	}
	t.handler.ServeHTTP(w, r)
}

// poison fails for the first message of the poisoned id until it is mended. Nothing of that id is written.
func (t *troubled) poison(ctx statefun.Context, value []byte) (good bool, err error) {
	if ctx.Self().Id != poisonID {
		return true, nil
	}
	p, err := record.Parse(value)
	if err != nil {
		return false, fmt.Errorf("read the message: %w", err)
	}
	if p.Seq == 0 {
		t.poisoned.Add(1)
		if !t.mended.Load() {
			return false, errors.New("this message cannot be taken")
		}
	}
	return false, nil
}

func (t *troubled) hang(ctx statefun.Context, _ []byte) (good bool, err error) {
	select {
	case <-t.hanging():
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (t *troubled) hanging() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gate
}

// release ends the hanging.
func (t *troubled) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.gate)
}

// up begins to serve, at the same address as before.
func (t *troubled) up() error {
	listener, err := net.Listen("tcp", t.address)
	if err != nil {
		return fmt.Errorf("listen for functions: %w", err)
	}
	server := &http.Server{Handler: t, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			t.conns.Add(1)
		}
	}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.address, t.server = listener.Addr().String(), server
	go func() { _ = server.Serve(listener) }()
	return nil
}

// down ends all connections; new ones are refused.
func (t *troubled) down() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.server != nil {
		_ = t.server.Close()
		t.server = nil
	}
}

// url is where a function is; sleepers have a path of their own.
func (t *troubled) url() string { return "http://" + t.address + "/{function.name}" }
