package protocol

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// longest is the number of milliseconds that a Duration holds.
const longest = math.MaxInt64 / int64(time.Millisecond)

// sameArgument reports whether our spliced bytes are the official typed value, unknown fields included.
func sameArgument(t fataler, got []byte, m protoreflect.Message) {
	t.Helper()
	v, err := decode(t, officialTypedValue, got)
	if err != nil || !bytes.Equal(encode(t, v), encode(t, value(m, "argument").Message())) {
		t.Fatalf("argument %x (%v), want %v", got, err, value(m, "argument"))
	}
}

// compareAnswer holds our answer against the official message. Mutations are compared by what they do.
func compareAnswer(t fataler, got Answer, m protoreflect.Message) {
	t.Helper()
	result := value(m, "invocation_result").Message()
	incomplete := value(m, "incomplete_invocation_context").Message()
	if got.Incomplete != has(m, "incomplete_invocation_context") {
		t.Fatalf("incomplete is %v", got.Incomplete)
	}
	specs, mutations := list(incomplete, "missing_values"), list(result, "state_mutations")
	messages, delayed, egresses := list(result, "outgoing_messages"), list(result, "delayed_invocations"), list(result, "outgoing_egresses")
	if len(specs) != len(got.Missing) || len(mutations) != len(got.Mutations) || len(messages) != len(got.Messages) ||
		len(delayed) != len(got.Delayed) || len(egresses) != len(got.Egresses) {
		t.Fatalf("lists differ: %+v\n%v", got, m)
	}
	for i, s := range specs {
		compareSpec(t, got.Missing[i], s)
	}
	for i, s := range mutations {
		compareMutation(t, got.Mutations[i], s)
	}
	for i, s := range messages {
		if got.Messages[i].Target != toAddress(value(s, "target").Message()) {
			t.Fatalf("target %v", got.Messages[i].Target)
		}
		sameArgument(t, got.Messages[i].Argument, s)
	}
	for i, s := range delayed {
		compareDelayed(t, got.Delayed[i], s)
	}
	for i, s := range egresses {
		want := TypeName{value(s, "egress_namespace").String(), value(s, "egress_type").String()}
		if got.Egresses[i].Egress != want {
			t.Fatalf("egress %v, want %v", got.Egresses[i].Egress, want)
		}
		sameArgument(t, got.Egresses[i].Argument, s)
	}
}

func compareSpec(t fataler, got StateSpec, m protoreflect.Message) {
	expiration := value(m, "expiration_spec").Message()
	want := StateSpec{Name: value(m, "state_name").String(), Type: strings.TrimRight(value(m, "type_typename").String(), "/"), Mode: ExpireMode(value(expiration, "mode").Enum())}
	if want.Type == "" {
		want.Type = UnsetType
	}
	if want.Mode != ExpireNone {
		ms := value(expiration, "expire_after_millis").Int()
		want.ExpireAfter = time.Duration(min(ms, longest)) * time.Millisecond
		if ms > longest {
			want.ExpireAfter = math.MaxInt64
		}
	}
	if got != want {
		t.Fatalf("spec %+v, want %+v", got, want)
	}
}

func compareMutation(t fataler, got Mutation, m protoreflect.Message) {
	v := value(m, "state_value").Message()
	want := Mutation{Name: value(m, "state_name").String(), Delete: value(m, "mutation_type").Enum() == 0}
	if !want.Delete {
		want.Type, want.Value = strings.TrimRight(value(v, "typename").String(), "/"), value(v, "value").Bytes()
		if want.Type == "" {
			want.Type = UnsetType
		}
		if got.Value == nil {
			t.Fatalf("a written value is nil")
		}
	}
	if got.Name != want.Name || got.Delete != want.Delete || got.Type != want.Type || !bytes.Equal(got.Value, want.Value) {
		t.Fatalf("mutation %+v, want %+v", got, want)
	}
}

func compareDelayed(t fataler, got DelayedMessage, m protoreflect.Message) {
	token := value(m, "cancellation_token").String()
	if value(m, "is_cancellation_request").Bool() {
		if want := (DelayedMessage{Cancel: true, Token: token}); !reflect.DeepEqual(got, want) {
			t.Fatalf("cancellation %+v, want %+v", got, want)
		}
		return
	}
	want := time.Duration(value(m, "delay_in_ms").Int()) * time.Millisecond
	if value(m, "delay_in_ms").Int() > longest {
		want = math.MaxInt64
	}
	if got.Cancel || got.Token != token || got.Delay != want || got.Target != toAddress(value(m, "target").Message()) {
		t.Fatalf("delayed %+v, want %v", got, m)
	}
	sameArgument(t, got.Argument, m)
}

// sensible removes from a random answer what the parser refuses for its meaning.
func sensible(m protoreflect.Message) {
	for _, s := range list(value(m, "incomplete_invocation_context").Message(), "missing_values") {
		e := value(s, "expiration_spec").Message()
		if value(e, "mode").Enum() != 0 && value(e, "expire_after_millis").Int() <= 0 {
			set(e, "expire_after_millis", int64(1))
		}
	}
	for _, s := range list(value(m, "invocation_result").Message(), "delayed_invocations") {
		if value(s, "is_cancellation_request").Bool() && value(s, "cancellation_token").String() == "" {
			set(s, "cancellation_token", "t")
		}
	}
}

func TestEveryOfficialAnswerIsReadAsTheOfficialParserReadsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := official(t, officialFromFunction)
		fill(t, m) // draws for both members of the oneof: the last one stays
		sensible(m)
		body := encode(t, m)
		got, err := ParseAnswer(body)
		if err != nil {
			t.Fatalf("%v: %v", err, m)
		}
		compareAnswer(t, got, m)
	})
}

func TestSplitAndRepeatedFieldsMergeAsProtobufAsks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var body []byte
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			m := official(t, officialFromFunction)
			fill(t, m)
			sensible(m)
			body = append(body, encode(t, m)...)
		}
		got, err := ParseAnswer(body)
		if err != nil {
			t.Fatalf("%v", err)
		}
		m, err := decode(t, officialFromFunction, body)
		if err != nil {
			t.Fatalf("%v", err)
		}
		compareAnswer(t, got, m)
	})
	// One message whose target and argument come in two halves.
	half := appendBytes(appendBytes(nil, 1, appendText(nil, 1, "ns")), 2, AppendTypedValue(nil, "a/b", nil))
	half = appendBytes(half, 1, appendText(appendText(nil, 2, "f"), 3, "id"))
	half = appendBytes(half, 2, appendBytes(nil, 3, []byte("v")))
	got, err := ParseAnswer(appendBytes(nil, invocationResult, appendBytes(nil, 2, half)))
	if err != nil {
		t.Fatal(err)
	}
	want := Message{Target: Address{TypeName{"ns", "f"}, "id"}, Argument: AppendTypedValue(nil, "a/b", []byte("v"))}
	if !reflect.DeepEqual(got.Messages, []Message{want}) {
		t.Errorf("%+v, want %+v", got.Messages, want)
	}
}

func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestAnAnswerThatCannotBeFollowedIsRefusedByName(t *testing.T) {
	result := func(num protowire.Number, parts ...[]byte) []byte {
		return appendBytes(nil, invocationResult, appendBytes(nil, num, join(parts...)))
	}
	missing := func(parts ...[]byte) []byte {
		return appendBytes(nil, incompleteContext, appendBytes(nil, 1, join(parts...)))
	}
	minusOne := int64(-1)
	target := appendBytes(nil, 2, AppendAddress(nil, Address{TypeName{"ns", "f"}, "1"}))
	tests := []struct {
		name string
		body []byte
		want string
	}{
		{"unknown mutation", result(1, varint(1, 7), appendText(nil, 2, "seen")), `state mutation 0: state "seen": mutation type 7 is not known`},
		{"modify with a type of three parts", result(1, varint(1, 1), appendText(nil, 2, "seen"), appendBytes(nil, 3, appendText(nil, 1, "a/b/c"))), `state "seen": type name "a/b/c"`},
		{"negative delay", result(3, varint(1, uint64(minusOne)), target), "delayed message 0: the delay of the message to ns/f/1 is negative: -1 ms"},
		{"cancellation without token", result(3, varint(10, 1)), "empty cancellation token"},
		{"state without a namespace", missing(appendText(nil, 1, "seen"), appendText(nil, 3, "int")), `missing value 0: state "seen": type name "int"`},
		{"unknown expire mode", missing(appendText(nil, 1, "seen"), appendBytes(nil, 2, varint(1, 3))), `state "seen": expire mode 3 is not known`},
		{"expiry without a time", missing(appendText(nil, 1, "seen"), appendBytes(nil, 2, varint(1, 2))), `expiration AFTER_INVOKE needs a time above 0`},
		{"malformed argument", result(2, appendBytes(nil, 2, []byte{0x0a, 5, 'x'})), "outgoing message 0: argument"},
		{"argument type not UTF-8", result(4, appendBytes(nil, 3, appendText(nil, 1, "\xff"))), "egress message 0: argument"},
		{"id not UTF-8", result(2, appendBytes(nil, 1, appendText(nil, 3, "\xff"))), "not valid UTF-8"},
		{"body cut short", result(2, nil)[:2], "unexpected EOF"},
		{"no protobuf at all", []byte("<html>"), "parse answer"},
		{"malformed part before the last of the oneof", join(result(2, []byte{0xff}), missing()), "outgoing message 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseAnswer(test.body)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if !reflect.DeepEqual(got, Answer{}) {
				t.Errorf("an answer came with the error: %+v", got)
			}
		})
	}
}

func TestAnswersThatAreReadLeniently(t *testing.T) {
	unknown := join(varint(55, 1), appendBytes(nil, 56, []byte("x")), protowire.AppendFixed32(protowire.AppendTag(nil, 57, protowire.Fixed32Type), 1))
	cancel := join(varint(1, math.MaxUint64), varint(10, 1), appendText(nil, 11, "t"))
	tests := []struct {
		name string
		body []byte
		want Answer
	}{
		{"an empty body has no effects", nil, Answer{}},
		{"unknown fields are skipped", unknown, Answer{}},
		{"an empty result has no effects", appendBytes(nil, invocationResult, nil), Answer{}},
		{"an incomplete context may name nothing", appendBytes(nil, incompleteContext, nil), Answer{Incomplete: true}},
		{"a known field in another wire type is unknown", varint(invocationResult, 1), Answer{}},
		{"a cancellation looks at its token only", appendBytes(nil, invocationResult, appendBytes(nil, 3, cancel)), Answer{Delayed: []DelayedMessage{{Cancel: true, Token: "t"}}}},
		{"a deletion looks at its name only", appendBytes(nil, invocationResult, appendBytes(nil, 1, join(appendText(nil, 2, "s"), appendBytes(nil, 3, appendText(nil, 1, "odd"))))), Answer{Mutations: []Mutation{{Delete: true, Name: "s"}}}},
		{"a write without a value writes an empty one", appendBytes(nil, invocationResult, appendBytes(nil, 1, join(varint(1, 1), appendText(nil, 2, "s")))), Answer{Mutations: []Mutation{{Name: "s", Type: UnsetType, Value: []byte{}}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseAnswer(test.body)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestViewsOfAnAnswerHaveNoSpareCapacity(t *testing.T) {
	body := appendBytes(nil, invocationResult, appendBytes(nil, 2, appendBytes(nil, 2, AppendTypedValue(nil, "a/b", []byte("v")))))
	body = append(body, varint(55, 1)...)
	before := bytes.Clone(body)
	answer, err := ParseAnswer(body)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(answer.Messages[0].Argument, "overwrites"...)
	if !bytes.Equal(body, before) {
		t.Error("appending to an argument wrote into the body")
	}
}

func TestGoldenAnswer(t *testing.T) {
	golden := strings.Join([]string{
		"a20653",
		"0a16", "0801", "12047365656e", "1a0c", "0a03612f62", "1001", "1a0368656c", // MODIFY seen
		"1213", "0a0a", "0a026e73", "120166", "1a0131", "1205", "0a03612f62", // message to ns/f/1
		"1a0c", "08e807", "1204", "1a026f6b", "5a0174", // after 1 s, to id ok, token t
		"1a05", "5001", "5a0174", // cancel t
		"220f", "0a026578", "120165", "1a06", "1a0400000000",
	}, "")
	body, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAnswer(body)
	if err != nil {
		t.Fatal(err)
	}
	want := Answer{
		Mutations: []Mutation{{Name: "seen", Type: "a/b", Value: []byte("hel")}},
		Messages:  []Message{{Target: Address{TypeName{"ns", "f"}, "1"}, Argument: []byte("\x0a\x03a/b")}},
		Delayed:   []DelayedMessage{{Delay: time.Second, Target: Address{ID: "ok"}, Token: "t"}, {Cancel: true, Token: "t"}},
		Egresses:  []EgressMessage{{Egress: TypeName{"ex", "e"}, Argument: []byte{0x1a, 4, 0, 0, 0, 0}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
