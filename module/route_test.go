package module

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func orderMessage(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(`name: "order.proto" package: "t" syntax: "proto3"
  message_type { name: "Order"
    field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "lines" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".t.Order" }
    field { name: "tags" number: 3 type: TYPE_STRING label: LABEL_REPEATED }
    field { name: "raw" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL }
    field { name: "of" number: 5 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".t.Order" }
    field { name: "map" number: 6 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".t.Order.MapEntry" }
    nested_type { name: "MapEntry" options { map_entry: true }
      field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } } }`), file); err != nil {
		t.Fatal(err)
	}
	d, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Messages().ByName("Order")
}

// show writes the parts of a route with | between them.
func show(parts []RoutePart) string {
	var all []string
	for _, p := range parts {
		text := p.Text
		for i, step := range p.Path {
			text += fmt.Sprintf("%s%s", []string{".", "$."}[min(1, max(0, 1-i))], step.Field.Name())
			if step.Field.IsList() {
				text += fmt.Sprintf("[%d]", step.Index)
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, "|")
}

func TestATemplateIsDividedAtItsLastTwoSlashes(t *testing.T) {
	message := orderMessage(t)
	for template, want := range map[string]string{
		"com.example/hello/{{$.name}}":              "com.example hello $.name",
		"a/b/c/{{$.name}}":                          "a/b c $.name",
		"a{{$.name}}b/c-{{$.tags[2]}}/x":            "a|$.name|b c-|$.tags[2] x",
		"{{$.name}}/{{$.name}}/{{$.of.of.tags[0]}}": "$.name $.name $.of.of.tags[0]",
		"a/b/{{$.lines[7].name}}{{$.name}}":         "a b $.lines[7].name|$.name",
		"a/b/{{$.name}":                             "a b {{$.name}",
	} {
		r, err := ParseRoute(template, message)
		if got := show(r.Namespace) + " " + show(r.Name) + " " + show(r.ID); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", template, got, err, want)
		}
	}
}

func TestATemplateThatFailsWithEveryMessageIsRefused(t *testing.T) {
	message := orderMessage(t)
	for template, want := range map[string]string{
		"hello/{{$.name}}":     `"hello/{{$.name}}" is not of the form namespace/name/id`,
		"/hello/x":             "is not of the form",
		"a//x":                 "is not of the form",
		"a/b/":                 "is not of the form",
		"x":                    "is not of the form",
		"":                     "is not of the form",
		"a/b/{{name}}":         `the path "name" must begin with $. and a field`,
		"a/b/{{}}":             `the path "" must begin`,
		"a/b/{{ $.name }}":     `the path " $.name " must begin`,
		"a/b/{{$.}}":           `the path "$." cannot be read at ""`,
		"a/b/{{$.name.}}":      "goes on behind t.Order.name, which is no message",
		"a/b/{{$.tags[x]}}":    `cannot be read at "tags[x]": write $.field.field[0]`,
		"a/b/{{$.tags[-1]}}":   `cannot be read at "tags[-1]"`,
		"a/b/{{$.tags}}":       "needs an index behind t.Order.tags, which is a list, as in tags[0]",
		"a/b/{{$.lines.name}}": "needs an index behind t.Order.lines",
		"a/b/{{$.name[0]}}":    "has an index behind t.Order.name, which is no list",
		"a/b/{{$.of}}":         "leads to t.Order.of, which is a message: name one of its fields",
		"a/b/{{$.raw}}":        "leads to t.Order.raw, which is bytes and no text",
		"a/b/{{$.map[0]}}":     "leads through t.Order.map, which is a map",
		"a/b/{{$.nam}}":        `asks for field nam, which t.Order has not: did you mean "name"?`,
		"a/b/{{$.tags[" + strings.Repeat("9", 30) + "]}}": "which is too large",
	} {
		if r, err := ParseRoute(template, message); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", template, r, err, want)
		}
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, template := range []string{"a/b/{{$.name}}", "a/{{$.of.tags[0]}}/x{{$.lines[1].name}}", "{{{{}}}}/{{/}}"} {
		f.Add(template)
	}
	f.Fuzz(func(t *testing.T, template string) {
		r, err := ParseRoute(template, orderMessage(t))
		if err == nil && (len(r.Namespace) == 0 || len(r.Name) == 0 || len(r.ID) == 0) {
			t.Errorf("%q has an empty part: %+v", template, r)
		}
	})
}
