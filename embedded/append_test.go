package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// counterApp counts what is appended to names.
func counterApp(o embedded.Options) (*embedded.App, *embedded.GoIngress[[]byte]) {
	app := embedded.New("counter", o)
	names := embedded.Go("example/names", text, embedded.ByKey[[]byte](greeterType))
	app.Ingress(names)
	app.Function(greeter)
	app.Egress("example/greets")
	return app, names
}

func TestAnAppendBeforeRunWaitsForIt(t *testing.T) {
	app, names := counterApp(quiet(t))
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := names.Append(short, "Ada", nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "has not begun to run") {
		t.Errorf("without a Run: %v", err)
	}
	appended := make(chan error, 1)
	go func() { appended <- names.Append(within(t), "Ada", nil) }()
	start(t, app)
	if err := <-appended; err != nil {
		t.Error(err)
	}
	readerOf(t, brokersOf(t, app), "greetings").next(1)
}

func TestAnAppendAfterTheEndIsRefused(t *testing.T) {
	app, names := counterApp(quiet(t))
	start(t, app)()
	if err := names.Append(within(t), "Ada", nil); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
	broken, names := counterApp(embedded.Options{Logger: testLog()})
	if err := broken.Run(within(t)); err == nil {
		t.Error("an application without brokers runs")
	}
	if err := names.Append(within(t), "Ada", nil); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("of an application that never ran: %v", err)
	}
}

func TestAValueThatCannotBeAppendedIsRefusedAtOnce(t *testing.T) {
	app := embedded.New("counter", quiet(t))
	words := embedded.Go("example/words", statefun.String, embedded.ByKey[string](greeterType))
	app.Ingress(words)
	app.Function(greeter)
	app.Egress("example/greets")
	start(t, app)
	for key, value := range map[string]string{"\xff": "text", "Ada": "\xff"} {
		if err := words.Append(within(t), key, value); err == nil || !strings.Contains(err.Error(), "append to ingress example/words: ") {
			t.Errorf("%q=%q: %v", key, value, err)
		}
	}
	if err := words.Append(within(t), "Ada", strings.Repeat("large", 1<<20)); err == nil || errors.Is(err, embedded.ErrUncertain) {
		t.Errorf("a record that no broker takes: %v", err)
	}
}

// TestAppendsOfAKeyStayInOrderAndAllAreTold appends more than the buffer takes, from several goroutines.
func TestAppendsOfAKeyStayInOrderAndAllAreTold(t *testing.T) {
	const each, keys = 4_000, 4
	app := embedded.New("counter", quiet(t))
	numbers := embedded.Go("example/numbers", statefun.Int64, embedded.ByKey[int64](greeterType))
	app.Ingress(numbers)
	last := statefun.Value[int64]("last")
	app.Function(statefun.Function{Type: greeterType, States: []statefun.State{last}, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		n, err := statefun.Int64.From(m)
		if err != nil {
			return err
		}
		before, err := last.Get(ctx)
		if n != before+1 {
			ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID, Value: fmt.Appendf(nil, "%d after %d", n, before)})
		} else if n == each {
			ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID, Value: []byte("all")})
		}
		last.Set(ctx, n)
		return err
	}})
	app.Egress("example/greets")
	stop := start(t, app)
	var appending sync.WaitGroup
	var mu sync.Mutex
	ended, order := 0, map[string]int64{}
	for k := range keys {
		appending.Go(func() {
			key := fmt.Sprint("key-", k)
			for n := int64(1); n <= each; n++ {
				numbers.AppendAsync(within(t), key, n, func(err error) {
					mu.Lock()
					defer mu.Unlock()
					if ended++; err != nil || order[key] != n-1 {
						t.Errorf("record %d of %s was told after %d: %v", n, key, order[key], err)
					}
					order[key] = n
				})
			}
		})
	}
	appending.Wait()
	for _, r := range readerOf(t, brokersOf(t, app), "greetings").next(keys) {
		if string(r.Value) != "all" {
			t.Errorf("%s: %s", r.Key, r.Value)
		}
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	if ended != each*keys {
		t.Errorf("%d of %d appends were told their end", ended, each*keys)
	}
}

func TestEveryAppendIsToldItsEndBeforeRunReturns(t *testing.T) {
	app, names := counterApp(quiet(t))
	stop := start(t, app)
	var mu sync.Mutex
	taken, ended, durable := 0, 0, 0
	full := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for stopped := false; !stopped; {
			answered := make(chan error, 1)
			names.AppendAsync(within(t), "Ada", nil, func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if ended++; err == nil {
					durable++
				}
				answered <- err
			})
			mu.Lock()
			if taken++; taken == 1000 {
				close(full)
			}
			mu.Unlock()
			select {
			case err := <-answered:
				stopped = errors.Is(err, embedded.ErrStopped)
			default:
			}
		}
	}()
	<-full
	stop()
	mu.Lock()
	open := durable
	mu.Unlock()
	<-done
	mu.Lock()
	defer mu.Unlock()
	if taken != ended || durable != open || durable < 1000 {
		t.Errorf("%d appends, %d told, %d of these durable, %d when Run had returned", taken, ended, durable, open)
	}
}

// TestARecordIsAppendedToThePartitionOfItsOwner looks at the topic of the application's own.
func TestARecordIsAppendedToThePartitionOfItsOwner(t *testing.T) {
	o := quiet(t, startBroker(t, "greetings"))
	o.Partitions = 7
	app, names := counterApp(o)
	start(t, app)
	in := readerOf(t, o.Brokers, "counter-ingress-names")
	for i := range 20 {
		if err := names.Append(within(t), fmt.Sprint("name-", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int32]bool{}
	for _, r := range in.next(20) {
		if want := router.Partition(string(r.Key), 7); r.Partition != want {
			t.Errorf("%s lies in partition %d, its owner is that of %d", r.Key, r.Partition, want)
		}
		seen[r.Partition] = true
	}
	if len(seen) < 4 {
		t.Errorf("only %d partitions are used", len(seen))
	}
}

func TestAnAppendWhoseContextEndsSaysThatNobodyKnows(t *testing.T) {
	app, names := counterApp(quiet(t, startBroker(t, "greetings")))
	start(t, app)
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	err := names.Append(ctx, "Ada", nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, embedded.ErrUncertain) {
		t.Errorf("with a context that is done: %v", err)
	}
}

// What waits behind a done that does not return cannot be told its end, and Run returns all the same.
func TestRunDoesNotWaitForADoneThatDoesNotReturn(t *testing.T) {
	for what, hang := range map[string]func(release chan struct{}){
		"blocks": func(release chan struct{}) { <-release }, "ends its goroutine": func(chan struct{}) { runtime.Goexit() },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			release, called := make(chan struct{}), make(chan struct{})
			t.Cleanup(func() { close(release) })
			app, names := counterApp(quiet(t))
			stop := start(t, app)
			names.AppendAsync(within(t), "Ada", nil, func(error) {
				close(called)
				hang(release)
			})
			<-called
			names.AppendAsync(within(t), "Bob", nil, func(error) {})
			stop()
		})
	}
}

func TestAppendsAreMadeWithTheShortestSettingsThatAreTaken(t *testing.T) {
	o := quiet(t)
	o.Properties = map[string]string{"metadata.max.age.ms": "50"}
	app, names := counterApp(o)
	start(t, app)
	if err := names.Append(within(t), "Ada", nil); err != nil {
		t.Error(err)
	}
}
