package protocol

import (
	"testing"

	_ "github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun" // registers the official messages
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"pgregory.net/rapid"
)

// The official generated messages are internal to the SDK but registered by name.
const (
	officialToFunction   = "io.statefun.sdk.reqreply.ToFunction"
	officialInvocation   = "io.statefun.sdk.reqreply.ToFunction.Invocation"
	officialFromFunction = "io.statefun.sdk.reqreply.FromFunction"
	officialAddress      = "io.statefun.sdk.reqreply.Address"
	officialTypedValue   = "io.statefun.sdk.reqreply.TypedValue"
	officialRecord       = "io.statefun.sdk.egress.KafkaProducerRecord"
)

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func official(t fataler, name string) protoreflect.Message {
	t.Helper()
	typ, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return typ.New()
}

func encode(t fataler, m protoreflect.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	return b
}

func decode(t fataler, name string, b []byte) (protoreflect.Message, error) {
	t.Helper()
	m := official(t, name)
	return m, proto.Unmarshal(b, m.Interface())
}

// value reads a field of an official message by its name in the .proto file.
func value(m protoreflect.Message, name string) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func has(m protoreflect.Message, name string) bool {
	return m.Has(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

// list returns the messages of a repeated field.
func list(m protoreflect.Message, name string) []protoreflect.Message {
	l := value(m, name).List()
	out := make([]protoreflect.Message, l.Len())
	for i := range out {
		out[i] = l.Get(i).Message()
	}
	return out
}

func set(m protoreflect.Message, name string, v any) protoreflect.Message {
	m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(v))
	return m
}

// fill gives every field of m a random value or none.
func fill(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case fd.IsList():
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				fill(t, m.Mutable(fd).List().AppendMutable().Message())
			}
		case !rapid.Bool().Draw(t, "present"):
		case fd.Message() != nil:
			fill(t, m.Mutable(fd).Message())
		default:
			m.Set(fd, scalar(t, fd))
		}
	}
}

func scalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		if fd.Name() == "typename" || fd.Name() == "type_typename" {
			return protoreflect.ValueOfString(rapid.SampledFrom([]string{"a/b", "a/b/", "io.statefun.types/int", "", "/x", KafkaProducerRecordType}).Draw(t, "type"))
		}
		return protoreflect.ValueOfString(rapid.String().Draw(t, "text"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(0, fd.Enum().Values().Len()-1).Draw(t, "enum")))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64Min(1).Draw(t, "int64"))
	}
	t.Fatalf("field %s has kind %s", fd.FullName(), fd.Kind())
	return protoreflect.Value{}
}

func toAddress(m protoreflect.Message) Address {
	return Address{
		Type: TypeName{Namespace: value(m, "namespace").String(), Name: value(m, "type").String()},
		ID:   value(m, "id").String(),
	}
}

func fromAddress(t fataler, a Address) protoreflect.Message {
	m := official(t, officialAddress)
	set(m, "namespace", a.Type.Namespace)
	set(m, "type", a.Type.Name)
	return set(m, "id", a.ID)
}

func drawAddress(t *rapid.T) Address {
	return Address{Type: TypeName{Namespace: rapid.String().Draw(t, "ns"), Name: rapid.String().Draw(t, "name")}, ID: rapid.String().Draw(t, "id")}
}

func TestTheOfficialMessagesAreRegistered(t *testing.T) {
	for _, name := range []string{officialToFunction, officialFromFunction, officialAddress, officialTypedValue, officialRecord, officialInvocation} {
		official(t, name)
	}
}
