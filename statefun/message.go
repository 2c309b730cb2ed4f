package statefun

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Message is what a function is called with. [Type.From] reads it.
type Message struct {
	typename, value []byte // views of whole
	whole           []byte // the encoded TypedValue
	hasHeaders      bool
}

// Type is the type of the message.
func (m Message) Type() TypeName { return TypeName(m.typename) }

// Bytes is the encoded value. It must not be changed.
func (m Message) Bytes() []byte { return m.value }

// TypedValue is the message as something to be sent: it is passed on as it came, headers included.
func (m Message) TypedValue() TypedValue {
	return TypedValue{typename: TypeName(m.typename), whole: m.whole[:len(m.whole):len(m.whole)]}
}

// Headers are the headers that came with the message, in their order, with duplicates. There are none unless the
// ingress forwards those of its records, or the sender has set some.
func (m Message) Headers() []Header {
	var headers []Header
	for h := range m.metadata() {
		if !isReserved(h.Key) {
			headers = append(headers, h)
		}
	}
	return headers
}

// Header is the value of the last header of that key, as Kafka has it.
func (m Message) Header(key string) (value []byte, found bool) {
	for h := range m.metadata() {
		if h.Key == key && !isReserved(key) {
			value, found = h.Value, true
		}
	}
	return value, found
}

// Origin tells where in Kafka the message's record lies, as far as the runtime forwards it.
func (m Message) Origin() Origin {
	o := Origin{Partition: -1, Offset: -1}
	for h := range m.metadata() {
		o.set(h)
	}
	return o
}

// UnmarshalBinary reads the protocol's TypedValue message. The Message is a view of b.
func (m *Message) UnmarshalBinary(b []byte) error {
	parsed, err := parseMessage(b)
	if err != nil {
		return fmt.Errorf("parse typed value: %w", err)
	}
	*m = parsed
	return nil
}

// metadata goes over all headers, those of the runtime included. They have been read once before, without a fault.
func (m Message) metadata() iter.Seq[Header] {
	return func(yield func(Header) bool) {
		for rest := m.whole; m.hasHeaders && len(rest) > 0; {
			var f field
			var err error
			if f, rest, err = nextField(rest); err != nil {
				return
			}
			if !f.isBytes(headersField) {
				continue
			}
			if h, err := parseHeader(f.content); err != nil || !yield(h) {
				return
			}
		}
	}
}

// parseMessage reads a TypedValue: 1 typename, 2 has_value, 3 value, 4 metadata. Whether there is a value is not
// asked, as in all SDKs: an absent one is empty.
func parseMessage(b []byte) (m Message, err error) {
	m, _, err = parseTypedValue(b)
	return m, err
}

func parseTypedValue(b []byte) (m Message, hasValue bool, err error) {
	for m.whole = b; len(b) > 0; {
		var f field
		if f, b, err = nextField(b); err != nil {
			return m, false, err
		}
		switch {
		case f.isBytes(1):
			m.typename, err = f.text()
		case f.isVarint(2):
			hasValue = protowire.DecodeBool(f.bits)
		case f.isBytes(3):
			m.value = f.content
		case f.isBytes(headersField):
			m.hasHeaders = true
			_, err = parseHeader(f.content)
		}
		if err != nil {
			return m, false, err
		}
	}
	return m, hasValue, nil
}
