package statefun

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errFieldNumber = errors.New("a field number is out of range")
	errNotUTF8     = errors.New("a text is not UTF-8")
)

// A field is one field of an encoded message. A field in another wire type than the one that we know it by counts
// as unknown, as in every protobuf parser.
type field struct {
	number  protowire.Number
	kind    protowire.Type
	content []byte // of a length-delimited field; a view without spare capacity
	bits    uint64 // of a varint or fixed field
}

// nextField takes the first field off b, which must not be empty.
func nextField(b []byte) (f field, rest []byte, err error) {
	var n int
	if f.number, f.kind, n = protowire.ConsumeTag(b); n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	if f.number > protowire.MaxValidNumber {
		return f, nil, errFieldNumber
	}
	b = b[n:]
	switch f.kind {
	case protowire.BytesType:
		f.content, n = protowire.ConsumeBytes(b)
		f.content = f.content[:len(f.content):len(f.content)]
	case protowire.VarintType:
		f.bits, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.bits, n = protowire.ConsumeFixed64(b)
	case protowire.Fixed32Type:
		var bits uint32
		bits, n = protowire.ConsumeFixed32(b)
		f.bits = uint64(bits)
	default:
		n = protowire.ConsumeFieldValue(f.number, f.kind, b)
	}
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

func (f field) isBytes(number protowire.Number) bool {
	return f.number == number && f.kind == protowire.BytesType
}

func (f field) isVarint(number protowire.Number) bool {
	return f.number == number && f.kind == protowire.VarintType
}

// text is the content of a string field, which must be UTF-8.
func (f field) text() ([]byte, error) {
	if !utf8.Valid(f.content) {
		return nil, fmt.Errorf("field %d: %w", f.number, errNotUTF8)
	}
	return f.content, nil
}

// merge joins the occurrences of a message field that is not repeated: two encodings one after the other are the
// encoding of both merged, which protobuf asks for. Each must be whole by itself, or the end of one would
// be read as the beginning of the next.
func merge(before, next []byte) ([]byte, error) {
	if before == nil {
		return next, nil
	}
	for _, part := range [][]byte{before, next} {
		for len(part) > 0 {
			var err error
			if _, part, err = nextField(part); err != nil {
				return nil, err
			}
		}
	}
	return append(before, next...), nil // views have no spare capacity, so this copies
}

// wireAddress is an address as it lies in a message; the views of a request are []byte.
type wireAddress[S string | []byte] struct{ namespace, name, id S }

func (a wireAddress[S]) size() int {
	return sizeText(1, a.namespace) + sizeText(2, a.name) + sizeText(3, a.id)
}

func appendAddress[S string | []byte](dst []byte, number protowire.Number, a wireAddress[S]) []byte {
	dst = appendHead(dst, number, a.size())
	dst = appendText(dst, 1, a.namespace)
	dst = appendText(dst, 2, a.name)
	return appendText(dst, 3, a.id)
}

func parseAddress(b []byte) (a wireAddress[[]byte], err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return a, err
		}
		switch {
		case f.isBytes(1):
			a.namespace, err = f.text()
		case f.isBytes(2):
			a.name, err = f.text()
		case f.isBytes(3):
			a.id, err = f.text()
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// appendHead appends the tag and the length of a field whose content of that size follows.
func appendHead(dst []byte, number protowire.Number, size int) []byte {
	if number < 16 && size < 128 { // as nearly always: one byte each
		return append(dst, byte(number)<<3|byte(protowire.BytesType), byte(size))
	}
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendVarint(dst, uint64(size))
}

// appendText appends a string or bytes field; an empty one is left out, as proto3 does.
func appendText[S string | []byte](dst []byte, number protowire.Number, s S) []byte {
	if len(s) == 0 {
		return dst
	}
	return append(appendHead(dst, number, len(s)), s...)
}

func appendVarint(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	if number < 16 && v < 128 {
		return append(dst, byte(number)<<3|byte(protowire.VarintType), byte(v))
	}
	dst = protowire.AppendTag(dst, number, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func sizeText[S string | []byte](number protowire.Number, s S) int {
	if len(s) == 0 {
		return 0
	}
	return sizeMessage(number, len(s))
}

func sizeMessage(number protowire.Number, size int) int {
	if number < 16 && size < 128 {
		return 2 + size
	}
	return protowire.SizeTag(number) + protowire.SizeBytes(size)
}

func sizeVarint(number protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return protowire.SizeTag(number) + protowire.SizeVarint(v)
}
