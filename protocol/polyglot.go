package protocol

import (
	"errors"
	"fmt"
	"strings"
)

// The messages of Generation2 have the field numbers of the 3.x ones. What differs is the type of two fields: an
// argument is a google.protobuf.Any {1 type_url, 2 value} and the value of a state is plain bytes.

// errTypedValue tells a 3.x function behind a 2.x module. Its TypedValue read as an Any would be empty without a word.
var errTypedValue = errors.New("a TypedValue of the 3.x protocol stands where the 2.x protocol has a google.protobuf.Any: the function speaks 3.x, so declare it in a document of kind io.statefun.endpoints.v2/http")

// errIncomplete is the same for a request for states.
var errIncomplete = errors.New("the function asks for states, which only the 3.x protocol does: declare it in a document of kind io.statefun.endpoints.v2/http")

// A polyglotInvocation is an Invocation with what a 2.x one is made of; all are views.
type polyglotInvocation struct {
	caller   []byte // encoded; nil: absent, which a function tells from an empty one
	typename []byte
	value    []byte
}

func (p *polyglotInvocation) size() int {
	size := sizeMessage(2, sizeAny(p.typename, p.value))
	if p.caller != nil {
		size += sizeMessage(1, len(p.caller))
	}
	return size
}

func (p *polyglotInvocation) append(dst []byte) []byte {
	if p.caller != nil {
		dst = appendBytes(dst, 1, p.caller)
	}
	dst = appendHead(dst, 2, sizeAny(p.typename, p.value))
	return appendAny(dst, p.typename, p.value)
}

// appendPolyglotRequest appends a ToFunction of Generation2.
func appendPolyglotRequest(dst []byte, target Address, states []StateValue, invocations [][]byte) ([]byte, error) {
	list := make([]polyglotInvocation, len(invocations))
	address := sizeAddress(target)
	size := sizeMessage(1, address)
	for i := range states {
		size += sizeMessage(2, sizePolyglotState(&states[i]))
	}
	for i, invocation := range invocations {
		if err := list[i].read(invocation); err != nil {
			return dst, fmt.Errorf("translate invocation %d for %s: %w", i, target, err)
		}
		size += sizeMessage(3, list[i].size())
	}
	dst = appendHead(dst, invocationBatch, size)
	dst = appendHead(dst, 1, address)
	dst = AppendAddress(dst, target)
	for i := range states {
		dst = appendPolyglotState(dst, &states[i])
	}
	for i := range list {
		dst = appendHead(dst, 3, list[i].size())
		dst = list[i].append(dst)
	}
	return dst, nil
}

// read takes an encoded Invocation of Generation3 apart. The metadata that the header dialect adds to a TypedValue
// has no place in an Any and is left behind.
func (p *polyglotInvocation) read(b []byte) (err error) {
	var argument []byte
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return err
		}
		switch {
		case f.isBytes(1):
			p.caller, err = merge(p.caller, f.value)
		case f.isBytes(2):
			argument, err = merge(argument, f.value)
		}
		if err != nil {
			return err
		}
	}
	p.typename, _, p.value, err = viewTypedValue(argument)
	return err
}

// appendPolyglotState appends a PersistedValue: 1 state_name, 2 state_value. Absent and empty are the same there.
func appendPolyglotState(dst []byte, s *StateValue) []byte {
	dst = appendHead(dst, 2, sizePolyglotState(s))
	dst = appendText(dst, 1, s.Name)
	size := sizePolyglotValue(s)
	if size == 0 {
		return dst
	}
	dst = appendHead(dst, 2, size)
	if s.Type == OpaqueType {
		return append(dst, s.Value...)
	}
	return appendAny(dst, s.Type, s.Value)
}

func sizePolyglotState(s *StateValue) int {
	size := sizeText(1, s.Name)
	if value := sizePolyglotValue(s); value > 0 {
		size += sizeMessage(2, value)
	}
	return size
}

func sizePolyglotValue(s *StateValue) int {
	switch {
	case !s.Present:
		return 0
	case s.Type == OpaqueType:
		return len(s.Value)
	}
	return sizeAny(s.Type, s.Value)
}

// appendAny appends the content of a google.protobuf.Any.
func appendAny[T string | []byte](dst []byte, url T, value []byte) []byte {
	if len(url) > 0 {
		dst = append(appendHead(dst, 1, len(url)), url...)
	}
	if len(value) > 0 {
		dst = appendBytes(dst, 2, value)
	}
	return dst
}

func sizeAny[T string | []byte](url T, value []byte) (size int) {
	if len(url) > 0 {
		size += sizeMessage(1, len(url))
	}
	if len(value) > 0 {
		size += sizeMessage(2, len(value))
	}
	return size
}

// viewAny reads a google.protobuf.Any; what it returns are views of b.
func viewAny(b []byte) (url, value []byte, err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, nil, err
		}
		switch {
		case f.isBytes(1):
			url, err = f.text()
		case f.isBytes(2):
			value = f.value
		case f.isVarint(2): // has_value
			err = errTypedValue
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return url, value, nil
}

// polyglotRecord ends the type URL of a 2.x KafkaProducerRecord, whose fields are those of the 3.x one.
const polyglotRecord = "/org.apache.flink.statefun.flink.io.KafkaProducerRecord"

// IsKafkaProducerRecord reports whether a value of the type is a KafkaProducerRecord. Of a 2.x function's only what
// stands behind the last slash counts, as with every Any.
func IsKafkaProducerRecord(typename string) bool {
	return typename == KafkaProducerRecordType || strings.HasSuffix(typename, polyglotRecord)
}

// typedValueOf makes the TypedValue of an Any, which is what it is inside the worker.
func typedValueOf(any []byte) ([]byte, error) {
	url, value, err := viewAny(any)
	if err != nil {
		return nil, err
	}
	name := typeString(url)
	return AppendTypedValue(make([]byte, 0, SizeTypedValue(name, value)), name, value), nil
}
