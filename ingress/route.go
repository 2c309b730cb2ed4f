package ingress

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// routed appends an envelope without an Invocation for each route of the topic.
func (d *Decoder) routed(dst []protocol.Envelope, r *kgo.Record) ([]protocol.Envelope, error) {
	var message *dynamicpb.Message
	for i := range d.topic.Routes {
		route := &d.topic.Routes[i]
		if message == nil || message.Descriptor() != route.Message {
			message = dynamicpb.NewMessage(route.Message)
			if err := proto.Unmarshal(r.Value, message); err != nil {
				return dst, d.invalid(Undecodable, r, "it is no %s: %v", route.Message.FullName(), err)
			}
		}
		target, err := address(route, message)
		if err != nil {
			return dst, d.invalid(Undecodable, r, "its target cannot be told: %v", err)
		}
		dst = append(dst, protocol.Envelope{Target: target})
	}
	return dst, nil
}

// address puts the fields of a message into a route.
func address(route *module.Route, message protoreflect.Message) (a protocol.Address, err error) {
	for _, part := range []struct {
		parts []module.RoutePart
		into  *string
	}{{route.Namespace, &a.Type.Namespace}, {route.Name, &a.Type.Name}, {route.ID, &a.ID}} {
		if *part.into, err = routeText(part.parts, message); err != nil {
			return protocol.Address{}, err
		}
	}
	return a, nil
}

func routeText(parts []module.RoutePart, message protoreflect.Message) (string, error) {
	var text strings.Builder
	for i := range parts {
		if parts[i].Path == nil {
			text.WriteString(parts[i].Text)
			continue
		}
		v, err := follow(parts[i].Path, message)
		if err != nil {
			return "", err
		}
		text.WriteString(v)
	}
	return text.String(), nil
}

// follow returns the text of the field at the end of a path. What is not set has its default value, as in Java.
func follow(path []module.RouteStep, message protoreflect.Message) (string, error) {
	var v protoreflect.Value
	for i := range path {
		step := &path[i]
		v = message.Get(step.Field)
		if step.Field.IsList() {
			list := v.List()
			if step.Index >= list.Len() {
				return "", fmt.Errorf("%s[%d] is asked for and the list has %d elements", step.Field.FullName(), step.Index, list.Len())
			}
			v = list.Get(step.Index)
		}
		if i < len(path)-1 {
			message = v.Message()
		}
	}
	return javaText(path[len(path)-1].Field, v), nil
}

// javaText writes a value as StateFun, on the JVM, puts it into an address, so that a module that moves here finds the
// same instances: unsigned numbers have the sign of their bits there.
func javaText(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch f.Kind() {
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.FormatInt(int64(int32(uint32(v.Uint()))), 10)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.FormatInt(int64(v.Uint()), 10)
	case protoreflect.FloatKind:
		return javaFloat(v.Float(), 32)
	case protoreflect.DoubleKind:
		return javaFloat(v.Float(), 64)
	case protoreflect.EnumKind:
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			return string(known.Name())
		}
		return fmt.Sprintf("UNKNOWN_ENUM_VALUE_%s_%d", f.Enum().Name(), v.Enum())
	case protoreflect.StringKind:
		return javaString([]byte(v.String()))
	}
	return v.String()
}

// javaFloat is Java's Double.toString or Float.toString: plain from a thousandth up to ten million, with an exponent
// beyond, and always with a digit behind the point.
func javaFloat(v float64, bits int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strings.Replace(strings.TrimPrefix(strconv.FormatFloat(v, 'f', -1, bits), "+"), "Inf", "Infinity", 1)
	}
	if size := math.Abs(v); size == 0 || size >= 1e-3 && size < 1e7 {
		plain := strconv.FormatFloat(v, 'f', -1, bits)
		if !strings.Contains(plain, ".") {
			plain += ".0"
		}
		return plain
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, bits), "e")
	if !strings.Contains(digits, ".") { // Java never writes one digit alone: of two it takes the nearest, as in 4.9E-324
		digits, exponent, _ = strings.Cut(strconv.FormatFloat(v, 'e', 1, bits), "e")
	}
	sign := strings.TrimPrefix(exponent[:1], "+")
	return digits + "E" + sign + strings.TrimLeft(exponent[1:], "0")
}
