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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"
)

// polyglotRequest gives our codec what an official 2.x request holds.
func polyglotRequest(t fataler, batch protoreflect.Message) []byte {
	var states []StateValue
	for _, m := range list(batch, "state") {
		s := StateValue{Name: value(m, "state_name").String()}
		if content := value(m, "state_value").Bytes(); len(content) > 0 {
			s.Present = true
			s.Type, s.Value = storedForm(content)
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
		argument := value(m, "argument").Message()
		invocations = append(invocations, AppendInvocation(nil, caller,
			AppendTypedValue(nil, value(argument, "type_url").String(), value(argument, "value").Bytes())))
	}
	b, err := Generation2.AppendRequest([]byte("before"), toAddress(value(batch, "target").Message()), states, invocations)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return bytes.TrimPrefix(b, []byte("before"))
}

func TestA2xRequestIsByteForByteTheOfficialOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := polyglot("ToFunction")
		batch := m.Mutable(m.Descriptor().Fields().ByName("invocation")).Message()
		fill(t, batch)
		batch.Mutable(batch.Descriptor().Fields().ByName("target"))
		for _, i := range list(batch, "invocations") {
			i.Mutable(i.Descriptor().Fields().ByName("argument"))
		}
		for _, s := range list(batch, "state") {
			if rapid.Bool().Draw(t, "packed") {
				set(s, "state_value", drawAny(t))
			}
		}
		if want, got := encode(t, m), polyglotRequest(t, batch); !bytes.Equal(want, got) {
			t.Fatalf("official %x\nours     %x", want, got)
		}
	})
}

// drawAny is an encoded Any, mostly one that is stored in two parts.
func drawAny(t *rapid.T) []byte {
	url := rapid.SampledFrom([]string{"type.googleapis.com/a.B", "type.googleapis.com/", "type.googleapis.com/a/b", "com.googleapis/a.B", "a/b", ""}).Draw(t, "url")
	return appendAny(nil, url, rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"))
}

func comparePolyglot(t fataler, got Answer, m protoreflect.Message) {
	t.Helper()
	result := value(m, "invocation_result").Message()
	mutations, messages := list(result, "state_mutations"), list(result, "outgoing_messages")
	delayed, egresses := list(result, "delayed_invocations"), list(result, "outgoing_egresses")
	if got.Incomplete || len(got.Mutations) != len(mutations) || len(got.Messages) != len(messages) ||
		len(got.Delayed) != len(delayed) || len(got.Egresses) != len(egresses) {
		t.Fatalf("%+v, want %v", got, m)
	}
	for i, want := range mutations {
		content := value(want, "state_value").Bytes()
		deleted := value(want, "mutation_type").Enum() == 0 || len(content) == 0
		state := StateValue{Type: got.Mutations[i].Type, Value: got.Mutations[i].Value, Present: !deleted}
		back := bytes.TrimPrefix(appendPolyglotState(nil, &state), appendHead(nil, 2, sizePolyglotState(&state)))
		if got.Mutations[i].Delete != deleted || got.Mutations[i].Name != value(want, "state_name").String() ||
			!deleted && !bytes.Equal(back, appendBytes(nil, 2, content)) {
			t.Fatalf("mutation %+v, want %v", got.Mutations[i], want)
		}
	}
	for i, want := range messages {
		samePolyglot(t, got.Messages[i].Argument, want)
		if got.Messages[i].Target != toAddress(value(want, "target").Message()) {
			t.Fatalf("message %+v, want %v", got.Messages[i], want)
		}
	}
	for i, want := range delayed {
		samePolyglot(t, got.Delayed[i].Argument, want)
		delay := value(want, "delay_in_ms").Int()
		d := time.Duration(math.MaxInt64)
		if delay <= longest {
			d = time.Duration(delay) * time.Millisecond
		}
		if got.Delayed[i].Cancel || got.Delayed[i].Token != "" || got.Delayed[i].Delay != d || got.Delayed[i].Target != toAddress(value(want, "target").Message()) {
			t.Fatalf("delayed %+v, want %v", got.Delayed[i], want)
		}
	}
	for i, want := range egresses {
		samePolyglot(t, got.Egresses[i].Argument, want)
		if got.Egresses[i].Egress != (TypeName{value(want, "egress_namespace").String(), value(want, "egress_type").String()}) {
			t.Fatalf("egress %+v, want %v", got.Egresses[i], want)
		}
	}
}

// samePolyglot holds an argument as it is inside the worker against the Any that it was.
func samePolyglot(t fataler, argument []byte, m protoreflect.Message) {
	t.Helper()
	any := value(m, "argument").Message()
	name, present, content, err := ParseTypedValue(argument)
	if err != nil || !present || name != value(any, "type_url").String() || !bytes.Equal(content, value(any, "value").Bytes()) {
		t.Fatalf("argument %q %v %x %v, want %v", name, present, content, err, any)
	}
}

func TestEveryOfficial2xAnswerIsReadAsTheOfficialParserReadsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var body []byte
		for range rapid.IntRange(1, 2).Draw(t, "parts") {
			m := polyglot("FromFunction")
			fill(t, m)
			for _, s := range list(value(m, "invocation_result").Message(), "state_mutations") {
				if rapid.Bool().Draw(t, "packed") {
					set(s, "state_value", drawAny(t))
				}
			}
			body = append(body, encode(t, m)...)
		}
		m := polyglot("FromFunction")
		if err := proto.Unmarshal(body, m); err != nil {
			t.Fatal(err)
		}
		got, err := Generation2.ParseAnswer(body)
		if err != nil {
			t.Fatalf("%v: %v", err, m)
		}
		comparePolyglot(t, got, m)
	})
}

func FuzzParsePolyglotAnswer(f *testing.F) {
	target := AppendAddress(nil, Address{TypeName{"ns", "f"}, "1"})
	message := appendBytes(appendBytes(nil, 1, target), 2, appendAny(nil, "type.googleapis.com/a.B", []byte("v")))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 2, message)))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 1, join(varint(1, 1), appendText(nil, 2, "s"), appendBytes(nil, 3, appendAny(nil, "type.googleapis.com/a.B", []byte("v")))))))
	f.Add(appendBytes(nil, invocationResult, appendBytes(nil, 3, join(varint(1, 5), appendText(nil, 11, "t"), varint(10, 1)))))
	f.Add(appendBytes(nil, incompleteContext, nil))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Generation2.ParseAnswer(body)
		m := polyglot("FromFunction")
		officialErr := proto.Unmarshal(body, m)
		switch {
		case officialErr != nil && err == nil:
			t.Fatalf("ours accepts, official: %v", officialErr)
		case officialErr == nil && err != nil && !refusedForMeaning(err) && !strings.Contains(err.Error(), "3.x"):
			t.Fatalf("official accepts, ours: %v", err)
		case err == nil:
			comparePolyglot(t, got, m)
		}
	})
}

func FuzzPolyglotRequest(f *testing.F) {
	f.Add(AppendInvocation(nil, &Address{TypeName{"ns", "f"}, "1"}, AppendTypedValue(nil, "a/b", []byte("v"))), []byte("s"))
	f.Add(AppendInvocation(nil, nil, oneMetadata(AppendTypedValue(nil, "a/b", nil), "k", "v")), appendAny(nil, "type.googleapis.com/a.B", []byte("v")))
	f.Fuzz(func(t *testing.T, invocation, content []byte) {
		typename, stored := storedForm(content)
		state := StateValue{Name: "s", Type: typename, Value: stored, Present: true}
		b, err := Generation2.AppendRequest(nil, Address{}, []StateValue{state}, [][]byte{invocation})
		caller, argument, parseErr := ParseInvocation(invocation)
		if err != nil {
			if _, _, _, valueErr := ParseTypedValue(argument); parseErr == nil && valueErr == nil {
				t.Fatalf("%x: %v", invocation, err)
			}
			return
		}
		m := polyglot("ToFunction")
		if err := proto.Unmarshal(b, m); err != nil {
			if parseErr != nil {
				return // the caller was no address before
			}
			t.Fatalf("%x: %v", b, err)
		}
		batch := value(m, "invocation").Message()
		if got := value(list(batch, "state")[0], "state_value").Bytes(); !bytes.Equal(got, content) {
			t.Fatalf("state %x became %x", content, got)
		}
		got := list(batch, "invocations")[0]
		if has(got, "caller") != (caller != nil) || caller != nil && toAddress(value(got, "caller").Message()) != *caller {
			t.Fatalf("caller %v became %v", caller, got)
		}
		name, _, v, _ := ParseTypedValue(argument)
		any := value(got, "argument").Message()
		if value(any, "type_url").String() != name || !bytes.Equal(value(any, "value").Bytes(), v) {
			t.Fatalf("argument %q %x became %v", name, v, any)
		}
	})
}

func TestGolden2xRequest(t *testing.T) {
	caller := Address{Type: TypeName{"ns", "caller"}, ID: "7"}
	states := []StateValue{
		{Name: "seen", Type: "type.googleapis.com/a.B", Value: []byte{8, 1}, Present: true},
		{Name: "unset"},
		{Name: "raw", Type: OpaqueType, Value: []byte("xy"), Present: true},
	}
	argument := oneMetadata(AppendTypedValue(nil, "a/b", []byte{9}), "left", "behind")
	got, err := Generation2.AppendRequest(nil, Address{Type: TypeName{"ns", "f"}, ID: "id"}, states,
		[][]byte{AppendInvocation(nil, &caller, argument), AppendInvocation(nil, nil, AppendTypedValue(nil, "", nil))})
	want := strings.Join([]string{
		"a20669",                                 // 100 invocation
		"0a0b", "0a026e73", "120166", "1a026964", // target
		"1225", "0a047365656e", "121d", "0a17" + hex.EncodeToString([]byte("type.googleapis.com/a.B")), "12020801", // an Any
		"1207", "0a05756e736574", // unset: no bytes
		"1209", "0a03726177", "12027879", // as it was written
		"1a1b", "0a0f", "0a026e73", "120663616c6c6572", "1a0137", "1208", "0a03612f62", "120109",
		"1a02", "1200", // no caller
	}, "")
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("got  %x, %v\nwant %s", got, err, want)
	}
}

func TestGolden2xAnswer(t *testing.T) {
	const any = "0a17" + "747970652e676f6f676c65617069732e636f6d2f612e42" + "12020801" // type.googleapis.com/a.B
	body, err := hex.DecodeString(strings.Join([]string{
		"a206b001",
		"0a27", "0801", "12047365656e", "1a1d", any, // MODIFY seen
		"0a06", "1204676f6e65", // DELETE gone
		"122b", "0a0a", "0a026e73", "120166", "1a0131", "121d", any, // message to ns/f/1
		"1a28", "08e807", "1204", "1a026f6b", "1a1d", any, // after 1 s, to id ok
		"2226", "0a026578", "120165", "1a1d", any, // egress ex/e
	}, ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Generation2.ParseAnswer(body)
	argument := AppendTypedValue(nil, "type.googleapis.com/a.B", []byte{8, 1})
	want := Answer{
		Mutations: []Mutation{{Name: "seen", Type: "type.googleapis.com/a.B", Value: []byte{8, 1}}, {Delete: true, Name: "gone"}},
		Messages:  []Message{{Target: Address{TypeName{"ns", "f"}, "1"}, Argument: argument}},
		Delayed:   []DelayedMessage{{Delay: time.Second, Target: Address{ID: "ok"}, Argument: argument}},
		Egresses:  []EgressMessage{{Egress: TypeName{"ex", "e"}, Argument: argument}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

func TestBytesOfA2xStateAreStoredInTwoPartsOnlyWhereTheyComeBackTheSame(t *testing.T) {
	const url = "type.googleapis.com/a.B"
	twoParts := appendAny(nil, url, []byte("v"))
	for name, c := range map[string]struct {
		bytes []byte
		typ   string
	}{
		"an Any of a protobuf message":  {twoParts, url},
		"an Any of an empty message":    {appendAny(nil, url, nil), url},
		"an Any with its value first":   {append(appendBytes(nil, 2, []byte("v")), appendAny(nil, url, nil)...), OpaqueType},
		"an empty value that is spelt":  {append(appendAny(nil, url, nil), 0x12, 0), OpaqueType},
		"a length of two bytes":         {append([]byte{0x0a, 0x97, 0x00}, url...), OpaqueType},
		"a field behind it":             {append(bytes.Clone(twoParts), varint(3, 1)...), OpaqueType},
		"the URL twice":                 {append(appendAny(nil, url, nil), twoParts...), OpaqueType},
		"another prefix":                {appendAny(nil, "com.googleapis/a.B", []byte("v")), OpaqueType},
		"a URL that no 3.x type can be": {appendAny(nil, "type.googleapis.com/a/b", []byte("v")), OpaqueType},
		"a URL without a name":          {appendAny(nil, "type.googleapis.com/", []byte("v")), OpaqueType},
		"not UTF-8":                     {appendAny(nil, url+"\xff", []byte("v")), OpaqueType},
		"a TypedValue":                  {AppendTypedValue(nil, url, []byte("v")), OpaqueType},
		"text":                          {[]byte("hello"), OpaqueType},
	} {
		t.Run(name, func(t *testing.T) {
			typename, stored := storedForm(c.bytes)
			if typename != c.typ {
				t.Errorf("stored as %s, want %s", typename, c.typ)
			}
			state := StateValue{Name: "s", Type: typename, Value: stored, Present: true}
			want := appendBytes(nil, 2, appendBytes(appendText(nil, 1, "s"), 2, c.bytes))
			if got := appendPolyglotState(nil, &state); !bytes.Equal(got, want) {
				t.Errorf("comes back as %x, want %x", got, want)
			}
		})
	}
}

func TestAStateIsRefusedByNameWhereItsBytesMeanSomethingElse(t *testing.T) {
	for _, c := range []struct{ declared, stored, refusal string }{
		{"a/b", "a/b", ""},
		{"", OpaqueType, ""},
		{"", "type.googleapis.com/a.B", ""},
		{"type.googleapis.com/a.B", "type.googleapis.com/a.B", ""},
		{OpaqueType, OpaqueType, ""},
		{"", "io.statefun.types/int", "stored with type io.statefun.types/int by a 3.x function, a 2.x function reads google.protobuf.Any: give the state a new name, or keep the function on a 3.x endpoint"},
		{"", "type.googleapis.com/a/b", "stored with type type.googleapis.com/a/b by a 3.x function"},
		{"a/b", "type.googleapis.com/a.B", "stored with type type.googleapis.com/a.B, the function now declares a/b: declare it as type.googleapis.com/a.B or give the state a new name"},
		{"a/b", OpaqueType, "stored with type " + OpaqueType + ", the function now declares a/b"},
		{OpaqueType, "type.googleapis.com/a.B", "the function now declares " + OpaqueType},
	} {
		err := (&StateSpec{Name: "s", Type: c.declared}).Refuses(c.stored)
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("declared %q, stored %q: %v, want %q", c.declared, c.stored, err, c.refusal)
		}
	}
}

func TestA2xAnswerThatCannotBeFollowedIsRefusedByName(t *testing.T) {
	result := func(num int, parts ...[]byte) []byte {
		return appendBytes(nil, invocationResult, appendBytes(nil, protowire.Number(num), join(parts...)))
	}
	minusOne := int64(-1)
	typed := AppendTypedValue(nil, "a/b", []byte("v"))
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"a request for states":        {appendBytes(nil, incompleteContext, nil), "the function asks for states, which only the 3.x protocol does"},
		"a message of 3.x":            {result(2, appendBytes(nil, 2, typed)), "outgoing message 0: argument for //: a TypedValue of the 3.x protocol"},
		"a delayed message of 3.x":    {result(3, appendBytes(nil, 3, typed)), "delayed message 0: argument for //: a TypedValue of the 3.x protocol"},
		"an egress message of 3.x":    {result(4, appendBytes(nil, 3, typed)), "egress message 0: argument for egress /: a TypedValue of the 3.x protocol"},
		"an unknown mutation":         {result(1, varint(1, 7), appendText(nil, 2, "seen")), `state mutation 0: state "seen": mutation type 7 is not known`},
		"a negative delay":            {result(3, varint(1, uint64(minusOne))), "is negative: -1 ms"},
		"a malformed argument":        {result(2, appendBytes(nil, 2, []byte{0x0a, 5, 'x'})), "outgoing message 0: argument"},
		"a type URL that is not text": {result(4, appendBytes(nil, 3, appendText(nil, 1, "\xff"))), "not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Generation2.ParseAnswer(c.body)
			if err == nil || !strings.Contains(err.Error(), c.want) || !reflect.DeepEqual(got, Answer{}) {
				t.Errorf("%+v, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestA2xAnswerIsReadLeniently(t *testing.T) {
	write := func(content []byte) []byte {
		return appendBytes(nil, invocationResult, appendBytes(nil, 1, join(varint(1, 1), appendText(nil, 2, "s"), appendBytes(nil, 3, content))))
	}
	token := appendBytes(nil, invocationResult, appendBytes(nil, 3, join(appendText(nil, 11, "t"), varint(10, 1))))
	for name, c := range map[string]struct {
		body []byte
		want Answer
	}{
		"an empty body has no effects":                 {nil, Answer{}},
		"empty bytes are a state that is not set":      {write(nil), Answer{Mutations: []Mutation{{Delete: true, Name: "s"}}}},
		"the fields of a cancellation mean nothing":    {token, Answer{Delayed: []DelayedMessage{{Argument: AppendTypedValue(nil, "", nil)}}}},
		"an argument that is left out is an empty Any": {appendBytes(nil, invocationResult, appendBytes(nil, 2, nil)), Answer{Messages: []Message{{Argument: AppendTypedValue(nil, "", nil)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Generation2.ParseAnswer(c.body); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
