package ingress

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// everything is a message with a field of each kind that a template may name.
func everything(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	text := `name: "all.proto" package: "t" syntax: "proto3"
  enum_type { name: "Colour" value { name: "NONE" number: 0 } value { name: "RED" number: 1 } }
  message_type { name: "All"
    field { name: "colour" number: 20 type: TYPE_ENUM label: LABEL_OPTIONAL type_name: ".t.Colour" }
    field { name: "of" number: 21 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".t.All" }
    field { name: "list" number: 22 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".t.All" }
    field { name: "tags" number: 23 type: TYPE_STRING label: LABEL_REPEATED }`
	for i, kind := range []string{"STRING", "BOOL", "INT32", "SINT32", "SFIXED32", "UINT32", "FIXED32", "INT64", "SINT64", "SFIXED64", "UINT64", "FIXED64", "FLOAT", "DOUBLE"} {
		text += fmt.Sprintf("\nfield { name: %q number: %d type: TYPE_%s label: LABEL_OPTIONAL }", strings.ToLower(kind), i+1, kind)
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(text+"}"), file); err != nil {
		t.Fatal(err)
	}
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Messages().ByName("All")
}

// encoded is a message that is given in protobuf's text format.
func encoded(t testing.TB, d protoreflect.MessageDescriptor, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(d)
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

func routing(t testing.TB, d protoreflect.MessageDescriptor, templates ...string) *Decoder {
	t.Helper()
	topic := &module.IngressTopic{Topic: "names", ValueType: "type.googleapis.com/t.All"}
	for _, template := range templates {
		r, err := module.ParseRoute(template, d)
		if err != nil {
			t.Fatal(err)
		}
		topic.Routes = append(topic.Routes, r)
	}
	in := &module.Ingress{ID: protocol.TypeName{Namespace: "app", Name: "in"}}
	return NewDecoder(in, topic, func(fn protocol.TypeName) bool { return fn != nobody }, 0)
}

func TestARoutedRecordBecomesOneEnvelopeARoute(t *testing.T) {
	d := everything(t)
	value := encoded(t, d, `string: "bob" of { tags: "a/b" } list {} list { int32: -7 }`)
	got, err := routing(t, d, "ns/greeter/{{$.string}}", "{{$.string}}/x{{$.of.tags[0]}}y/{{$.list[1].int32}}!").Decode(record(nil, value))
	invocation := protocol.AppendIngressInvocation(nil, "type.googleapis.com/t.All", value)
	want := []protocol.Envelope{
		{Target: protocol.Address{Type: greeter, ID: "bob"}, Invocation: invocation},
		{Target: protocol.Address{Type: protocol.TypeName{Namespace: "bob", Name: "xa/by"}, ID: "-7!"}, Invocation: invocation},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
}

func TestFieldsAreWrittenAsTheJVMWritesThem(t *testing.T) {
	d := everything(t)
	for field, c := range map[string]struct{ set, want string }{
		"string":   {`string: "é/{{$.x}}"`, "é/{{$.x}}"},
		"bool":     {"bool: true", "true"},
		"int32":    {"int32: -5", "-5"},
		"sint32":   {"sint32: -5", "-5"},
		"sfixed32": {"sfixed32: 5", "5"},
		"uint32":   {"uint32: 4294967295", "-1"},
		"fixed32":  {"fixed32: 2147483648", "-2147483648"},
		"int64":    {"int64: -5", "-5"},
		"sint64":   {"sint64: 5", "5"},
		"sfixed64": {"sfixed64: -9223372036854775808", "-9223372036854775808"},
		"uint64":   {"uint64: 18446744073709551615", "-1"},
		"fixed64":  {"fixed64: 7", "7"},
		"float":    {"float: 0.1", "0.1"},
		"double":   {"double: 1e7", "1.0E7"},
		"colour":   {"colour: RED", "RED"},
	} {
		got, err := routing(t, d, "a/b/{{$."+field+"}}").Decode(record(nil, encoded(t, d, c.set)))
		if err != nil || got[0].Target.ID != c.want {
			t.Errorf("%s: %+v, %v, want %q", c.set, got, err, c.want)
		}
	}
	for field, want := range map[string]string{
		"string": "", "bool": "false", "int32": "0", "double": "0.0", "colour": "NONE", "of.of.string": "",
	} {
		got, err := routing(t, d, "a/b/{{$."+field+"}}").Decode(record(nil, []byte{}))
		if err != nil || got[0].Target.ID != want {
			t.Errorf("%s that is not set: %+v, %v, want %q", field, got, err, want)
		}
	}
	unknown := routing(t, d, "a/b/{{$.colour}}")
	if got, err := unknown.Decode(record(nil, encoded(t, d, "colour: 9"))); err != nil || got[0].Target.ID != "UNKNOWN_ENUM_VALUE_Colour_9" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFloatsAreWrittenAsTheJVMWritesThem(t *testing.T) {
	for want, c := range map[string]struct {
		v    float64
		bits int
	}{
		"1.0": {1, 64}, "-0.0": {math.Copysign(0, -1), 64}, "0.001": {1e-3, 64}, "9.99E-4": {9.99e-4, 64}, "9999999.0": {9999999, 64}, "1.0E7": {1e7, 64},
		"-1.25E10": {-1.25e10, 64}, "1.0E-5": {1e-5, 64}, "1.7976931348623157E308": {math.MaxFloat64, 64}, "4.9E-324": {math.SmallestNonzeroFloat64, 64},
		"3.4028235E38": {math.MaxFloat32, 32}, "0.1": {float64(float32(0.1)), 32}, "NaN": {math.NaN(), 64}, "Infinity": {math.Inf(1), 64}, "-Infinity": {math.Inf(-1), 32},
		"123.456": {123.456, 64}, "100.0": {100, 32},
	} {
		if got := javaFloat(c.v, c.bits); got != want {
			t.Errorf("%v is written %s, want %s", c.v, got, want)
		}
	}
}

func TestARoutedRecordThatHasNoTargetIsInvalidAsAWhole(t *testing.T) {
	d := everything(t)
	tests := []struct {
		name, template string
		value          []byte
		reason, detail string
	}{
		{"no message of this type", "a/b/x", []byte{0x0a, 5, 'x'}, Undecodable, "ingress app/in: record names[3]@41: it is no t.All"},
		{"text that is not UTF-8", "a/b/x", []byte{0x0a, 1, 0xff}, Undecodable, "it is no t.All"},
		{"an index behind the end", "a/b/{{$.tags[1]}}", encoded(t, d, `tags: "one"`), Undecodable, "t.All.tags[1] is asked for and the list has 1 elements"},
		{"an index behind the end, on the way", "a/b/{{$.list[0].string}}", []byte{}, Undecodable, "t.All.list[0] is asked for and the list has 0 elements"},
		{"nobody serves it", "ns/{{$.string}}/x", encoded(t, d, `string: "nobody"`), UnknownTarget, "no endpoint serves its target ns/nobody"},
		{"no value", "a/b/x", nil, Tombstone, "no value"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := []protocol.Envelope{{Target: protocol.Address{ID: "earlier"}}}
			got, err := routing(t, d, "ns/greeter/fine", test.template).DecodeTo(before, record(nil, test.value))
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Reason != test.reason || !strings.Contains(invalid.Error(), test.detail) {
				t.Errorf("%v, want %s with %q", err, test.reason, test.detail)
			}
			if !reflect.DeepEqual(got, before) {
				t.Errorf("envelopes came with the error: %+v", got)
			}
		})
	}
}
