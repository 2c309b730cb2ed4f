// Command function serves the benchmark's functions on the official Go SDK, in a process of its own.
//
// bench/counter counts the records of its id in its state, writes the count into the value and sends it to the
// egress topic. bench/hop0 … bench/hop3 do the same, but the first three pass the value on to the next hop.
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
	next := hopType(n)
	return func(ctx statefun.Context, value []byte) error {
		ctx.Send(statefun.MessageBuilder{
			Target:    statefun.Address{FunctionType: next, Id: ctx.Self().Id},
			Value:     value,
			ValueType: recordType,
		})
		return nil
	}
}

func hopType(n int) statefun.TypeName { return statefun.TypeNameFrom(fmt.Sprintf("bench/hop%d", n)) }

// build registers all functions; topic is where the last of each chain writes.
func build(m *meter, topic string) (http.Handler, error) {
	b := statefun.StatefulFunctionsBuilder()
	register := func(name statefun.TypeName, next func(statefun.Context, []byte) error) error {
		return b.WithSpec(statefun.StatefulFunctionSpec{
			FunctionType: name,
			States:       []statefun.ValueSpec{count},
			Function:     m.counting(next),
		})
	}
	if err := register(statefun.TypeNameFrom("bench/counter"), toEgress(topic)); err != nil {
		return nil, fmt.Errorf("register the counter: %w", err)
	}
	for n := 0; n <= lastHop; n++ {
		next := toEgress(topic)
		if n < lastHop {
			next = toHop(n + 1)
		}
		if err := register(hopType(n), next); err != nil {
			return nil, fmt.Errorf("register hop %d: %w", n, err)
		}
	}
	functions := b.AsHandler()
	mux := http.NewServeMux()
	mux.Handle("/meter", m)
	mux.HandleFunc("/functions", func(w http.ResponseWriter, r *http.Request) {
		m.calls.Add(1)
		functions.ServeHTTP(w, r)
	})
	return mux, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on; the chosen one is the first line of the output")
	topic := flag.String("egress-topic", "bench-out", "topic that the functions write to")
	flag.Parse()
	log.SetOutput(io.Discard) // The SDK logs every registration and every missing state.
	if err := serve(*listen, *topic); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen, topic string) error {
	handler, err := build(&meter{}, topic)
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
