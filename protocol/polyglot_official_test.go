package protocol

import (
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "google.golang.org/protobuf/types/known/anypb" // google.protobuf.Any by its name
)

// The messages of the 2.x protocol as StateFun 2.2 declares them. No Go package has them, so protobuf's own
// implementation makes them of this, and is what our codec is compared with.
const polyglotPackage = "org.apache.flink.statefun.flink.core.polyglot"

const polyglotFile = `
name: "http-function.proto" package: "org.apache.flink.statefun.flink.core.polyglot" syntax: "proto3"
dependency: "google/protobuf/any.proto"
message_type { name: "Address"
  field { name: "namespace" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "type" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "id" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "ToFunction"
  oneof_decl { name: "request" }
  field { name: "invocation" number: 100 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "InvocationBatchRequest" oneof_index: 0 }
  nested_type { name: "PersistedValue"
    field { name: "state_name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "state_value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL } }
  nested_type { name: "Invocation"
    field { name: "caller" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Address" }
    field { name: "argument" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Any" } }
  nested_type { name: "InvocationBatchRequest"
    field { name: "target" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Address" }
    field { name: "state" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "PersistedValue" }
    field { name: "invocations" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "Invocation" } } }
message_type { name: "FromFunction"
  oneof_decl { name: "response" }
  field { name: "invocation_result" number: 100 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "InvocationResponse" oneof_index: 0 }
  nested_type { name: "PersistedValueMutation"
    enum_type { name: "MutationType" value { name: "DELETE" number: 0 } value { name: "MODIFY" number: 1 } }
    field { name: "mutation_type" number: 1 type: TYPE_ENUM label: LABEL_OPTIONAL type_name: "MutationType" }
    field { name: "state_name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "state_value" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL } }
  nested_type { name: "Invocation"
    field { name: "target" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Address" }
    field { name: "argument" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Any" } }
  nested_type { name: "DelayedInvocation"
    field { name: "delay_in_ms" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "target" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: "Address" }
    field { name: "argument" number: 3 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Any" } }
  nested_type { name: "EgressMessage"
    field { name: "egress_namespace" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "egress_type" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "argument" number: 3 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Any" } }
  nested_type { name: "InvocationResponse"
    field { name: "state_mutations" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "PersistedValueMutation" }
    field { name: "outgoing_messages" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "Invocation" }
    field { name: "delayed_invocations" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "DelayedInvocation" }
    field { name: "outgoing_egresses" number: 4 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: "EgressMessage" } } }
`

var polyglotMessages = func() protoreflect.FileDescriptor {
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(polyglotFile), file); err != nil {
		panic(err)
	}
	d, err := protodesc.FileOptions{AllowUnresolvable: false}.New(qualified(file), protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	return d
}()

// qualified writes type names in full, as descriptors have them.
func qualified(file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	for _, m := range file.MessageType {
		qualifyFields(m, m.GetName())
		for _, nested := range m.NestedType {
			qualifyFields(nested, m.GetName())
		}
	}
	return file
}

func qualifyFields(m *descriptorpb.DescriptorProto, outer string) {
	for _, field := range m.Field {
		name := field.GetTypeName()
		switch {
		case name == "" || name[0] == '.':
			continue
		case name == "Address":
		case len(m.EnumType) > 0:
			name = outer + "." + m.GetName() + "." + name
		default:
			name = outer + "." + name
		}
		field.TypeName = proto.String("." + polyglotPackage + "." + name)
	}
}

// polyglot returns a new message of the 2.x protocol.
func polyglot(name protoreflect.Name) *dynamicpb.Message {
	return dynamicpb.NewMessage(polyglotMessages.Messages().ByName(name))
}
