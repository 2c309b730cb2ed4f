// Command embedded is the benchmark's program with functions and worker in one process.
//
// bench/counter counts the records of its id in its state, writes the count into the value and sends it to the egress
// topic; bench/hop0 … bench/hop3 do the same, but the first three pass the value on to the next hop. bench/ring counts too:
// a record that comes to an address sets out messages that go round the ring of all addresses from one to the next, and
// an address that has counted all that will ever come to it sends its count to the egress topic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// options are the command's flags.
type options struct {
	brokers, app, in, out, target, dir string
	profile                            string
	commitInterval                     time.Duration
	ring                               ring
}

// lastHop is the number of the hop that writes to the egress.
const lastHop = 3

const egress statefun.TypeName = "bench/out"

var (
	values = statefun.Bytes("bench/record")
	count  = statefun.Value[int64]("count")
)

func main() {
	var o options
	flag.StringVar(&o.brokers, "brokers", "", "bootstrap addresses")
	flag.StringVar(&o.app, "app", "bench", "application id")
	flag.StringVar(&o.in, "topic", "", "topic to read")
	flag.StringVar(&o.out, "egress-topic", "", "topic that the functions write to")
	flag.StringVar(&o.target, "target", "bench/counter", "function that the records go to")
	flag.StringVar(&o.dir, "state-dir", "", "folder of the state")
	flag.StringVar(&o.profile, "profile", "", "write the profiles NAME.cpu and NAME.allocs, of the whole life of the process")
	flag.DurationVar(&o.commitInterval, "commit-interval", 0, "least time between two commits")
	flag.IntVar(&o.ring.addresses, "ring-addresses", 1000, "addresses of the ring")
	flag.IntVar(&o.ring.messages, "ring-messages", 4, "messages that set out from each of them")
	flag.Int64Var(&o.ring.hops, "ring-hops", 100, "addresses that each of these goes to")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	end, err := profiling(o.profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	app := embedded.New(o.app, embedded.Options{
		Brokers: []string{o.brokers}, StateDir: o.dir, WorkerID: "bench", CommitInterval: o.commitInterval,
	})
	app.Ingress(embedded.Topics("bench/in", values, embedded.ByKey[[]byte](statefun.TypeName(o.target)), o.in).FromEarliest())
	for name, f := range functions(o) {
		app.Function(statefun.Function{Type: statefun.TypeName(name), States: []statefun.State{count}, Invoke: f})
	}
	app.Egress(egress)
	return app.Run(ctx)
}

// functions are all functions by name.
func functions(o options) map[string]func(*statefun.Context, statefun.Message) error {
	out := func(ctx *statefun.Context, value []byte) error {
		ctx.Egress(egress, statefun.KafkaRecord{Topic: o.out, Key: ctx.Self().ID, Value: value})
		return nil
	}
	all := map[string]func(*statefun.Context, statefun.Message) error{"bench/counter": counting(out), "bench/ring": o.ring.turn(out)}
	for n := range lastHop {
		next := statefun.TypeName(hopName(n + 1))
		all[hopName(n)] = counting(func(ctx *statefun.Context, value []byte) error {
			ctx.Send(next.At(ctx.Self().ID), values.Of(value))
			return nil
		})
	}
	all[hopName(lastHop)] = counting(out)
	return all
}

func hopName(n int) string { return fmt.Sprintf("bench/hop%d", n) }

// counting returns the function that counts and hands the value to next.
func counting(next func(*statefun.Context, []byte) error) func(*statefun.Context, statefun.Message) error {
	return func(ctx *statefun.Context, m statefun.Message) error {
		n, err := count.Get(ctx)
		if err != nil {
			return err
		}
		count.Set(ctx, n+1)
		value, err := values.From(m)
		if err != nil {
			return err
		}
		record.SetCount(value, n+1)
		return next(ctx, value)
	}
}

// profiling begins to write profiles to files that begin with that name; the result ends it.
func profiling(name string) (end func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(name + ".cpu")
	if err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		allocations, err := os.Create(name + ".allocs")
		if err == nil {
			err = errors.Join(pprof.Lookup("allocs").WriteTo(allocations, 0), allocations.Close())
		}
		return errors.Join(file.Close(), err)
	}, nil
}
