package statefun_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

// A whole program: signal.NotifyContext makes a context that ends when the program is told to.
func ExampleServe() {
	echo := statefun.Function{Type: "example/echo", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Reply(m.TypedValue())
		return nil
	}}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	fmt.Println(statefun.Serve(ctx, "127.0.0.1:0", echo))
	// Output: <nil>
}

// A Case is one branch of ByType.
func ExampleOn() {
	const door statefun.TypeName = "home/door"
	greeting := statefun.On(statefun.String, func(ctx *statefun.Context, name string) error {
		fmt.Println("come in,", name)
		return nil
	})
	count := statefun.On(statefun.Int32, func(ctx *statefun.Context, n int32) error {
		fmt.Println(n, "at the door")
		return nil
	})
	h := statefuntest.New(nil, statefun.Function{Type: door, Invoke: statefun.ByType(greeting, count)})
	h.Send(door.At("front"), statefun.Int32.Of(2))
	h.Send(door.At("front"), statefun.String.Of("Ada"))
	// Output:
	// 2 at the door
	// come in, Ada
}

// An Expiration counts from the last write, or from the last call.
func ExampleExpireAfterInvoke() {
	const session statefun.TypeName = "web/session"
	clicks := statefun.Value[int32]("clicks", statefun.ExpireAfterInvoke(time.Hour))
	h := statefuntest.New(nil, statefun.Function{Type: session, States: []statefun.State{clicks},
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			n, err := clicks.Get(ctx)
			clicks.Set(ctx, n+1)
			fmt.Println(n + 1)
			return err
		}})
	for _, pause := range []time.Duration{0, 50 * time.Minute, 50 * time.Minute, time.Hour} {
		h.Advance(pause)
		h.Send(session.At("s1"), statefun.Bool.Of(true))
	}
	// Output:
	// 1
	// 2
	// 3
	// 1
}

// Headers travel with a message, from ingress to function, from function to function, and into a Kafka record.
func ExampleHeader() {
	const first, second statefun.TypeName = "example/first", "example/second"
	h := statefuntest.New(nil,
		statefun.Function{Type: first, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			ctx.Send(second.At("1"), statefun.Bool.Of(true).WithHeaders(m.Headers()...))
			return nil
		}},
		statefun.Function{Type: second, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			for _, h := range m.Headers() {
				fmt.Printf("%s: %s\n", h.Key, h.Value)
			}
			return nil
		}})
	h.Send(first.At("1"), statefun.String.Of("x").WithHeaders(statefun.Header{Key: "traceparent", Value: []byte("00-ab-cd-01")}))
	// Output: traceparent: 00-ab-cd-01
}

// Where a record lies in Kafka, as an ingress with forwardHeaders tells it.
func ExampleOrigin() {
	const audit statefun.TypeName = "example/audit"
	h := statefuntest.New(nil, statefun.Function{Type: audit, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		o := m.Origin()
		fmt.Printf("%s, partition %d, offset %d, written %s\n", o.Topic, o.Partition, o.Offset, o.Timestamp.UTC().Format(time.DateTime))
		return nil
	}})
	h.Send(audit.At("1"), statefuntest.Forwarded(statefun.String.Of("x"), statefun.Origin{Topic: "orders", Partition: 2, Offset: 17,
		Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}))
	// Output: orders, partition 2, offset 17, written 2026-01-02 03:04:05
}

// An absent protobuf state reads as an empty message.
func ExampleProtobuf() {
	const alarm statefun.TypeName = "example/alarm"
	rings := statefun.ValueOf("rings", statefun.Protobuf[*timestamppb.Timestamp]())
	h := statefuntest.New(nil, statefun.Function{Type: alarm, States: []statefun.State{rings},
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			at, err := rings.Get(ctx)
			fmt.Println(at.GetSeconds())
			rings.Set(ctx, &timestamppb.Timestamp{Seconds: at.GetSeconds() + 60})
			return err
		}})
	h.Send(alarm.At("a"), statefun.Bool.Of(true))
	h.Send(alarm.At("a"), statefun.Bool.Of(true))
	fmt.Println(rings.Type().Name())
	// Output:
	// 0
	// 60
	// type.googleapis.com/google.protobuf.Timestamp
}

// A delayed message is as durable as state.
func ExampleContext_SendAfter() {
	const order statefun.TypeName = "shop/order"
	overdue := statefun.JSON[struct{}]("shop/Overdue")
	h := statefuntest.New(nil, statefun.Function{Type: order, Invoke: statefun.ByType(
		statefun.On(statefun.String, func(ctx *statefun.Context, item string) error {
			ctx.SendAfter(14*24*time.Hour, ctx.Self(), overdue.Of(struct{}{}))
			return nil
		}),
		statefun.On(overdue, func(ctx *statefun.Context, _ struct{}) error {
			fmt.Println(ctx.Self().ID, "is overdue on", ctx.Now().Format(time.DateOnly))
			return nil
		}),
	)})
	h.Send(order.At("o-1"), statefun.String.Of("tea"))
	h.Advance(30 * 24 * time.Hour)
	// Output: o-1 is overdue on 2000-01-15
}
