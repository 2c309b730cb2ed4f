package statefun_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

// Each name is an instance of its own, with a counter of its own.
func Example() {
	const greeter statefun.TypeName = "example/greeter"
	visits := statefun.Value[int64]("visits")

	greet := func(ctx *statefun.Context, m statefun.Message) error {
		n, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		visits.Set(ctx, n+1)
		ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID,
			Value: fmt.Appendf(nil, "Hello %s, visit number %d", ctx.Self().ID, n+1)})
		return nil
	}

	h := statefuntest.New(nil, statefun.Function{Type: greeter, States: []statefun.State{visits}, Invoke: greet})
	for _, name := range []string{"Ada", "Grace", "Ada"} {
		h.Send(greeter.At(name), statefun.String.Of("hello"))
	}
	for _, r := range h.Kafka("example/greets") {
		fmt.Printf("%s\n", r.Value)
	}
	// Output:
	// Hello Ada, visit number 1
	// Hello Grace, visit number 1
	// Hello Ada, visit number 2
}

// A Handler goes into any HTTP server, under any path.
func ExampleHandler() {
	handler, err := statefun.NewHandler(statefun.Function{
		Type:   "example/echo",
		Invoke: func(ctx *statefun.Context, m statefun.Message) error { return nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler.Timeout = 30 * time.Second

	mux := http.NewServeMux()
	mux.Handle("/statefun", handler)
	server := httptest.NewServer(mux) // or http.ListenAndServe("127.0.0.1:8000", mux)
	defer server.Close()

	response, err := http.Get(server.URL + "/statefun") // a runtime would POST
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output: 405 Method Not Allowed
}

// All faults are told at once.
func ExampleNewHandler() {
	_, err := statefun.NewHandler(
		statefun.Function{Type: "greeter"},
		statefun.Function{Type: "example/cart", Invoke: func(*statefun.Context, statefun.Message) error { return nil },
			States: []statefun.State{statefun.Value[int64]("number of items")}})
	fmt.Println(err)
	// Output:
	// function "greeter": type name "greeter" is not of the form namespace/name
	// Invoke is nil
	// function "example/cart": state "number of items": the name must be letters, digits and _, and begin with no digit
}

// One function can serve a whole namespace.
func ExampleFunction() {
	h := statefuntest.New(nil, statefun.Function{
		Type: "audit/*",
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			fmt.Println("called as", ctx.Self())
			return nil
		},
	})
	h.Send(statefun.TypeName("audit/orders").At("7"), statefun.Bool.Of(true))
	h.Send(statefun.TypeName("audit/payments").At("7"), statefun.Bool.Of(true))
	// Output:
	// called as audit/orders/7
	// called as audit/payments/7
}

// A function that understands several types of message has a case for each.
func ExampleByType() {
	type deposit struct{ Cents int64 }
	depositType := statefun.JSON[deposit]("bank/Deposit")
	const account statefun.TypeName = "bank/account"
	balance := statefun.Value[int64]("balance")

	h := statefuntest.New(nil, statefun.Function{
		Type:   account,
		States: []statefun.State{balance},
		Invoke: statefun.ByType(
			statefun.On(depositType, func(ctx *statefun.Context, d deposit) error {
				cents, err := balance.Get(ctx)
				if err != nil {
					return err
				}
				balance.Set(ctx, cents+d.Cents)
				return nil
			}),
			statefun.Otherwise(func(ctx *statefun.Context, m statefun.Message) error {
				fmt.Println("ignored:", m.Type())
				return nil
			}),
		),
	})
	h.Send(account.At("ada"), depositType.Of(deposit{Cents: 500}))
	h.Send(account.At("ada"), statefun.String.Of("how much?"))
	cents, _ := statefuntest.State(h, account.At("ada"), balance)
	fmt.Println(cents)
	// Output:
	// ignored: io.statefun.types/string
	// 500
}

// A value may be forgotten some time after its last use.
func ExampleValueSpec() {
	const session statefun.TypeName = "web/session"
	user := statefun.Value[string]("user", statefun.ExpireAfterWrite(30*time.Minute))

	h := statefuntest.New(nil, statefun.Function{
		Type:   session,
		States: []statefun.State{user},
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			name, loggedIn, err := user.Lookup(ctx)
			if err != nil {
				return err
			}
			if loggedIn {
				fmt.Println("still", name)
				return nil
			}
			fmt.Println("nobody yet")
			user.Set(ctx, "Ada")
			return nil
		},
	})
	at := session.At("s1")
	h.Send(at, statefun.Bool.Of(true))
	h.Send(at, statefun.Bool.Of(true))
	h.Advance(time.Hour)
	h.Send(at, statefun.Bool.Of(true))
	// Output:
	// nobody yet
	// still Ada
	// nobody yet
}

// A state whose name is known at run time only is not declared: the runtime is asked for it when it is used first.
func ExampleValue_dynamic() {
	const tally statefun.TypeName = "example/tally"
	h := statefuntest.New(nil, statefun.Function{
		Type: tally,
		Invoke: statefun.ByType(statefun.On(statefun.String, func(ctx *statefun.Context, word string) error {
			count := statefun.Value[int32]("count_" + word)
			n, err := count.Get(ctx)
			if err != nil {
				return err
			}
			count.Set(ctx, n+1)
			fmt.Println(word, n+1)
			return nil
		})),
	})
	h.SendAll(tally.At("book"), statefun.String.Of("tea"), statefun.String.Of("milk"), statefun.String.Of("tea"))
	// Output:
	// tea 1
	// milk 1
	// tea 2
}

// A question and its answer are two messages.
func ExampleContext() {
	const asker, stock statefun.TypeName = "shop/asker", "shop/stock"
	h := statefuntest.New(nil,
		statefun.Function{Type: asker, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			if caller, ok := ctx.Caller(); ok {
				n, err := statefun.Int32.From(m)
				fmt.Println(caller, "says", n)
				return err
			}
			ctx.Send(stock.At("tea"), m.TypedValue())
			return nil
		}},
		statefun.Function{Type: stock, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			ctx.Reply(statefun.Int32.Of(12))
			return nil
		}})
	h.Send(asker.At("ada"), statefun.String.Of("how many?"))
	// Output: shop/stock/tea says 12
}

// A delayed message can be cancelled as long as it waits.
func ExampleContext_Cancel() {
	const cart statefun.TypeName = "shop/cart"
	reminder := statefun.JSON[struct{}]("shop/Reminder")
	h := statefuntest.New(nil, statefun.Function{
		Type: cart,
		Invoke: statefun.ByType(
			statefun.On(statefun.String, func(ctx *statefun.Context, item string) error {
				ctx.Cancel("reminder") // of the item before, if there is one
				ctx.SendAfterWithToken(time.Hour, ctx.Self(), reminder.Of(struct{}{}), "reminder")
				return nil
			}),
			statefun.On(reminder, func(ctx *statefun.Context, _ struct{}) error {
				fmt.Println("reminded at", ctx.Now().Format(time.TimeOnly))
				return nil
			})),
	})
	h.Send(cart.At("c1"), statefun.String.Of("tea"))
	h.Advance(40 * time.Minute)
	h.Send(cart.At("c1"), statefun.String.Of("milk"))
	h.Advance(40 * time.Minute)
	h.Advance(40 * time.Minute)
	// Output: reminded at 01:40:00
}

// A Context is a context.Context, to be given to whatever the function calls.
func ExampleContext_WithContext() {
	h := statefuntest.New(nil, statefun.Function{
		Type: "example/slow",
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			limited, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			<-limited.Done() // a call to a service that hangs
			derived := ctx.WithContext(limited)
			fmt.Println(derived.Self(), errors.Is(derived.Err(), context.DeadlineExceeded))
			return nil
		},
	})
	h.Send(statefun.TypeName("example/slow").At("1"), statefun.Bool.Of(true))
	// Output: example/slow/1 true
}

// A function may pass on the headers of what it got.
func ExampleKafkaRecord() {
	const copier statefun.TypeName = "example/copier"
	h := statefuntest.New(nil, statefun.Function{
		Type: copier,
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			ctx.Egress("example/out", statefun.KafkaRecord{Topic: "out", Key: ctx.Self().ID, Value: m.Bytes(),
				Headers: m.Headers(), Timestamp: m.Origin().Timestamp})
			return nil
		},
	})
	text := statefun.Bytes("example/text")
	h.Send(copier.At("k"), text.Of([]byte("v")).WithHeaders(statefun.Header{Key: "traceparent", Value: []byte("00-ab-cd-01")}))
	for _, r := range h.Kafka("example/out") {
		fmt.Printf("%s: %s=%s, %s: %s\n", r.Topic, r.Key, r.Value, r.Headers[0].Key, r.Headers[0].Value)
	}
	// Output: out: k=v, traceparent: 00-ab-cd-01
}

// Runtimes that have a Kinesis egress take this.
func ExampleKinesisRecord() {
	h := statefuntest.New(nil, statefun.Function{
		Type: "example/streamer",
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			ctx.Egress("example/kinesis", statefun.KinesisRecord{Stream: "s", PartitionKey: ctx.Self().ID, Value: []byte("v")})
			return nil
		},
	})
	h.Send(statefun.TypeName("example/streamer").At("p"), statefun.Bool.Of(true))
	fmt.Println(h.Kinesis("example/kinesis")[0].PartitionKey)
	// Output: p
}

// A Message knows its type, its headers and where it came from, if the runtime forwards that.
func ExampleMessage() {
	h := statefuntest.New(nil, statefun.Function{
		Type: "example/f",
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			id, found := m.Header("request-id")
			fmt.Println(m.Type(), string(id), found, m.Origin().Partition)
			return nil
		},
	})
	h.Send(statefun.TypeName("example/f").At("1"),
		statefun.Int64.Of(7).WithHeaders(statefun.Header{Key: "request-id", Value: []byte("r-1")}))
	// Output: io.statefun.types/long r-1 true -1
}

// A TypedValue that cannot be encoded makes the call fail in which it is sent.
func ExampleTypedValue() {
	v := statefun.String.Of("tea")
	encoded, err := v.AppendBinary(nil)
	fmt.Println(len(encoded), err)
	_, err = statefun.String.Of("\xff").AppendBinary(nil)
	fmt.Println(err)
	// Output:
	// 35 <nil>
	// the string is not UTF-8: use Bytes for such values
}

func ExampleTypeName() {
	const cart statefun.TypeName = "shop/cart"
	namespace, name, err := cart.Split()
	fmt.Println(namespace, name, err)
	fmt.Println(cart.At("c1"))
	// Output:
	// shop cart <nil>
	// shop/cart/c1
}

func ExampleAddress() {
	a := statefun.Address{Type: "shop/cart", ID: "c1"}
	fmt.Println(a, a == statefun.TypeName("shop/cart").At("c1"))
	// Output: shop/cart/c1 true
}

// A codec of one's own: a list of words.
type wordsCodec struct{}

func (wordsCodec) Append(dst []byte, words []string) ([]byte, error) {
	return append(dst, strings.Join(words, " ")...), nil
}

func (wordsCodec) Decode(src []byte) ([]string, error) { return strings.Fields(string(src)), nil }

func ExampleCodec() {
	words := statefun.NewType("example/words", wordsCodec{})
	encoded, err := words.Encode([]string{"to", "be"})
	fmt.Printf("%s %v\n", encoded, err)
	// Output: to be <nil>
}

func ExampleType() {
	type point struct{ X, Y int }
	points := statefun.JSON[point]("example/Point")
	encoded, err := points.Encode(point{1, 2})
	fmt.Printf("%s %v\n", encoded, err)
	// Output: {"X":1,"Y":2} <nil>
}

func ExamplePanicError() {
	h := statefuntest.New(nil, statefun.Function{Type: "example/careless", Invoke: func(*statefun.Context, statefun.Message) error {
		panic("out of paper")
	}})
	err := h.Try(statefun.TypeName("example/careless").At("1"), statefun.Bool.Of(true))
	var panicked *statefun.PanicError
	fmt.Println(errors.As(err, &panicked), panicked.Value)
	// Output: true out of paper
}
