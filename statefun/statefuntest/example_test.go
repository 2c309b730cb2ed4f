package statefuntest_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

// In a test t is the test's, which fails when a function does.
func ExampleHarness() {
	const greeter statefun.TypeName = "example/greeter"
	visits := statefun.Value[int32]("visits")
	h := statefuntest.New(nil, statefun.Function{Type: greeter, States: []statefun.State{visits},
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			n, err := visits.Get(ctx)
			visits.Set(ctx, n+1)
			ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID, Value: fmt.Appendf(nil, "visit %d", n+1)})
			return err
		}})

	statefuntest.SetState(h, greeter.At("Ada"), visits, 41)
	h.Send(greeter.At("Ada"), statefun.String.Of("hello"))

	fmt.Println(statefuntest.State(h, greeter.At("Ada"), visits))
	for _, r := range h.Kafka("example/greets") {
		fmt.Printf("%s: %s\n", r.Key, r.Value)
	}
	// Output:
	// 42 true
	// Ada: visit 42
}

// Try returns what Send fails the test with.
func ExampleHarness_Try() {
	const account statefun.TypeName = "bank/account"
	h := statefuntest.New(nil, statefun.Function{Type: account, Invoke: func(*statefun.Context, statefun.Message) error {
		return errors.New("there is not enough on the account")
	}})
	fmt.Println(h.Try(account.At("ada"), statefun.Int64.Of(100)))
	// Output: call bank/account/ada: there is not enough on the account
}

// A function that is tested alone sends to others that the harness does not have; what it sent can be seen.
func ExampleSent() {
	const order, stock statefun.TypeName = "shop/order", "shop/stock"
	h := statefuntest.New(nil, statefun.Function{Type: order, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Send(stock.At("tea"), m.TypedValue())
		return nil
	}})
	h.Send(order.At("o-1"), statefun.Int32.Of(3))
	for _, s := range h.Messages() {
		n, err := statefun.Int32.From(s.Message)
		fmt.Println(s.From, "to", s.To, n, err)
	}
	// Output: shop/order/o-1 to shop/stock/tea 3 <nil>
}

// Delayed messages wait until the clock is turned.
func ExampleDelayed() {
	const alarm statefun.TypeName = "example/alarm"
	h := statefuntest.New(nil, statefun.Function{Type: alarm, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.SendAfterWithToken(time.Hour, alarm.At("next"), m.TypedValue(), "wake")
		return nil
	}})
	h.Send(alarm.At("first"), statefun.Bool.Of(true))
	for _, d := range h.Delayed() {
		fmt.Println(d.To, "at", d.At.Format(time.TimeOnly), "unless", d.Token, "is cancelled")
	}
	// Output: example/alarm/next at 01:00:00 unless wake is cancelled
}

// A test that is about a date begins there.
func ExampleStartAt() {
	const diary statefun.TypeName = "example/diary"
	note := statefun.Function{Type: diary, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		fmt.Println(ctx.Now().Weekday())
		return nil
	}}
	monday := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	h := statefuntest.NewWith(nil, []statefun.Function{note}, statefuntest.StartAt(monday))
	h.Send(diary.At("ada"), statefun.Bool.Of(true))
	h.Advance(24 * time.Hour)
	h.Send(diary.At("ada"), statefun.Bool.Of(true))
	// Output:
	// Monday
	// Tuesday
}

// A message as an ingress with forwardHeaders makes it.
func ExampleForwarded() {
	const copier statefun.TypeName = "example/copier"
	h := statefuntest.New(nil, statefun.Function{Type: copier, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		trace, _ := m.Header("trace")
		fmt.Println(m.Origin().Topic, m.Origin().Offset, string(trace))
		return nil
	}})
	h.Send(copier.At("a"), statefuntest.Forwarded(statefun.String.Of("x"), statefun.Origin{Topic: "orders", Offset: 17}).
		WithHeaders(statefun.Header{Key: "trace", Value: []byte("t-1")}))
	// Output: orders 17 t-1
}

// Whatever the order and the batches are, the sum is the same.
func ExampleNewWith() {
	sum := statefun.Value[int64]("sum")
	const adder statefun.TypeName = "example/adder"
	add := statefun.Function{Type: adder, States: []statefun.State{sum},
		Invoke: statefun.ByType(statefun.On(statefun.Int64, func(ctx *statefun.Context, n int64) error {
			before, err := sum.Get(ctx)
			sum.Set(ctx, before+n)
			return err
		}))}
	for seed := range uint64(3) {
		h := statefuntest.NewWith(nil, []statefun.Function{add}, statefuntest.Seed(seed))
		h.SendAll(adder.At("a"), statefun.Int64.Of(1), statefun.Int64.Of(2), statefun.Int64.Of(3))
		fmt.Println(statefuntest.State(h, adder.At("a"), sum))
	}
	// Output:
	// 6 true
	// 6 true
	// 6 true
}

func ExampleHarness_Advance() {
	const alarm statefun.TypeName = "example/alarm"
	h := statefuntest.New(nil, statefun.Function{Type: alarm, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		if statefun.String.Is(m) {
			fmt.Println("ringing at", ctx.Now().Format(time.Kitchen))
			return nil
		}
		ctx.SendAfter(8*time.Hour, ctx.Self(), statefun.String.Of("ring"))
		return nil
	}})
	h.Send(alarm.At("bedside"), statefun.Bool.Of(true))
	fmt.Println(len(h.Delayed()), "waiting")
	h.Advance(24 * time.Hour)
	// Output:
	// 1 waiting
	// ringing at 8:00AM
}
