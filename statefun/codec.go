package statefun

import (
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// A Codec turns values of a Go type into bytes and back. Append appends the encoding of a value to dst. Decode
// reads one; it must not keep src. Both are called by several goroutines at once.
type Codec[T any] interface {
	Append(dst []byte, value T) ([]byte, error)
	Decode(src []byte) (T, error)
}

// A Type is a Go type with the name that functions in all languages know it by, and its encoding. It is for messages and
// for state alike.
type Type[T any] struct {
	name   TypeName
	codec  Codec[T]
	simple bool // one of the six that all SDKs have
}

// NewType makes a type with an encoding of its own.
func NewType[T any](name TypeName, codec Codec[T]) Type[T] { return Type[T]{name: name, codec: codec} }

// JSON makes a type whose values travel as JSON.
func JSON[T any](name TypeName) Type[T] { return NewType[T](name, jsonCodec[T]{}) }

// Protobuf makes the type of a protobuf message, under the name that the SDKs of all languages give it:
// type.googleapis.com/ and the message's full name. T is the pointer type, as in Protobuf[*pb.Order]().
func Protobuf[T proto.Message]() Type[T] {
	var none T
	return ProtobufAs[T](TypeName("type.googleapis.com/" + string(proto.MessageName(none))))
}

// ProtobufAs makes the type of a protobuf message under another name.
func ProtobufAs[T proto.Message](name TypeName) Type[T] { return NewType[T](name, protobufCodec[T]{}) }

// Bytes makes a type whose values are bytes as they are, such as those of an ingress with a valueType of its own.
func Bytes(name TypeName) Type[[]byte] { return NewType[[]byte](name, bytesCodec{}) }

var errNoCodec = errors.New("the type has no codec: make it with NewType, JSON, Protobuf or Bytes")

// Name is the type's name.
func (t Type[T]) Name() TypeName { return t.name }

// Of makes a value to be sent. A value that cannot be encoded makes the call fail in which it is sent.
func (t Type[T]) Of(value T) TypedValue {
	v := TypedValue{typename: t.name}
	if t.simple {
		v.setSimple(any(value))
		return v
	}
	v.encoded, v.err = t.Encode(value)
	return v
}

// Encoded makes a value of bytes that are the encoding of one already. They are not copied, so they must not be changed.
func Encoded(name TypeName, value []byte) TypedValue {
	return TypedValue{typename: name, encoded: value}
}

// Is tells whether a message is of this type.
func (t Type[T]) Is(m Message) bool { return string(m.typename) == string(t.name) }

// From reads a message, which must be of this type.
func (t Type[T]) From(m Message) (T, error) {
	if !t.Is(m) {
		var none T
		return none, fmt.Errorf("the message is of type %s, not %s", m.typename, t.name)
	}
	return t.Decode(m.value)
}

// Encode returns the bytes of a value.
func (t Type[T]) Encode(value T) ([]byte, error) { return t.append(nil, value) }

func (t Type[T]) append(dst []byte, value T) ([]byte, error) {
	if t.codec == nil {
		return dst, errNoCodec
	}
	encoded, err := t.codec.Append(dst, value)
	if err != nil {
		return dst, fmt.Errorf("encode %s: %w", t.name, err)
	}
	return encoded, nil
}

// Decode reads the bytes of a value.
func (t Type[T]) Decode(src []byte) (T, error) {
	if t.codec == nil {
		var none T
		return none, errNoCodec
	}
	value, err := t.codec.Decode(src)
	if err != nil {
		return value, fmt.Errorf("decode %s: %w", t.name, err)
	}
	return value, nil
}

// zero is what an absent state reads as: the zero value, and of a protobuf message an empty one.
func (t Type[T]) zero() T {
	if maker, ok := t.codec.(interface{ zero() T }); ok {
		return maker.zero()
	}
	var none T
	return none
}

type jsonCodec[T any] struct{}

// Append writes value as JSON.
func (jsonCodec[T]) Append(dst []byte, value T) ([]byte, error) {
	text, err := json.Marshal(value)
	return append(dst, text...), err
}

// Decode reads JSON, which must be one value.
func (jsonCodec[T]) Decode(src []byte) (value T, err error) {
	err = json.Unmarshal(src, &value)
	return value, err
}

type protobufCodec[T proto.Message] struct{}

// Append writes value as protobuf does.
func (protobufCodec[T]) Append(dst []byte, value T) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(dst, value)
}

// Decode reads a message into a fresh one.
func (c protobufCodec[T]) Decode(src []byte) (T, error) {
	value := c.zero()
	return value, proto.Unmarshal(src, value)
}

func (protobufCodec[T]) zero() T {
	var none T
	return none.ProtoReflect().New().Interface().(T)
}

type bytesCodec struct{}

func (bytesCodec) Append(dst []byte, value []byte) ([]byte, error) { return append(dst, value...), nil }

// Decode copies: a function may change what it got, and what it got is also what the state holds.
func (bytesCodec) Decode(src []byte) ([]byte, error) { return append([]byte{}, src...), nil }
