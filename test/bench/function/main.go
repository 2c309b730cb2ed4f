// Command function serves the benchmark's functions on the official Go SDK, in a process of its own.
//
// bench/counter counts the records of its id in its state, writes the count into the value and sends it to the
// egress topic. bench/hop0 … bench/hop3 do the same, but the first three pass the value on to the next hop.
// bench/sleeper counts too and sleeps before it answers. bench/storm0 sends one message to each of many bench/storm1,
// each of which does so to bench/storm2, which counts.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// lastHop is the number of the hop that writes to the egress.
const lastHop = 3

// rawType carries a record's value as it is.
type rawType struct{ name statefun.TypeName }

// GetTypeName is part of statefun.SimpleType.
func (r rawType) GetTypeName() statefun.TypeName { return r.name }

// Deserialize is part of statefun.SimpleType.
func (r rawType) Deserialize(from io.Reader, receiver any) error {
	b, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("read a value: %w", err)
	}
	to, ok := receiver.(*[]byte)
	if !ok {
		return fmt.Errorf("receiver of a value is a %T, want *[]byte", receiver)
	}
	*to = b
	return nil
}

// Serialize is part of statefun.SimpleType.
func (r rawType) Serialize(to io.Writer, data any) error {
	b, ok := data.([]byte)
	if !ok {
		return fmt.Errorf("value is a %T, want []byte", data)
	}
	_, err := to.Write(b)
	return err
}

var (
	recordType = rawType{statefun.TypeNameFrom("bench/record")}
	egress     = statefun.TypeNameFrom("bench/out")
	count      = statefun.ValueSpec{Name: "count", ValueType: statefun.Int64Type}
)

// meter counts what the runtime asked for, so that the report can tell how many inputs one call carried.
type meter struct{ calls, invocations atomic.Int64 }

func (m *meter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]int64{"calls": m.calls.Load(), "invocations": m.invocations.Load()})
}

// counting returns the function that counts and hands the value to next.
func (m *meter) counting(next func(statefun.Context, []byte) error) statefun.StatefulFunctionPointer {
	return func(ctx statefun.Context, message statefun.Message) error {
		m.invocations.Add(1)
		var n int64
		ctx.Storage().Get(count, &n)
		n++
		ctx.Storage().Set(count, n)
		value := message.RawValue()
		record.SetCount(value, n)
		return next(ctx, value)
	}
}

func toEgress(topic string) func(statefun.Context, []byte) error {
	return func(ctx statefun.Context, value []byte) error {
		ctx.SendEgress(statefun.KafkaEgressBuilder{Target: egress, Topic: topic, Key: ctx.Self().Id, Value: value})
		return nil
	}
}

func toHop(n int) func(statefun.Context, []byte) error {
	next := statefun.TypeNameFrom(hopName(n))
	return func(ctx statefun.Context, value []byte) error {
		ctx.Send(statefun.MessageBuilder{
			Target:    statefun.Address{FunctionType: next, Id: ctx.Self().Id},
			Value:     value,
			ValueType: recordType,
		})
		return nil
	}
}

func hopName(n int) string { return fmt.Sprintf("bench/hop%d", n) }

// sleepy waits as a function does that asks somebody else, without processor time.
func sleepy(sleep time.Duration, next func(statefun.Context, []byte) error) func(statefun.Context, []byte) error {
	return func(ctx statefun.Context, value []byte) error {
		time.Sleep(sleep)
		return next(ctx, value)
	}
}

// fanning returns the function that sends a message to each of its fanOut successors of the type next. A value's
// number tells which of its level it is, so that the leaves have the numbers from 0 without a gap.
func (m *meter) fanning(next string, fanOut uint64) statefun.StatefulFunctionPointer {
	to := statefun.TypeNameFrom(next)
	return func(ctx statefun.Context, message statefun.Message) error {
		m.invocations.Add(1)
		p, err := record.Parse(message.RawValue())
		if err != nil {
			return fmt.Errorf("read the storm's message: %w", err)
		}
		for n := p.Seq * fanOut; n < (p.Seq+1)*fanOut; n++ {
			ctx.Send(statefun.MessageBuilder{
				Target:    statefun.Address{FunctionType: to, Id: record.ID(uint32(n))},
				Value:     record.New(n, p.Sent),
				ValueType: recordType,
			})
		}
		return nil
	}
}

// options are the command's flags but the address.
type options struct {
	topic  string // that the last of each chain writes to
	sleep  time.Duration
	fanOut uint64
}

// functions are all functions by name.
func functions(m *meter, o options) map[string]statefun.StatefulFunctionPointer {
	out := toEgress(o.topic)
	all := map[string]statefun.StatefulFunctionPointer{
		"bench/counter": m.counting(out),
		"bench/sleeper": m.counting(sleepy(o.sleep, out)),
		"bench/storm0":  m.fanning("bench/storm1", o.fanOut),
		"bench/storm1":  m.fanning("bench/storm2", o.fanOut),
		"bench/storm2":  m.counting(out),
	}
	for n := range lastHop {
		all[hopName(n)] = m.counting(toHop(n + 1))
	}
	all[hopName(lastHop)] = m.counting(out)
	return all
}

// build registers all functions.
func build(m *meter, o options) (http.Handler, error) {
	b := statefun.StatefulFunctionsBuilder()
	for name, f := range functions(m, o) {
		spec := statefun.StatefulFunctionSpec{FunctionType: statefun.TypeNameFrom(name), States: []statefun.ValueSpec{count}, Function: f}
		if err := b.WithSpec(spec); err != nil {
			return nil, fmt.Errorf("register %s: %w", name, err)
		}
	}
	handler := b.AsHandler()
	mux := http.NewServeMux()
	mux.Handle("/meter", m)
	mux.HandleFunc("/functions", func(w http.ResponseWriter, r *http.Request) {
		m.calls.Add(1)
		handler.ServeHTTP(w, r)
	})
	return mux, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on; the chosen one is the first line of the output")
	var o options
	flag.StringVar(&o.topic, "egress-topic", "bench-out", "topic that the functions write to")
	flag.DurationVar(&o.sleep, "sleep", 5*time.Millisecond, "how long bench/sleeper sleeps in each call")
	flag.Uint64Var(&o.fanOut, "fan-out", 1000, "messages that each call of the storm sends")
	flag.Parse()
	log.SetOutput(io.Discard) // The SDK logs every registration and every missing state.
	if err := serve(*listen, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen string, o options) error {
	handler, err := build(&meter{}, o)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	fmt.Println(l.Addr())
	return http.Serve(l, handler)
}
