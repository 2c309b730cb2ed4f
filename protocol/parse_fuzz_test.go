package protocol

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// meaning holds the errors of answers that are well-formed and still cannot be followed.
var meaning = []string{"is not known", "type name", "is negative", "empty cancellation token", "needs a time above 0"}

func FuzzParseAnswer(f *testing.F) {
	target := AppendAddress(nil, Address{TypeName{"ns", "f"}, "1"})
	message := appendBytes(appendBytes(nil, 1, target), 2, AppendTypedValue(nil, "a/b", []byte("v")))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 2, message)))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 1, join(varint(1, 1), appendText(nil, 2, "s")))))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 3, join(varint(1, 5), appendText(nil, 11, "t"), varint(10, 1)))))
	f.Add(appendBytes(nil, incompleteContext, appendBytes(nil, 1, join(appendText(nil, 1, "s"), appendBytes(nil, 2, join(varint(1, 1), varint(2, 9)))))))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParseAnswer(body)
		m, officialErr := decode(t, officialFromFunction, body)
		switch {
		case officialErr != nil && err == nil:
			t.Fatalf("ours accepts, official: %v", officialErr)
		case officialErr == nil && err != nil && !refusedForMeaning(err):
			t.Fatalf("official accepts, ours: %v", err)
		case err == nil:
			compareAnswer(t, got, m)
		}
	})
}

func refusedForMeaning(err error) bool {
	for _, text := range meaning {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func benchmarkAnswer(b *testing.B, n int) {
	m := official(b, officialFromFunction)
	result := m.Mutable(m.Descriptor().Fields().ByName("invocation_result")).Message()
	add := func(list string) protoreflect.Message {
		return result.Mutable(result.Descriptor().Fields().ByName(protoreflect.Name(list))).List().AppendMutable().Message()
	}
	fillArgument := func(m protoreflect.Message, field string) protoreflect.Message {
		v := m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(field))).Message()
		set(set(set(v, "typename", "io.statefun.types/string"), "has_value", true), "value", make([]byte, 100))
		return m
	}
	for range 2 {
		set(set(fillArgument(add("state_mutations"), "state_value"), "state_name", "seen"), "mutation_type", protoreflect.EnumNumber(1))
	}
	for range n {
		message := fillArgument(add("outgoing_messages"), "argument")
		message.Set(message.Descriptor().Fields().ByName("target"), protoreflect.ValueOfMessage(fromAddress(b, benchmarkTarget)))
	}
	body := encode(b, m)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAnswer(body); err != nil {
			b.Fatal(err)
		}
	}
}

var benchmarkTarget = Address{TypeName{"com.example.fns", "greeter"}, "some-user-id"}

func BenchmarkParseAnswer(b *testing.B) {
	b.Run("messages=1", func(b *testing.B) { benchmarkAnswer(b, 1) })
	b.Run("messages=10", func(b *testing.B) { benchmarkAnswer(b, 10) })
	b.Run("messages=100", func(b *testing.B) { benchmarkAnswer(b, 100) })
}

func benchmarkToFunction(b *testing.B, n int) {
	states := []StateValue{
		{Name: "seen", Type: "io.statefun.types/int", Value: make([]byte, 100), Present: true},
		{Name: "last", Type: "io.statefun.types/long", Value: make([]byte, 100), Present: true},
	}
	invocations := make([][]byte, n)
	for i := range invocations {
		invocations[i] = AppendIngressInvocation(nil, "io.statefun.types/string", make([]byte, 100))
	}
	dst := make([]byte, 0, SizeToFunction(benchmarkTarget, states, invocations))
	b.SetBytes(int64(cap(dst)))
	b.ReportAllocs()
	for b.Loop() {
		AppendToFunction(dst, benchmarkTarget, states, invocations)
	}
}

func BenchmarkAppendToFunction(b *testing.B) {
	b.Run("invocations=1", func(b *testing.B) { benchmarkToFunction(b, 1) })
	b.Run("invocations=10", func(b *testing.B) { benchmarkToFunction(b, 10) })
	b.Run("invocations=100", func(b *testing.B) { benchmarkToFunction(b, 100) })
}
