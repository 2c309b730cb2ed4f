package embedded_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

const (
	herePing  statefun.TypeName = "here/ping"
	therePong statefun.TypeName = "there/pong"
)

// hit sends a ball back to whoever has sent it, one less each time, and tells when it has come down.
func hit(ctx *statefun.Context, m statefun.Message) error {
	n, err := statefun.Int64.From(m)
	if err != nil {
		return err
	}
	rallies, err := visits.Get(ctx)
	if err != nil {
		return err
	}
	visits.Set(ctx, rallies+1)
	switch caller, called := ctx.Caller(); {
	case n == 0:
		ctx.Egress("here/out", statefun.KafkaRecord{Topic: "out", Key: string(ctx.Self().Type), Value: []byte("down")})
	case called:
		ctx.Send(caller, statefun.Int64.Of(n-1))
	default:
		ctx.Send(therePong.At(ctx.Self().ID), statefun.Int64.Of(n-1))
	}
	return nil
}

func TestFunctionsHereAndBehindHTTPSendToEachOther(t *testing.T) {
	var calls atomic.Int64
	handler, err := statefun.NewHandler(statefun.Function{Type: "there/*", States: []statefun.State{visits}, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		calls.Add(1)
		return hit(ctx, m)
	}})
	if err != nil {
		t.Fatal(err)
	}
	remote := httptest.NewServer(handler)
	defer remote.Close()

	serve := embedded.Go("here/serve", statefun.Int64, embedded.ByKey[int64](herePing))
	app := embedded.New("tennis", quiet(t))
	app.Ingress(serve)
	app.Function(statefun.Function{Type: herePing, States: []statefun.State{visits}, Invoke: hit}, embedded.MaxBatch(10))
	app.Remote("there/*", remote.URL+"/{function.name}", embedded.CallTimeout(10*time.Second), embedded.MaxBatch(500))
	app.Egress("here/out")
	start(t, app)
	if err := serve.Append(within(t), "ball", 11); err != nil {
		t.Fatal(err)
	}
	if got := texts(readerOf(t, brokersOf(t, app), "out").next(1)); !slices.Equal(got, []string{"there/pong=down"}) {
		t.Errorf("the ball %v", got)
	}
	if calls.Load() < 6 {
		t.Errorf("the remote function was called %d times", calls.Load())
	}
	for _, of := range []statefun.Address{herePing.At("ball"), therePong.At("ball")} {
		await(t, "six hits of "+of.String(), func() bool {
			v, err := app.View(within(t), of)
			if err != nil {
				t.Fatal(err)
			}
			n, _, err := embedded.Read(v, visits)
			return err == nil && n == 6
		})
	}
}

func TestAFunctionThatPanicsOrHangsHoldsItsOwnAddressOnly(t *testing.T) {
	log := newLog()
	o := quiet(t)
	registry := prometheus.NewRegistry()
	o.Logger, o.Registerer = log.logger(), registry
	hanging := make(chan struct{})
	defer close(hanging)
	var told atomic.Bool
	app := embedded.New("greeter", o)
	names := embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType))
	app.Ingress(names)
	app.Function(statefun.Function{Type: greeterType, States: []statefun.State{visits}, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		switch ctx.Self().ID {
		case "panics":
			panic("no such luck")
		case "fails":
			return errors.New("not today")
		case "heeds":
			<-ctx.Done()
			told.Store(true)
			return ctx.Err()
		case "hangs":
			<-hanging
		}
		return greeter.Invoke(ctx, m)
	}}, embedded.MaxAttempts(2))
	app.Egress("example/greets")
	stop := start(t, app)
	for _, name := range []string{"panics", "fails", "heeds", "hangs", "Ada", "Ada"} {
		if err := names.Append(within(t), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := texts(readerOf(t, brokersOf(t, app), "greetings").next(2)); !slices.Equal(got, []string{"Ada=1", "Ada=2"}) {
		t.Errorf("greetings %v", got)
	}
	await(t, "the stack of the panic is logged", func() bool { return strings.Contains(log.attribute("stack"), "function_test.go") })
	if got, want := failureKinds(t, registry), []string{"function", "panic"}; !slices.Equal(got, want) {
		t.Errorf("failures of the kinds %v are counted, want %v", got, want)
	}
	began := time.Now()
	stop() // does not wait for the one that hangs
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if !told.Load() {
		t.Error("the function that looks at its context was not told of the end")
	}
}

// failureKinds are those of the failed calls that are counted.
func failureKinds(t *testing.T, g prometheus.Gatherer) (kinds []string) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "statefun_invoker_failures_total" })
	if at < 0 {
		return nil
	}
	for _, m := range families[at].Metric {
		kind := slices.IndexFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "kind" })
		kinds = append(kinds, m.Label[kind].GetValue())
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

func TestAFailurePolicySendsMessagesToTheDeadLetterTopic(t *testing.T) {
	app := embedded.New("greeter", quiet(t))
	app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte](greeterType), "names").FromEarliest())
	app.Function(statefun.Function{Type: greeterType, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		return errors.New("not today")
	}}, embedded.MaxAttempts(1), embedded.OnFailure(embedded.DeadLetter))
	start(t, app)
	produce(t, brokersOf(t, app), "names", "Ada=hello")
	if r := readerOf(t, brokersOf(t, app), "greeter-dead-letter").next(1)[0]; string(r.Key) != "Ada" || !strings.HasSuffix(string(r.Value), "hello") {
		t.Errorf("dead letter %s=%s", r.Key, r.Value)
	}
}

// TestWhatAFunctionKeepsOfAMessageStaysAsItWas keeps views of messages beyond the call.
func TestWhatAFunctionKeepsOfAMessageStaysAsItWas(t *testing.T) {
	type memory struct {
		view []byte
		was  string
	}
	const n = 200
	kept := make(chan memory, 2*n) // a call may be repeated
	app := embedded.New("greeter", quiet(t))
	names := embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType))
	app.Ingress(names)
	app.Function(statefun.Function{Type: greeterType, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		kept <- memory{m.Bytes(), string(m.Bytes())}
		return nil
	}})
	start(t, app)
	for i := range n {
		if err := names.Append(within(t), "Ada", fmt.Appendf(nil, "message %3d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var all []memory
	for range n {
		all = append(all, <-kept)
	}
	for _, m := range all {
		if string(m.view) != m.was {
			t.Fatalf("%q has become %q", m.was, m.view)
		}
	}
}

func TestACallHasADeadline(t *testing.T) {
	deadlines := make(chan time.Duration, 10)
	app := embedded.New("greeter", quiet(t))
	names := embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType, "example/other"))
	app.Ingress(names)
	report := func(ctx *statefun.Context, m statefun.Message) error {
		at, has := ctx.Deadline()
		if !has {
			deadlines <- 0
			return nil
		}
		deadlines <- time.Until(at)
		return nil
	}
	app.Function(statefun.Function{Type: greeterType, Invoke: report}, embedded.CallTimeout(time.Hour))
	app.Function(statefun.Function{Type: "example/other", Invoke: report}, embedded.CallTimeout(0))
	start(t, app)
	if err := names.Append(within(t), "Ada", nil); err != nil {
		t.Fatal(err)
	}
	got := []time.Duration{<-deadlines, <-deadlines}
	slices.Sort(got)
	if got[0] != 0 || got[1] < 50*time.Minute || got[1] > time.Hour {
		t.Errorf("deadlines in %v", got)
	}
}
