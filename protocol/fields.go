package protocol

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errFieldNumber = errors.New("a field number is out of range")
	errUTF8        = errors.New("a text is not valid UTF-8")
)

// A field is one field of an encoded message as it lies on the wire. Only one of value (length
// delimited) and varint is set; other wire types are of no field that we know.
type field struct {
	num    protowire.Number
	typ    protowire.Type
	value  []byte
	varint uint64
}

// nextField takes the first field off b, which must not be empty.
func nextField(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	if num > protowire.MaxValidNumber {
		return field{}, nil, errFieldNumber
	}
	f, b = field{num: num, typ: typ}, b[n:]
	switch typ {
	case protowire.BytesType:
		f.value, n = protowire.ConsumeBytes(b)
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return field{}, nil, protowire.ParseError(n)
	}
	f.value = f.value[:len(f.value):len(f.value)]
	return f, b[n:], nil
}

// is reports whether f is field num in the wire type that we know it by. In another wire type it
// counts as unknown, as the official parsers have it.
func (f field) is(num protowire.Number, typ protowire.Type) bool { return f.num == num && f.typ == typ }

// isBytes reports whether f is the length-delimited field num: a text, bytes or a message.
func (f field) isBytes(num protowire.Number) bool { return f.is(num, protowire.BytesType) }

// isVarint reports whether f is field num as a number, bool or enum.
func (f field) isVarint(num protowire.Number) bool { return f.is(num, protowire.VarintType) }

// text returns the bytes of a proto3 string, which must be UTF-8.
func (f field) text() ([]byte, error) {
	if !utf8.Valid(f.value) {
		return nil, fmt.Errorf("field %d: %w", f.num, errUTF8)
	}
	return f.value, nil
}

// merge joins the occurrences of a message field that is not repeated. The concatenation of two encoded messages is the
// encoding of both merged, which is what protobuf asks for here. Each must be one by itself: two halves of a field that
// would join well are refused, as the official parsers refuse them.
func merge(before, next []byte) ([]byte, error) {
	if before == nil {
		return next, nil
	}
	if len(before) == cap(before) { // a view, which has no spare capacity: the first occurrence, not looked at yet
		if err := wellFormed(before); err != nil {
			return nil, err
		}
	}
	if err := wellFormed(next); err != nil {
		return nil, err
	}
	return append(before, next...), nil
}

// wellFormed looks at the fields of a message, not into them.
func wellFormed(b []byte) (err error) {
	for len(b) > 0 && err == nil {
		_, b, err = nextField(b)
	}
	return err
}

// count returns how often each of the length-delimited fields 1 to 4 occurs in b.
func count(b []byte) (n [5]int, err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return n, err
		}
		if f.num < 5 && f.typ == protowire.BytesType {
			n[f.num]++
		}
	}
	return n, nil
}

func appendBytes(dst []byte, num protowire.Number, value []byte) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, value)
}

// appendText appends a string field; as in every proto3 encoding an empty one is left out.
func appendText(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func sizeText(num protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return sizeMessage(num, len(s))
}

// sizeMessage is the size of a length-delimited field, tag and length included.
func sizeMessage(num protowire.Number, size int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(size)
}

// appendHead appends the tag and length of a message field whose content of that size follows.
func appendHead(dst []byte, num protowire.Number, size int) []byte {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(size))
}
