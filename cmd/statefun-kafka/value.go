package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The types that every SDK has, each a Protobuf message with one field of number 1. A value equal to the type's zero is no
// bytes at all. Every other type's bytes are the user's own.
const (
	typeString = "io.statefun.types/string"
	typeInt    = "io.statefun.types/int"
	typeLong   = "io.statefun.types/long"
	typeBool   = "io.statefun.types/bool"
	typeFloat  = "io.statefun.types/float"
	typeDouble = "io.statefun.types/double"
)

// isWrapped reports whether values of the type are one of those messages.
func isWrapped(typename string) bool {
	switch typename {
	case typeString, typeInt, typeLong, typeBool, typeFloat, typeDouble:
		return true
	}
	return false
}

// encodeValue turns what a person typed into the bytes of the type.
func encodeValue(typename, text string) ([]byte, error) {
	var b []byte
	var err error
	switch typename {
	case typeString:
		if text != "" {
			b = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)
		}
	case typeInt:
		var n int64
		if n, err = strconv.ParseInt(text, 10, 32); n != 0 {
			b = fixed32(uint32(int32(n)))
		}
	case typeLong:
		var n int64
		if n, err = strconv.ParseInt(text, 10, 64); n != 0 {
			b = fixed64(uint64(n))
		}
	case typeBool:
		var v bool
		if v, err = strconv.ParseBool(text); v {
			b = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
		}
	case typeFloat:
		var f float64
		// The bits decide, not the value: minus zero equals zero and is not the default.
		if f, err = strconv.ParseFloat(text, 32); math.Float32bits(float32(f)) != 0 {
			b = fixed32(math.Float32bits(float32(f)))
		}
	case typeDouble:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); math.Float64bits(f) != 0 {
			b = fixed64(math.Float64bits(f))
		}
	default:
		return []byte(text), nil
	}
	if err != nil {
		return nil, fmt.Errorf("value %q is no %s", text, typename)
	}
	return append([]byte{}, b...), nil
}

// decodeValue turns the bytes of the type into text. It is the other way of encodeValue; bytes of a type that is not wrapped
// are shown as they are, or in base64 when they are no text.
func decodeValue(typename string, value []byte) (string, error) {
	if !isWrapped(typename) {
		if utf8.Valid(value) {
			return string(value), nil
		}
		return "base64:" + base64.StdEncoding.EncodeToString(value), nil
	}
	f, err := firstField(value)
	if err != nil {
		return "", fmt.Errorf("value is no %s: %w", typename, err)
	}
	want := protowire.VarintType
	var text string
	switch typename {
	case typeString:
		want, text = protowire.BytesType, string(f.bytes)
	case typeInt:
		want, text = protowire.Fixed32Type, strconv.FormatInt(int64(int32(f.number)), 10)
	case typeLong:
		want, text = protowire.Fixed64Type, strconv.FormatInt(int64(f.number), 10)
	case typeBool:
		text = strconv.FormatBool(f.number != 0)
	case typeFloat:
		want, text = protowire.Fixed32Type, strconv.FormatFloat(float64(math.Float32frombits(uint32(f.number))), 'g', -1, 32)
	case typeDouble:
		want, text = protowire.Fixed64Type, strconv.FormatFloat(math.Float64frombits(f.number), 'g', -1, 64)
	}
	if f.present && f.wire != want {
		return "", fmt.Errorf("value is no %s: its field has wire type %d, want %d", typename, f.wire, want)
	}
	return text, nil
}

type field struct {
	present bool
	wire    protowire.Type
	number  uint64
	bytes   []byte
}

// firstField reads the field of number 1; of several the last counts, others are passed over, as Protobuf has it.
func firstField(b []byte) (field, error) {
	var f field
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, wire, b[n:])
		if size < 0 {
			return f, protowire.ParseError(size)
		}
		if number == 1 {
			f = field{present: true, wire: wire}
			switch wire {
			case protowire.VarintType:
				f.number, _ = protowire.ConsumeVarint(b[n:])
			case protowire.Fixed32Type:
				v, _ := protowire.ConsumeFixed32(b[n:])
				f.number = uint64(v)
			case protowire.Fixed64Type:
				f.number, _ = protowire.ConsumeFixed64(b[n:])
			case protowire.BytesType:
				f.bytes, _ = protowire.ConsumeBytes(b[n:])
			default:
				return f, errors.New("its field is a group")
			}
		}
		b = b[n+size:]
	}
	return f, nil
}

func fixed32(v uint32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), v)
}

func fixed64(v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), v)
}
