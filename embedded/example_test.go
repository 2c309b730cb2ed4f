package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// dev are the options of all examples: a broker in this process, and no log.
func dev() embedded.Options {
	return embedded.Options{DevBroker: true, Logger: slog.New(slog.DiscardHandler)}
}

// during runs an application for as long as main runs.
func during(app *embedded.App, main func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	main(ctx)
	cancel()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
}

// A program appends names, a function counts how often each has come, and a callback greets.
func Example() {
	const greeter statefun.TypeName = "example/greeter"
	visits := statefun.Value[int64]("visits")

	app := embedded.New("greeter", embedded.Options{DevBroker: true, Logger: slog.New(slog.DiscardHandler)})
	names := embedded.Go("example/names", statefun.Bool, embedded.ByKey[bool](greeter))
	app.Ingress(names)
	app.Function(statefun.Function{Type: greeter, States: []statefun.State{visits}, Invoke: func(ctx *statefun.Context, _ statefun.Message) error {
		n, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		visits.Set(ctx, n+1)
		ctx.Egress("example/greets", statefun.String.Of(fmt.Sprintf("Hello %s, visit number %d", ctx.Self().ID, n+1)))
		return nil
	}})
	greetings := make(chan string)
	embedded.Sink(app, "example/greets", statefun.String, func(ctx context.Context, d embedded.Delivery[string]) error {
		greetings <- d.Value
		return nil
	})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	for _, name := range []string{"Ada", "Grace", "Ada"} {
		if err := names.Append(ctx, name, true); err != nil {
			fmt.Println(err)
		}
		fmt.Println(<-greetings)
	}
	cancel()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// Hello Ada, visit number 1
	// Hello Grace, visit number 1
	// Hello Ada, visit number 2
}

// All problems of an application are told at once, each with the line of its call.
func ExampleApp_Run() {
	app := embedded.New("greeter", dev())
	app.Ingress(embedded.Topics("example/names", text, embedded.ByKey[[]byte]("example/greter"), "names"))
	app.Remote("example/greeter", "localhost:8000", embedded.MaxBatch(0))
	err := app.Run(context.Background())
	for line := range strings.SplitSeq(strings.TrimPrefix(err.Error(), "run application greeter: "), "\n") {
		_, problem, _ := strings.Cut(line, ": ") // in front of it stands FILE:LINE
		fmt.Println(problem)
	}
	// Output:
	// ingress example/names sends to example/greter, which no function of the application serves (did you mean "example/greeter"?)
	// function "example/greeter": MaxBatch(0): a call carries at least one message
	// functions example/greeter: the URL has scheme "localhost": use http, https or http+unix
}

// A record may be routed by what is in it, to any number of instances.
func ExampleTopics() {
	type transfer struct {
		From, To string
		Cents    int64
	}
	transferType := statefun.JSON[transfer]("bank/Transfer")
	const account statefun.TypeName = "bank/account"

	app := embedded.New("bank", dev())
	app.Ingress(embedded.Topics("bank/transfers", transferType, func(r embedded.Record[transfer], to *embedded.Router) error {
		if r.Value.Cents <= 0 {
			return fmt.Errorf("a transfer of %d cents", r.Value.Cents) // the record goes to the dead-letter topic
		}
		to.Send(account.At(r.Value.From), statefun.Int64.Of(-r.Value.Cents))
		to.Send(account.At(r.Value.To), statefun.Int64.Of(r.Value.Cents))
		return nil
	}, "transfers").FromEarliest().OnInvalid(embedded.DeadLetter))
	app.Function(statefun.Function{Type: account, Invoke: func(*statefun.Context, statefun.Message) error { return nil }})
	during(app, func(ctx context.Context) {
		brokers, err := app.Brokers(ctx)
		fmt.Println(len(brokers), err)
	})
	// Output: 1 <nil>
}

// When Append returns, the record is durable.
func ExampleGoIngress_Append() {
	clicks := embedded.Go("shop/clicks", statefun.String, embedded.ByKey[string]("shop/session"))
	app := embedded.New("shop", dev())
	app.Ingress(clicks)
	app.Function(statefun.Function{Type: "shop/session", Invoke: func(*statefun.Context, statefun.Message) error { return nil }})
	during(app, func(ctx context.Context) {
		fmt.Println(clicks.Append(ctx, "session-7", "/cart"))
	})
	err := clicks.Append(context.Background(), "session-7", "/pay")
	fmt.Println(err, errors.Is(err, embedded.ErrStopped))
	// Output:
	// <nil>
	// append to ingress shop/clicks: the application has stopped true
}

// AppendAsync is for many records a second.
func ExampleGoIngress_AppendAsync() {
	clicks := embedded.Go("shop/clicks", statefun.Int32, embedded.ByKey[int32]("shop/session"))
	app := embedded.New("shop", dev())
	app.Ingress(clicks)
	app.Function(statefun.Function{Type: "shop/session", Invoke: func(*statefun.Context, statefun.Message) error { return nil }})
	during(app, func(ctx context.Context) {
		failed := make(chan error, 1000)
		for n := range int32(1000) {
			clicks.AppendAsync(ctx, fmt.Sprint("session-", n%10), n, func(err error) { failed <- err })
		}
		for range 1000 {
			if err := <-failed; err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println("all are durable")
	})
	// Output: all are durable
}

// Functions in any language stand behind HTTP, beside those in the process.
func ExampleApp_Remote() {
	handler, err := statefun.NewHandler(statefun.Function{Type: "shop/mail", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		subject, err := statefun.String.From(m)
		ctx.Egress("shop/sent", statefun.String.Of("to "+ctx.Self().ID+": "+subject))
		return err
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(handler) // elsewhere, and in Python perhaps
	defer server.Close()

	app := embedded.New("shop", dev())
	orders := embedded.Go("shop/orders", statefun.String, embedded.ByKey[string]("shop/order"))
	app.Ingress(orders)
	app.Function(statefun.Function{Type: "shop/order", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Send(statefun.TypeName("shop/mail").At(ctx.Self().ID), m.TypedValue())
		return nil
	}})
	app.Remote("shop/mail", server.URL+"/statefun", embedded.CallTimeout(15*time.Second), embedded.MaxBatch(500),
		embedded.OnFailure(embedded.DeadLetter))
	sent := make(chan string, 1)
	embedded.Sink(app, "shop/sent", statefun.String, func(_ context.Context, d embedded.Delivery[string]) error {
		sent <- d.Value
		return nil
	})
	during(app, func(ctx context.Context) {
		fmt.Println(orders.Append(ctx, "ada", "your order"))
		fmt.Println(<-sent)
	})
	// Output:
	// <nil>
	// to ada: your order
}

// A callback gets values at least once. One that may happen once only remembers the IDs.
func ExampleSink() {
	app := embedded.New("bank", dev())
	readings := embedded.Go("bank/readings", statefun.Int64, embedded.ByKey[int64]("bank/watch"))
	app.Ingress(readings)
	app.Function(statefun.Function{Type: "bank/watch", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Egress("bank/alarm", m.TypedValue())
		return nil
	}})
	done := map[string]bool{} // in a database, in the transaction of what the callback does
	attempts := make(chan string, 10)
	embedded.Sink(app, "bank/alarm", statefun.Int64, func(ctx context.Context, d embedded.Delivery[int64]) error {
		if d.Value < 0 {
			attempts <- "refused"
			return embedded.Refuse(errors.New("less than nothing")) // to the dead-letter topic
		}
		if !done[d.ID] {
			done[d.ID] = true
			attempts <- fmt.Sprintf("alarm of %s: %d", d.Sender, d.Value)
			return errors.New("lost after it was done") // it comes again
		}
		attempts <- "the same again"
		return nil
	})
	during(app, func(ctx context.Context) {
		for _, n := range []int64{7, -1} {
			fmt.Println(readings.Append(ctx, "meter-1", n))
		}
		for range 3 {
			fmt.Println(<-attempts)
		}
	})
	// Output:
	// <nil>
	// <nil>
	// alarm of meter-1: 7
	// the same again
	// refused
}

// The state of an instance can be read in the process that owns it.
func ExampleApp_View() {
	const counter statefun.TypeName = "example/counter"
	total := statefun.Value[int64]("total")
	app := embedded.New("counters", dev())
	numbers := embedded.Go("example/numbers", statefun.Int64, embedded.ByKey[int64](counter))
	app.Ingress(numbers)
	app.Function(statefun.Function{Type: counter, States: []statefun.State{total}, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		n, err := statefun.Int64.From(m)
		if err != nil {
			return err
		}
		before, err := total.Get(ctx)
		total.Set(ctx, before+n)
		ctx.Egress("example/counted", m.TypedValue())
		return err
	}})
	counted := make(chan bool, 2)
	embedded.Sink(app, "example/counted", statefun.Int64, func(context.Context, embedded.Delivery[int64]) error {
		counted <- true
		return nil
	})
	during(app, func(ctx context.Context) {
		for _, n := range []int64{40, 2} {
			if err := numbers.Append(ctx, "a", n); err != nil {
				fmt.Println(err)
			}
			<-counted
		}
		view, err := app.View(ctx, counter.At("a"))
		if err != nil {
			fmt.Println(err)
		}
		n, present, err := embedded.Read(view, total)
		fmt.Println(n, present, err)
	})
	// Output: 42 true <nil>
}
