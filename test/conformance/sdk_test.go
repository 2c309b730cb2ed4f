package conformance

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// sdkFunction serves one function of the case with the official Go SDK.
func (l *lab) sdkFunction(name string, states []statefun.ValueSpec, function func(statefun.Context, statefun.Message) error) func(call) reply {
	l.Helper()
	builder := statefun.StatefulFunctionsBuilder()
	err := builder.WithSpec(statefun.StatefulFunctionSpec{
		FunctionType: statefun.TypeNameFrom(l.fn(name)), States: states, Function: statefun.StatefulFunctionPointer(function),
	})
	if err != nil {
		l.Fatal(err)
	}
	handler := builder.AsHandler()
	return func(c call) reply {
		r := httptest.NewRequestWithContext(c.ctx, http.MethodPost, "/", bytes.NewReader(c.body))
		r.Header = c.header
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return reply{status: w.Code, body: w.Body.Bytes()}
	}
}

// parsed is an answer as a message.
func parsed(l *lab, r reply) protoreflect.Message {
	l.Helper()
	m := official(fromFunction)
	if err := proto.Unmarshal(r.body, m.Interface()); err != nil {
		l.Fatalf("the SDK's answer does not parse: %v", err)
	}
	return m
}

// missing are the names of the states that an answer asks for; asks is false when it is no such answer.
func missing(l *lab, r reply) (names []string, asks bool) {
	l.Helper()
	context, asks := sub(parsed(l, r), "incomplete_invocation_context")
	each(context, "missing_values", func(s protoreflect.Message) { names = append(names, text(s, "state_name")) })
	return names, asks
}

// counting is a function on the SDK that counts its invocations in the state "count" and writes nothing else.
func (l *lab) counting(invoked *atomic.Int32, others ...statefun.ValueSpec) func(call) reply {
	count := statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type}
	return l.sdkFunction("f", append([]statefun.ValueSpec{count}, others...), func(ctx statefun.Context, _ statefun.Message) error {
		var n int64
		ctx.Storage().Get(count, &n)
		ctx.Storage().Set(count, n+1)
		invoked.Add(1)
		return nil
	})
}

// The cases about SDKs run with the Go SDK, which the program's tests depend on anyway; test/sdks runs the others.

func undeclaredStates(l *lab) {
	var invoked atomic.Int32
	counting := l.counting(&invoked)
	l.answer("f", func(c call) reply {
		if c.state("undeclared") == nil {
			return incomplete(spec("undeclared", ""))
		}
		return counting(c)
	})
	l.send("x", "one")
	c := l.called(3)[2]
	if c.state("undeclared") == nil || c.state("count") == nil {
		l.Errorf("the states are %v", c.States)
	}
	l.send("x", "two")
	l.called(4)
	await(l.T, "two invocations", func() (bool, <-chan struct{}) { return invoked.Load() == 2, nil })
}

func lackingStates(l *lab) {
	var invoked atomic.Int32
	counting := l.counting(&invoked, statefun.ValueSpec{Name: "a", ValueType: statefun.StringType}, statefun.ValueSpec{Name: "b", ValueType: statefun.StringType})
	replies := make(chan reply, 9)
	l.answer("f", func(c call) reply {
		if c.state("a") == nil {
			return incomplete(specOf("a", "io.statefun.types/string", ""))
		}
		r := counting(c)
		if _, asks := missing(l, r); asks && invoked.Load() > 0 {
			l.Error("the function was invoked although states lack")
		}
		replies <- r
		return r
	})
	l.send("x", "one")
	names, _ := missing(l, <-replies)
	equal(l, "states asked for", len(names), 2)
	equal(l, "states of the next request", len(l.called(3)[2].States), 3)
}

func statePresentWithoutValue(l *lab) {
	var invoked atomic.Int32
	counting := l.counting(&invoked)
	replies := make(chan reply, 9)
	l.answer("f", func(c call) reply {
		r := counting(c)
		replies <- r
		return r
	})
	l.send("x", "one")
	<-replies
	_, asks := missing(l, <-replies)
	equal(l, "asks for states", asks, false)
	if s := l.called(2)[1].state("count"); s == nil || s.Value != nil {
		l.Errorf("the state is %v", s)
	}
}

func oneMutationPerBatch(l *lab) {
	var invoked atomic.Int32
	counting := l.counting(&invoked)
	g := newGate()
	l.Cleanup(g.release)
	replies := make(chan reply, 9)
	l.answer("f", func(c call) reply {
		g.pass(c)
		r := counting(c)
		if _, asks := missing(l, r); !asks {
			replies <- r
		}
		return r
	})
	l.send("x", "first")
	l.called(1)
	l.send("x", "1", "2", "3")
	l.arrived(4)
	g.release()
	<-replies
	answer, _ := sub(parsed(l, <-replies), "invocation_result")
	var mutations []value
	each(answer, "state_mutations", func(m protoreflect.Message) {
		v, _ := sub(m, "state_value")
		mutations = append(mutations, valueOf(v))
	})
	equal(l, "mutations", len(mutations), 1)
	equal(l, "invocations", len(l.called(3)[2].Invocations), 3)
	equal(l, "value", mutations[0].Bytes, "\x09\x04\x00\x00\x00\x00\x00\x00\x00")
}

func expirationFromSDK(l *lab) {
	count := statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type, Expiration: statefun.ExpireAfterWrite(2 * time.Second)}
	asked := make(chan reply, 9)
	serve := l.sdkFunction("f", []statefun.ValueSpec{count}, func(ctx statefun.Context, _ statefun.Message) error {
		ctx.Storage().Set(count, int64(1))
		return nil
	})
	l.answer("f", func(c call) reply {
		r := serve(c)
		if _, asks := missing(l, r); asks {
			asked <- r
		}
		return r
	})
	l.send("x", "one")
	context, _ := sub(parsed(l, <-asked), "incomplete_invocation_context")
	each(context, "missing_values", func(s protoreflect.Message) {
		expiration, _ := sub(s, "expiration_spec")
		equal(l, "mode", field(expiration, "mode").Enum(), 1)
		equal(l, "milliseconds", field(expiration, "expire_after_millis").Int(), 2000)
	})
	l.called(2)
	atLeast(2500 * time.Millisecond)
	l.send("x", "two")
	if s := l.called(3)[2].state("count"); s == nil || s.Value != nil {
		l.Errorf("after its time the state is %v", s)
	}
}
