package statefun

import (
	"errors"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Simple are the Go types of the values that every StateFun SDK knows.
type Simple interface {
	bool | int32 | int64 | float32 | float64 | string
}

// The types that every StateFun SDK knows. Each value is a protobuf message with one field, 1, which is left out
// when it is zero.
var (
	Bool    = Type[bool]{"io.statefun.types/bool", boolCodec{}, true}
	Int32   = Type[int32]{"io.statefun.types/int", int32Codec{}, true}
	Int64   = Type[int64]{"io.statefun.types/long", int64Codec{}, true}
	Float32 = Type[float32]{"io.statefun.types/float", float32Codec{}, true}
	Float64 = Type[float64]{"io.statefun.types/double", float64Codec{}, true}
	String  = Type[string]{"io.statefun.types/string", stringCodec{}, true}
)

// simpleType is the type of a simple Go type.
func simpleType[T Simple]() Type[T] {
	var none T
	var found any
	switch any(none).(type) {
	case bool:
		found = Bool
	case int32:
		found = Int32
	case int64:
		found = Int64
	case float32:
		found = Float32
	case float64:
		found = Float64
	case string:
		found = String
	}
	return found.(Type[T]) // Simple has no other members
}

var errStringNotUTF8 = errors.New("the string is not UTF-8: use Bytes for such values")

// The tags of the one field, by wire type.
const (
	tagVarint  = 1<<3 | byte(protowire.VarintType)
	tagFixed32 = 1<<3 | byte(protowire.Fixed32Type)
	tagFixed64 = 1<<3 | byte(protowire.Fixed64Type)
	tagBytes   = 1<<3 | byte(protowire.BytesType)
)

func appendFixed32(dst []byte, bits uint32) []byte {
	if bits == 0 {
		return dst
	}
	return protowire.AppendFixed32(append(dst, tagFixed32), bits)
}

func appendFixed64(dst []byte, bits uint64) []byte {
	if bits == 0 {
		return dst
	}
	return protowire.AppendFixed64(append(dst, tagFixed64), bits)
}

func appendBool(dst []byte, value bool) []byte {
	if !value {
		return dst
	}
	return append(dst, tagVarint, 1)
}

// wrapped reads the one field of a simple value. The last occurrence counts, and fields that are not known are passed
// over, as in every protobuf parser.
func wrapped(src []byte, kind protowire.Type) (last field, err error) {
	for len(src) > 0 {
		var f field
		if f, src, err = nextField(src); err != nil {
			return last, err
		}
		if f.number == 1 && f.kind == kind {
			last = f
			if kind == protowire.BytesType && !utf8.Valid(f.content) {
				return last, errNotUTF8
			}
		}
	}
	return last, nil
}

type boolCodec struct{}

func (boolCodec) Append(dst []byte, value bool) ([]byte, error) { return appendBool(dst, value), nil }

func (boolCodec) Decode(src []byte) (bool, error) {
	f, err := wrapped(src, protowire.VarintType)
	return protowire.DecodeBool(f.bits), err
}

type int32Codec struct{}

func (int32Codec) Append(dst []byte, value int32) ([]byte, error) {
	return appendFixed32(dst, uint32(value)), nil
}

func (int32Codec) Decode(src []byte) (int32, error) {
	f, err := wrapped(src, protowire.Fixed32Type)
	return int32(uint32(f.bits)), err
}

type int64Codec struct{}

func (int64Codec) Append(dst []byte, value int64) ([]byte, error) {
	return appendFixed64(dst, uint64(value)), nil
}

func (int64Codec) Decode(src []byte) (int64, error) {
	f, err := wrapped(src, protowire.Fixed64Type)
	return int64(f.bits), err
}

type float32Codec struct{}

func (float32Codec) Append(dst []byte, value float32) ([]byte, error) {
	return appendFixed32(dst, math.Float32bits(value)), nil
}

func (float32Codec) Decode(src []byte) (float32, error) {
	f, err := wrapped(src, protowire.Fixed32Type)
	return math.Float32frombits(uint32(f.bits)), err
}

type float64Codec struct{}

func (float64Codec) Append(dst []byte, value float64) ([]byte, error) {
	return appendFixed64(dst, math.Float64bits(value)), nil
}

func (float64Codec) Decode(src []byte) (float64, error) {
	f, err := wrapped(src, protowire.Fixed64Type)
	return math.Float64frombits(f.bits), err
}

type stringCodec struct{}

func (stringCodec) Append(dst []byte, value string) ([]byte, error) {
	if value == "" {
		return dst, nil
	}
	if !utf8.ValidString(value) {
		return dst, errStringNotUTF8
	}
	return append(protowire.AppendVarint(append(dst, tagBytes), uint64(len(value))), value...), nil
}

func (stringCodec) Decode(src []byte) (string, error) {
	f, err := wrapped(src, protowire.BytesType)
	if err != nil {
		return "", err
	}
	return string(f.content), nil
}
