package module

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// A Route is the target of a router: three texts with fields of the message in them, as in
// com.example/{{$.kind}}/{{$.user.names[0]}}.
type Route struct {
	// Message is what the records of the ingress are.
	Message             protoreflect.MessageDescriptor
	Namespace, Name, ID []RoutePart
	Position
}

// A RoutePart is a piece of text, or a field when Path is not empty.
type RoutePart struct {
	Text string
	// Path leads to the field; all of its steps but the last one lead to messages.
	Path []RouteStep
}

// A RouteStep is a field of a message, one element of it when the field is a list.
type RouteStep struct {
	Field protoreflect.FieldDescriptor
	Index int
}

// field is {{ and what stands up to the next }}.
var routeField = regexp.MustCompile(`\{\{([^}]*)\}\}`)

// ParseRoute reads a target template for messages of a type. As in StateFun the last two slashes of the template, not
// of what becomes of it, divide namespace, name and id, so an id may hold slashes.
func ParseRoute(template string, message protoreflect.MessageDescriptor) (Route, error) {
	slash := strings.LastIndexByte(template, '/')
	second := strings.LastIndexByte(template[:max(slash, 0)], '/')
	if second <= 0 || second+1 == slash || slash+1 == len(template) {
		return Route{}, fmt.Errorf("%q is not of the form namespace/name/id", template)
	}
	r := Route{Message: message}
	for _, part := range []struct {
		text string
		into *[]RoutePart
	}{{template[:second], &r.Namespace}, {template[second+1 : slash], &r.Name}, {template[slash+1:], &r.ID}} {
		parsed, err := parseRouteParts(part.text, message)
		if err != nil {
			return Route{}, err
		}
		*part.into = parsed
	}
	return r, nil
}

func parseRouteParts(text string, message protoreflect.MessageDescriptor) ([]RoutePart, error) {
	var parts []RoutePart
	at := 0
	for _, m := range routeField.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > at {
			parts = append(parts, RoutePart{Text: text[at:m[0]]})
		}
		path, err := parsePath(text[m[2]:m[3]], message)
		if err != nil {
			return nil, err
		}
		parts = append(parts, RoutePart{Path: path})
		at = m[1]
	}
	if at < len(text) {
		parts = append(parts, RoutePart{Text: text[at:]})
	}
	return parts, nil
}

// step is a field with an index or without.
var routeStep = regexp.MustCompile(`^(\w+)(?:\[(\d+)\])?$`)

// parsePath reads $.a.b[0]. What would fail with every message is refused here: StateFun fails at the first one.
func parsePath(text string, message protoreflect.MessageDescriptor) ([]RouteStep, error) {
	rest, ok := strings.CutPrefix(text, "$.")
	if !ok {
		return nil, fmt.Errorf("the path %q must begin with $. and a field", text)
	}
	var path []RouteStep
	for name := range strings.SplitSeq(rest, ".") {
		if message == nil {
			return nil, fmt.Errorf("the path %q goes on behind %s, which is no message", text, path[len(path)-1].Field.FullName())
		}
		step, err := parseStep(text, name, message)
		if err != nil {
			return nil, err
		}
		path, message = append(path, step), step.Field.Message()
	}
	switch last := path[len(path)-1].Field; {
	case message != nil:
		return nil, fmt.Errorf("the path %q leads to %s, which is a message: name one of its fields", text, last.FullName())
	case last.Kind() == protoreflect.BytesKind:
		return nil, fmt.Errorf("the path %q leads to %s, which is bytes and no text", text, last.FullName())
	}
	return path, nil
}

func parseStep(path, text string, message protoreflect.MessageDescriptor) (RouteStep, error) {
	m := routeStep.FindStringSubmatch(text)
	if m == nil {
		return RouteStep{}, fmt.Errorf("the path %q cannot be read at %q: write $.field.field[0]", path, text)
	}
	step := RouteStep{Field: message.Fields().ByName(protoreflect.Name(m[1]))}
	if step.Field == nil {
		return RouteStep{}, fmt.Errorf("the path %q asks for field %s, which %s has not%s", path, m[1], message.FullName(), nearField(m[1], message))
	}
	list := step.Field.IsList()
	switch {
	case step.Field.IsMap():
		return RouteStep{}, fmt.Errorf("the path %q leads through %s, which is a map", path, step.Field.FullName())
	case m[2] != "" && !list:
		return RouteStep{}, fmt.Errorf("the path %q has an index behind %s, which is no list", path, step.Field.FullName())
	case m[2] == "" && list:
		return RouteStep{}, fmt.Errorf("the path %q needs an index behind %s, which is a list, as in %s[0]", path, step.Field.FullName(), m[1])
	case m[2] == "":
		return step, nil
	}
	var err error
	if step.Index, err = strconv.Atoi(m[2]); err != nil {
		return RouteStep{}, fmt.Errorf("the path %q has index %s, which is too large", path, m[2])
	}
	return step, nil
}

func nearField(name string, message protoreflect.MessageDescriptor) string {
	var names []string
	for i := range message.Fields().Len() {
		names = append(names, string(message.Fields().Get(i).Name()))
	}
	if near := didYouMean(name, names); near != "" {
		return ": " + near
	}
	return ""
}

// Target returns the function of a route when no field of the message decides it.
func (r *Route) Target() (namespace, name string, ok bool) {
	if len(r.Namespace) != 1 || len(r.Name) != 1 || r.Namespace[0].Path != nil || r.Name[0].Path != nil {
		return "", "", false
	}
	return r.Namespace[0].Text, r.Name[0].Text, true
}
