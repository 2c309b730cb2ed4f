package conformance

import (
	"fmt"
	"strings"

	_ "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun" // registers the official messages
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The official messages are internal to the SDK, but found by their names.
const (
	toFunction   = "io.statefun.sdk.reqreply.ToFunction"
	fromFunction = "io.statefun.sdk.reqreply.FromFunction"
	kafkaRecord  = "io.statefun.sdk.egress.KafkaProducerRecord"
)

// The types that values have in most cases.
const (
	valueType  = "conformance/value"
	recordType = "type.googleapis.com/" + kafkaRecord
)

func official(name string) protoreflect.Message {
	typ, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		panic(fmt.Sprintf("the SDK registers no message %s: %v", name, err))
	}
	return typ.New()
}

// fromText encodes a message that is given in protobuf's text format.
func fromText(name, text string) []byte {
	m := official(name)
	if err := prototext.Unmarshal([]byte(text), m.Interface()); err != nil {
		panic(fmt.Sprintf("%v in\n%s", err, text))
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", name, err))
	}
	return b
}

// address is that of a function's instance.
type address struct{ Namespace, Type, ID string }

func (a address) String() string { return a.Namespace + "/" + a.Type + "/" + a.ID }

// value is a TypedValue.
type value struct {
	Type  string
	Has   bool
	Bytes string
}

// stateEntry is one state of a request; Value is nil when the request has none.
type stateEntry struct {
	Name  string
	Value *value
}

// invocation is one message of a request; Caller is nil when the request has none.
type invocation struct {
	Caller   *address
	Argument value
}

// request is a ToFunction.
type request struct {
	Target      address
	States      []stateEntry
	Invocations []invocation
}

// state is the entry of that name; nil when the request has none.
func (r request) state(name string) *stateEntry {
	for i := range r.States {
		if r.States[i].Name == name {
			return &r.States[i]
		}
	}
	return nil
}

// arguments are the bytes of the invocations, with blanks between them.
func (r request) arguments() string {
	var all []string
	for _, i := range r.Invocations {
		all = append(all, i.Argument.Bytes)
	}
	return strings.Join(all, " ")
}

func parseRequest(body []byte) (request, error) {
	m := official(toFunction)
	if err := proto.Unmarshal(body, m.Interface()); err != nil {
		return request{}, fmt.Errorf("parse request: %w", err)
	}
	batch, ok := sub(m, "invocation")
	if !ok {
		return request{}, fmt.Errorf("the request has no invocation")
	}
	var r request
	target, _ := sub(batch, "target")
	r.Target = addressOf(target)
	each(batch, "state", func(s protoreflect.Message) {
		e := stateEntry{Name: text(s, "state_name")}
		if v, ok := sub(s, "state_value"); ok {
			e.Value = new(valueOf(v))
		}
		r.States = append(r.States, e)
	})
	each(batch, "invocations", func(i protoreflect.Message) {
		var one invocation
		if caller, ok := sub(i, "caller"); ok {
			one.Caller = new(addressOf(caller))
		}
		argument, _ := sub(i, "argument")
		one.Argument = valueOf(argument)
		r.Invocations = append(r.Invocations, one)
	})
	return r, nil
}

func addressOf(m protoreflect.Message) address {
	return address{text(m, "namespace"), text(m, "type"), text(m, "id")}
}

func valueOf(m protoreflect.Message) value {
	return value{Type: text(m, "typename"), Has: field(m, "has_value").Bool(), Bytes: string(field(m, "value").Bytes())}
}

func field(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func text(m protoreflect.Message, name string) string { return field(m, name).String() }

// sub is a message inside another, and whether it is there.
func sub(m protoreflect.Message, name string) (protoreflect.Message, bool) {
	return field(m, name).Message(), m.Has(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func each(m protoreflect.Message, name string, visit func(protoreflect.Message)) {
	list := field(m, name).List()
	for i := range list.Len() {
		visit(list.Get(i).Message())
	}
}
