package statefun

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A TypedValue is something to be sent: a value with its type, made by [Type.Of], or a message that is passed on, from
// [Message.TypedValue].
type TypedValue struct {
	typename TypeName
	// The encoding of the value is either in encoded, or, so that a simple value costs no memory, head and then text.
	encoded []byte
	head    [16]byte
	headLen int
	text    string
	// Of a message that is passed on: all of the TypedValue as it came, fields that we do not know included.
	whole   []byte
	headers []Header
	err     error
}

var errNoType = errors.New("an empty TypedValue cannot be sent: make one with Type.Of")

// WithHeaders returns the value with headers behind those that it has. A function that it is sent to reads them
// with [Message.Header]. Runtimes and SDKs that know of no headers pass over them. The headers of a
// Kafka record are those of its [KafkaRecord].
func (v TypedValue) WithHeaders(headers ...Header) TypedValue {
	v.headers = append(v.headers[:len(v.headers):len(v.headers)], headers...)
	for _, h := range headers {
		if !utf8.ValidString(h.Key) && v.err == nil {
			v.err = fmt.Errorf("the header key %q is not UTF-8", h.Key)
		}
	}
	return v
}

// AppendBinary appends the value as the protocol's TypedValue message.
func (v TypedValue) AppendBinary(dst []byte) ([]byte, error) {
	if err := v.check(); err != nil {
		return dst, err
	}
	return v.append(slices.Grow(dst, v.size())), nil
}

// setSimple takes one of the Go types of Simple.
func (v *TypedValue) setSimple(value any) {
	head := v.head[:0]
	switch value := value.(type) {
	case bool:
		head = appendBool(head, value)
	case int32:
		head = appendFixed32(head, uint32(value))
	case int64:
		head = appendFixed64(head, uint64(value))
	case float32:
		head = appendFixed32(head, math.Float32bits(value))
	case float64:
		head = appendFixed64(head, math.Float64bits(value))
	case string:
		if value == "" {
			break
		}
		if !utf8.ValidString(value) {
			v.err = errStringNotUTF8
		}
		head = protowire.AppendVarint(append(head, tagBytes), uint64(len(value)))
		v.text = value
	}
	v.headLen = len(head)
}

// check says why a value cannot be sent.
func (v *TypedValue) check() error {
	switch {
	case v.err != nil:
		return v.err
	case v.whole != nil:
		return nil
	case v.typename == "":
		return errNoType
	}
	_, _, err := v.typename.Split()
	return err
}

// size is the number of bytes that append appends.
func (v *TypedValue) size() int {
	size := len(v.whole)
	if v.whole == nil {
		size = sizeText(1, string(v.typename)) + 2
		if n := v.valueSize(); n > 0 {
			size += sizeMessage(3, n)
		}
	}
	for i := range v.headers {
		size += sizeMessage(headersField, v.headers[i].size())
	}
	return size
}

func (v *TypedValue) valueSize() int { return v.headLen + len(v.text) + len(v.encoded) }

// append appends the TypedValue message: 1 typename, 2 has_value, 3 value, 4 metadata.
func (v *TypedValue) append(dst []byte) []byte {
	if v.whole != nil {
		dst = append(dst, v.whole...)
	} else {
		dst = appendText(dst, 1, string(v.typename))
		dst = appendVarint(dst, 2, 1)
		if n := v.valueSize(); n > 0 {
			dst = appendHead(dst, 3, n)
			dst = append(dst, v.encoded...)
			dst = append(dst, v.head[:v.headLen]...)
			dst = append(dst, v.text...)
		}
	}
	for i := range v.headers {
		dst = v.headers[i].append(dst, headersField)
	}
	return dst
}
