package statefun_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	official "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

func TestTheHotPartsOfTheCodecAllocateNothing(t *testing.T) {
	buffer := make([]byte, 0, 256)
	count, name := statefun.Int64, statefun.String
	encoded, err := count.Encode(12345)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := name.Of("Ada").AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, work := range map[string]func() error{
		"decode a counter": func() error { _, err := count.Decode(encoded); return err },
		"send a counter":   func() error { _, err := count.Of(12345).AppendBinary(buffer); return err },
		"send a flag":      func() error { _, err := statefun.Bool.Of(true).AppendBinary(buffer); return err },
		"send a fraction":  func() error { _, err := statefun.Float64.Of(0.1).AppendBinary(buffer); return err },
		"send a text":      func() error { _, err := name.Of("a text of some length").AppendBinary(buffer); return err },
		"read a message":   func() error { var m statefun.Message; return m.UnmarshalBinary(sent) },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := work(); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// benchHandlers serve a counting greeter in both SDKs.
func benchHandlers(b *testing.B) (ours *statefun.Handler, theirs official.RequestReplyHandler) {
	visits := statefun.Value[int64]("visits")
	ours = handler(b, func(ctx *statefun.Context, _ statefun.Message) error {
		n, err := visits.Get(ctx)
		if err != nil {
			return err
		}
		visits.Set(ctx, n+1)
		ctx.Send(statefun.TypeName("example/g").At(ctx.Self().ID), statefun.Int64.Of(n+1))
		ctx.Egress("example/greets", statefun.KafkaRecord{Topic: "greetings", Key: ctx.Self().ID, Value: []byte("Hello")})
		return nil
	}, visits)

	spec := official.ValueSpec{Name: "visits", ValueType: official.Int64Type}
	target, egress := official.TypeNameFrom("example/g"), official.TypeNameFrom("example/greets")
	builder := official.StatefulFunctionsBuilder()
	err := builder.WithSpec(official.StatefulFunctionSpec{
		FunctionType: official.TypeNameFrom("example/f"), States: []official.ValueSpec{spec},
		Function: official.StatefulFunctionPointer(func(ctx official.Context, _ official.Message) error {
			var n int64
			ctx.Storage().Get(spec, &n)
			ctx.Storage().Set(spec, n+1)
			ctx.Send(official.MessageBuilder{Target: official.Address{FunctionType: target, Id: ctx.Self().Id}, Value: n + 1})
			ctx.SendEgress(official.KafkaEgressBuilder{Target: egress, Topic: "greetings", Key: ctx.Self().Id, Value: []byte("Hello")})
			return nil
		})})
	if err != nil {
		b.Fatal(err)
	}
	return ours, builder.AsHandler()
}

// BenchmarkCall compares the processor time of a call, without HTTP, for batches of one and of many messages.
func BenchmarkCall(b *testing.B) {
	ours, theirs := benchHandlers(b)
	for _, size := range []int{1, 50} {
		text := `invocation { target { namespace: "example" type: "f" id: "Ada" }
			state { state_name: "visits" state_value { typename: "io.statefun.types/long" has_value: true value: "\011\005\000\000\000\000\000\000\000" } }`
		for range size {
			text += `invocations { argument { typename: "io.statefun.types/string" has_value: true value: "\n\002hi" } }`
		}
		request := body(b, "%s", text+"}")
		for name, invoke := range map[string]func(context.Context, []byte) ([]byte, error){"ours": ours.Invoke, "official": theirs.Invoke} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				began := processorTime(b)
				for b.Loop() {
					if _, err := invoke(context.Background(), request); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what this process has used so far, garbage collection included, whoever else has the processors.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkCodec is the way of a counter: read from a state, written, sent.
func BenchmarkCodec(b *testing.B) {
	encoded, err := statefun.Int64.Encode(12345)
	if err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 0, 64)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := statefun.Int64.Decode(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := statefun.Int64.Of(12345).AppendBinary(buffer[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
