package statefun_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	official "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the official SDK logs each hand-shake
	os.Exit(m.Run())
}

// newMessage makes an official message; the generated types are internal to the SDK but registered by name.
func newMessage(name string) protoreflect.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("io.statefun.sdk.reqreply." + name))
	if err != nil {
		panic(err)
	}
	return kind.New()
}

func get(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

// each lists the messages of a repeated field.
func each(m protoreflect.Message, name string) []protoreflect.Message {
	var all []protoreflect.Message
	for list, i := get(m, name).List(), 0; i < list.Len(); i++ {
		all = append(all, list.Get(i).Message())
	}
	return all
}

// sortBy orders a repeated field whose order has no meaning.
func sortBy(m protoreflect.Message, list, key string) {
	messages := each(m, list)
	slices.SortFunc(messages, func(a, b protoreflect.Message) int {
		return strings.Compare(get(a, key).String(), get(b, key).String())
	})
	fresh := m.NewField(m.Descriptor().Fields().ByName(protoreflect.Name(list)))
	for _, message := range messages {
		fresh.List().Append(protoreflect.ValueOfMessage(message))
	}
	if fresh.List().Len() > 0 {
		m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(list)), fresh)
	}
}

// meaning parses an answer and takes out what means nothing: the order of mutations and of missing states, and the line
// break that the official SDK writes behind JSON.
func meaning(t testing.TB, answer []byte) protoreflect.Message {
	t.Helper()
	m := newMessage("FromFunction")
	if err := proto.Unmarshal(answer, m.Interface()); err != nil {
		t.Fatalf("the answer is no FromFunction: %v", err)
	}
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		t.Fatalf("the answer has unknown fields %x", unknown)
	}
	result, incomplete := get(m, "invocation_result").Message(), get(m, "incomplete_invocation_context").Message()
	if incomplete.IsValid() {
		sortBy(incomplete, "missing_values", "state_name")
	}
	if result.IsValid() {
		sortBy(result, "state_mutations", "state_name")
		var values []protoreflect.Message
		for _, mutation := range each(result, "state_mutations") {
			values = append(values, get(mutation, "state_value").Message())
		}
		for _, list := range []string{"outgoing_messages", "delayed_invocations", "outgoing_egresses"} {
			for _, sent := range each(result, list) {
				values = append(values, get(sent, "argument").Message())
			}
		}
		for _, v := range values {
			trimJSON(v)
		}
	}
	return m
}

func trimJSON(v protoreflect.Message) {
	if v.IsValid() && get(v, "typename").String() == string(docType.Name()) {
		v.Set(v.Descriptor().Fields().ByName("value"), protoreflect.ValueOfBytes(bytes.TrimSuffix(get(v, "value").Bytes(), []byte("\n"))))
	}
}

// oursHandler and officialHandler serve the same interpreter.
var oursHandler = sync.OnceValue(func() *statefun.Handler {
	h, err := statefun.NewHandler(
		statefun.Function{Type: "test/f", States: oursStates(), Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			return interpret(oursSurface{ctx}, programType.Is(m), m.Bytes())
		}},
		statefun.Function{Type: "test/stateless", Invoke: func(ctx *statefun.Context, m statefun.Message) error { return nil }})
	if err != nil {
		panic(err)
	}
	return h
})

var officialHandler = sync.OnceValue(func() official.RequestReplyHandler {
	builder := official.StatefulFunctionsBuilder()
	run := func(ctx official.Context, m official.Message) error {
		return interpret(officialSurface{ctx}, m.Is(officialRaw{programType.Name()}), m.RawValue())
	}
	none := func(official.Context, official.Message) error { return nil }
	for _, s := range []official.StatefulFunctionSpec{
		{FunctionType: official.TypeNameFrom("test/f"), States: officialStates(), Function: official.StatefulFunctionPointer(run)},
		{FunctionType: official.TypeNameFrom("test/stateless"), Function: official.StatefulFunctionPointer(none)},
	} {
		if err := builder.WithSpec(s); err != nil {
			panic(err)
		}
	}
	return builder.AsHandler()
})

// callOfficial turns a panic, which the official SDK has for requests without a target, into an error.
func callOfficial(h official.RequestReplyHandler, request []byte) (answer []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return h.Invoke(context.Background(), request)
}

// strictness are the refusals of ours that the official SDK does not have, on purpose: a header that is none, a state
// whose value is of another type than the function's, and bytes behind a JSON value.
var strictness = []string{"parse header", "holds a value of type", "after top-level value"}

// compare gives both handlers the same request. It returns our answer, and the official one.
func compare(t testing.TB, request []byte) (ours, theirs []byte) {
	t.Helper()
	ours, err := oursHandler().Invoke(context.Background(), slices.Clone(request))
	theirs, theirErr := callOfficial(officialHandler(), slices.Clone(request))
	switch {
	case err != nil && theirErr != nil:
		return nil, nil
	case err != nil:
		for _, reason := range strictness {
			if strings.Contains(err.Error(), reason) {
				return nil, nil
			}
		}
		t.Fatalf("ours refuses what the official SDK answers: %v\nrequest %x", err, request)
	case theirErr != nil && (strings.Contains(theirErr.Error(), "nil pointer") || strings.Contains(theirErr.Error(), "non-empty target")):
		return nil, nil // it falls over what is absent: an argument, or a part of a caller that is replied to
	case theirErr != nil:
		t.Fatalf("the official SDK refuses what ours answers: %v\nrequest %x", theirErr, request)
	}
	a, b := meaning(t, ours), meaning(t, theirs)
	if !proto.Equal(a.Interface(), b.Interface()) {
		t.Fatalf("the answers differ\nours: %s\n\nofficial: %s\n\nrequest %x",
			prototext.Format(a.Interface()), prototext.Format(b.Interface()), request)
	}
	return ours, theirs
}

// requests are those of testdata/requests, by file: *.bin was recorded from a worker with forwardHeaders, *.txtpb is
// written by hand.
func requests(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/requests/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no requests in testdata: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(file) == ".bin" {
			all[filepath.Base(file)] = text
			continue
		}
		m := newMessage("ToFunction")
		if err := prototext.Unmarshal(text, m.Interface()); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		body, err := proto.Marshal(m.Interface())
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = body
	}
	return all
}

func TestRecordedRequestsAreAnsweredAsByTheOfficialSDK(t *testing.T) {
	for name, request := range requests(t) {
		t.Run(name, func(t *testing.T) { compare(t, request) })
	}
}

// FuzzRequest gives both SDKs any bytes as a request.
func FuzzRequest(f *testing.F) {
	for _, request := range requests(f) {
		f.Add(request)
	}
	for _, request := range requests(f) {
		f.Add(slices.Concat(request, request)) // merged, as protobuf has it
		f.Add(request[:len(request)/2])
	}
	f.Fuzz(func(t *testing.T, request []byte) { compare(t, request) })
}

// FuzzConversation runs programs on one instance, the state of which goes from the answers of one SDK to the
// requests of the other and back.
func FuzzConversation(f *testing.F) {
	f.Add([]byte{})
	for seed := range 64 {
		program := make([]byte, 0, 512)
		for i := range 512 {
			program = append(program, byte((i*i*7+i*(seed*13+5)+seed*31)>>(i%5)))
		}
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		p := &program{source: source}
		states := map[string]protoreflect.Message{}
		for _, name := range stateNames() {
			states[name] = nil
		}
		for step := 0; !p.done() && step < 20; step++ {
			request := p.request(states)
			ours, theirs := compare(t, request)
			if ours == nil {
				continue // it failed: nothing has changed
			}
			from := theirs
			if step%2 == 0 {
				from = ours
			}
			for _, mutation := range each(get(parse(t, from), "invocation_result").Message(), "state_mutations") {
				name := get(mutation, "state_name").String()
				if states[name] = nil; get(mutation, "mutation_type").Enum() == 1 {
					states[name] = get(mutation, "state_value").Message()
				}
			}
		}
	})
}

func parse(t testing.TB, answer []byte) protoreflect.Message {
	t.Helper()
	m := newMessage("FromFunction")
	if err := proto.Unmarshal(answer, m.Interface()); err != nil {
		t.Fatal(err)
	}
	return m
}
