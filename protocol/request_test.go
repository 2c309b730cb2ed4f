package protocol

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// toRequest encodes an official ToFunction with our functions.
func toRequest(batch protoreflect.Message) []byte {
	var states []StateValue
	for _, m := range list(batch, "state") {
		s := StateValue{Name: value(m, "state_name").String(), Present: has(m, "state_value")}
		if s.Present {
			v := value(m, "state_value").Message()
			s.Type, s.Value = value(v, "typename").String(), value(v, "value").Bytes()
		}
		states = append(states, s)
	}
	var invocations [][]byte
	for _, m := range list(batch, "invocations") {
		var caller *Address
		if has(m, "caller") {
			a := toAddress(value(m, "caller").Message())
			caller = &a
		}
		argument, _ := proto.Marshal(value(m, "argument").Message().Interface())
		b := AppendInvocation(nil, caller, argument)
		if len(b) != SizeInvocation(caller, argument) {
			panic("SizeInvocation is wrong")
		}
		invocations = append(invocations, b)
	}
	target := toAddress(value(batch, "target").Message())
	b := AppendToFunction([]byte("before"), target, states, invocations)
	if len(b) != SizeToFunction(target, states, invocations)+len("before") {
		panic("SizeToFunction is wrong")
	}
	return bytes.TrimPrefix(b, []byte("before"))
}

func TestARequestIsByteForByteTheOfficialOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := official(t, officialToFunction)
		batch := m.Mutable(m.Descriptor().Fields().ByName("invocation")).Message()
		fill(t, batch)
		// The runtime always sets the target and the arguments, and never sends an absent value as a value.
		batch.Mutable(batch.Descriptor().Fields().ByName("target"))
		for _, i := range list(batch, "invocations") {
			i.Mutable(i.Descriptor().Fields().ByName("argument"))
		}
		for _, s := range list(batch, "state") {
			if has(s, "state_value") {
				set(value(s, "state_value").Message(), "has_value", true)
			}
		}
		if want, got := encode(t, m), toRequest(batch); !bytes.Equal(want, got) {
			t.Fatalf("official %x\nours     %x", want, got)
		}
	})
}

func TestAnInvocationReadsBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		argument := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "argument")
		var caller *Address
		if rapid.Bool().Draw(t, "called") {
			a := drawAddress(t)
			caller = &a
		}
		gotCaller, gotArgument, err := ParseInvocation(AppendInvocation(nil, caller, argument))
		if err != nil || !bytes.Equal(gotArgument, argument) {
			t.Fatalf("argument %x, want %x (%v)", gotArgument, argument, err)
		}
		if (caller == nil) != (gotCaller == nil) || caller != nil && *caller != *gotCaller {
			t.Fatalf("caller %v, want %v", gotCaller, caller)
		}
	})
}

func TestAnIngressInvocationHasNoCallerAndAPresentArgument(t *testing.T) {
	for _, content := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte("y"), 300)} {
		b := AppendIngressInvocation(nil, "a/b", content)
		if want := AppendInvocation(nil, nil, AppendTypedValue(nil, "a/b", content)); !bytes.Equal(b, want) {
			t.Errorf("%x, want %x", b, want)
		}
		if len(b) != SizeIngressInvocation("a/b", content) {
			t.Errorf("size %d, want %d", SizeIngressInvocation("a/b", content), len(b))
		}
		m, err := decode(t, officialInvocation, b)
		if err != nil || has(m, "caller") {
			t.Fatalf("caller is present (%v)", err)
		}
		v := value(m, "argument").Message()
		if value(v, "typename").String() != "a/b" || !value(v, "has_value").Bool() || !bytes.Equal(value(v, "value").Bytes(), content) {
			t.Errorf("argument is %v", v)
		}
	}
}

// oneMetadata is TypedValue.metadata with one entry.
func oneMetadata(b []byte, key, content string) []byte {
	return appendMetadata(b, []KafkaHeader{{Key: key, Value: []byte(content)}})
}

func TestMetadataOfAnArgumentSurvivesFromAnswerToRequest(t *testing.T) {
	argument := AppendTypedValue(nil, "a/b", []byte("v"))
	argument = oneMetadata(argument, "traceparent", "00-1")
	argument = oneMetadata(argument, "traceparent", "00-2")
	target := Address{Type: TypeName{"ns", "f"}, ID: "1"}

	message := appendBytes(appendBytes(nil, 1, AppendAddress(nil, target)), 2, argument)
	body := appendBytes(nil, invocationResult, appendBytes(nil, 2, message))
	answer, err := ParseAnswer(body)
	if err != nil || len(answer.Messages) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	stored, err := ParseEnvelope(AppendEnvelope(nil, Envelope{Target: target, Invocation: AppendInvocation(nil, &target, answer.Messages[0].Argument)}))
	if err != nil {
		t.Fatal(err)
	}
	request := AppendToFunction(nil, stored.Target, nil, [][]byte{stored.Invocation})
	if !bytes.Contains(request, argument) {
		t.Errorf("request %x does not hold %x", request, argument)
	}
}

func TestGoldenRequest(t *testing.T) {
	caller := Address{Type: TypeName{"ns", "caller"}, ID: "7"}
	argument := AppendTypedValue(nil, "io.statefun.types/int", []byte{1, 0, 0, 0})
	states := []StateValue{{Name: "seen", Type: "a/b", Value: []byte{9}, Present: true}, {Name: "unset", Type: "a/b"}, {Name: "empty", Type: "a/b", Present: true}}
	got := AppendToFunction(nil, Address{Type: TypeName{"ns", "f"}, ID: "id"}, states,
		[][]byte{AppendInvocation(nil, &caller, argument), AppendInvocation(nil, nil, nil)})
	want := strings.Join([]string{
		"a20674",                                 // 100 invocation
		"0a0b", "0a026e73", "120166", "1a026964", // target
		"1212", "0a047365656e", "120a", "0a03612f62", "1001", "1a0109", // seen
		"1207", "0a05756e736574", // unset: the name only
		"1210", "0a05656d707479", "1207", "0a03612f62", "1001", // empty: present without bytes
		"1a32", "0a0f", "0a026e73", "120663616c6c6572", "1a0137", "121f",
		"0a15696f2e7374617465" + "66756e2e74797065732f696e74", "1001", "1a0401000000",
		"1a02", "1200",
	}, "")
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestAppendingAllocatesNothing(t *testing.T) {
	target := Address{Type: TypeName{"ns", "f"}, ID: "id"}
	states := []StateValue{{Name: "seen", Type: "a/b", Value: make([]byte, 100), Present: true}}
	invocations := [][]byte{make([]byte, 100), make([]byte, 100)}
	dst := make([]byte, 0, 4096)
	allocations := testing.AllocsPerRun(100, func() {
		b := AppendToFunction(dst, target, states, invocations)
		b = AppendInvocation(b, &target, invocations[0])
		b = AppendIngressInvocation(b, "a/b", invocations[0])
		AppendEnvelope(b, Envelope{Target: target, Invocation: invocations[0]})
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func FuzzParseInvocation(f *testing.F) {
	caller := Address{Type: TypeName{"ns", "f"}, ID: "1"}
	f.Add(AppendInvocation(nil, &caller, AppendTypedValue(nil, "a/b", []byte("x"))))
	f.Add(AppendInvocation(nil, nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		caller, argument, err := ParseInvocation(b)
		m, officialErr := decode(t, officialInvocation, b)
		if officialErr != nil {
			return // the argument is not looked into, so we may accept more
		}
		if err != nil {
			t.Fatalf("official accepts, we do not: %v", err)
		}
		if has(m, "caller") != (caller != nil) || caller != nil && *caller != toAddress(value(m, "caller").Message()) {
			t.Fatalf("caller %v", caller)
		}
		sameArgument(t, argument, m)
	})
}
