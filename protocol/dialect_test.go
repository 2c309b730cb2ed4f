package protocol

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

// The dialect of StateFun's maintained fork as messages: what is new in it are TypedValue.metadata and
// KafkaProducerRecord.headers, both number 4, both lists of {1 key, 2 value, 3 has_value}.
const (
	typeText    = descriptorpb.FieldDescriptorProto_TYPE_STRING
	typeBytes   = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	typeBool    = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	typeMessage = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

func fieldOf(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
	return &descriptorpb.FieldDescriptorProto{
		Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
}

func listOf(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
	f := fieldOf(name, number, typeMessage)
	f.TypeName, f.Label = proto.String(of), descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}

func oneOf(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
	f := fieldOf(name, number, typeMessage)
	f.TypeName = proto.String(of)
	return f
}

func messageOf(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
	return &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields}
}

func dialect(t fataler) protoreflect.MessageDescriptors {
	t.Helper()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("dialect.proto"), Package: proto.String("dialect"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			messageOf("Metadata", fieldOf("key", 1, typeText), fieldOf("value", 2, typeBytes), fieldOf("has_value", 3, typeBool)),
			messageOf("TypedValue", fieldOf("typename", 1, typeText), fieldOf("has_value", 2, typeBool), fieldOf("value", 3, typeBytes),
				listOf("metadata", 4, ".dialect.Metadata")),
			messageOf("Invocation", oneOf("argument", 2, ".dialect.TypedValue")),
			messageOf("KafkaProducerRecord", fieldOf("key", 1, typeText), fieldOf("value_bytes", 2, typeBytes), fieldOf("topic", 3, typeText),
				listOf("headers", 4, ".dialect.Metadata")),
		},
	}, nil)
	if err != nil {
		t.Fatalf("the dialect's file: %v", err)
	}
	return file.Messages()
}

func headersOf(m protoreflect.Message, name string) []KafkaHeader {
	var all []KafkaHeader
	for _, e := range list(m, name) {
		h := KafkaHeader{Key: value(e, "key").String()}
		if value(e, "has_value").Bool() {
			h.Value = append([]byte{}, value(e, "value").Bytes()...)
		}
		all = append(all, h)
	}
	return all
}

// setEntries fills a list of the dialect as the fork does: a null header has neither value nor has_value.
func setEntries(m protoreflect.Message, name string, entries []KafkaHeader) {
	l := m.Mutable(m.Descriptor().Fields().ByName(protoreflect.Name(name))).List()
	for _, h := range entries {
		e := l.AppendMutable().Message()
		set(e, "key", h.Key)
		if h.Value != nil {
			set(e, "value", h.Value)
			set(e, "has_value", true)
		}
	}
}

func drawHeaders(t *rapid.T) []KafkaHeader {
	var all []KafkaHeader
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		h := KafkaHeader{Key: rapid.String().Draw(t, "key")}
		if rapid.Bool().Draw(t, "has value") {
			h.Value = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")
		}
		all = append(all, h)
	}
	return all
}

func TestAnIngressInvocationWithMetadataIsByteForByteTheDialects(t *testing.T) {
	messages := dialect(t)
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content")
		entries := drawHeaders(t)
		m := dynamicpb.NewMessage(messages.ByName("Invocation"))
		v := m.Mutable(m.Descriptor().Fields().ByName("argument")).Message()
		set(v, "typename", "a/b")
		set(v, "has_value", true)
		set(v, "value", content)
		setEntries(v, "metadata", entries)
		want := encode(t, m)
		got := AppendIngressInvocation(nil, "a/b", content, entries...)
		if !bytes.Equal(got, want) {
			t.Fatalf("dialect %x\nours    %x", want, got)
		}
		if size := SizeIngressInvocation("a/b", content, entries...); size != len(got) {
			t.Fatalf("size %d, want %d", size, len(got))
		}
		// To who knows nothing of the dialect it is the same message.
		official, err := decode(t, officialInvocation, got)
		if err != nil {
			t.Fatalf("the official messages: %v", err)
		}
		argument := value(official, "argument").Message()
		if value(argument, "typename").String() != "a/b" || !bytes.Equal(value(argument, "value").Bytes(), content) {
			t.Fatalf("the official messages read %v", argument)
		}
		if len(entries) == 0 && !bytes.Equal(got, AppendInvocation(nil, nil, AppendTypedValue(nil, "a/b", content))) {
			t.Fatal("without metadata there is more than before")
		}
	})
}

func TestAKafkaRecordOfTheDialectIsReadWithItsHeaders(t *testing.T) {
	messages := dialect(t)
	rapid.Check(t, func(t *rapid.T) {
		m := dynamicpb.NewMessage(messages.ByName("KafkaProducerRecord"))
		set(m, "key", rapid.String().Draw(t, "key"))
		set(m, "topic", "out")
		set(m, "value_bytes", rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "content"))
		setEntries(m, "headers", drawHeaders(t))
		got, err := ParseKafkaProducerRecord(encode(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if want := headersOf(m, "headers"); !reflect.DeepEqual(got.Headers, want) {
			t.Fatalf("%q, want %q", got.Headers, want)
		}
		if got.Key != value(m, "key").String() || !bytes.Equal(got.Value, value(m, "value_bytes").Bytes()) {
			t.Fatalf("%+v, want %v", got, m)
		}
	})
}

// What a state keeps is its value: the dialect says nothing of metadata there, and its runtime stores none.
func TestMetadataOfAStateIsNotKept(t *testing.T) {
	argument := oneMetadata(AppendTypedValue(nil, "a/b", []byte("v")), "k", "secret")
	mutation := join(varint(1, 1), appendText(nil, 2, "seen"), appendBytes(nil, 3, argument))
	got, err := ParseAnswer(appendBytes(nil, invocationResult, appendBytes(nil, 1, mutation)))
	if err != nil || len(got.Mutations) != 1 || !reflect.DeepEqual(got.Mutations[0], Mutation{Name: "seen", Type: "a/b", Value: []byte("v")}) {
		t.Errorf("%+v, %v", got, err)
	}
}
