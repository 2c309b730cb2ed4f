package protocol

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// ToFunction has one field, 100 invocation: a batch with 1 target, 2 state, 3 invocations.
// Its PersistedValue: 1 state_name, 2 state_value. Its Invocation: 1 caller, 2 argument.
const invocationBatch protowire.Number = 100

// A StateValue is one state as a request carries it. Of one that is not Present only the name is sent;
// a present value may be empty.
type StateValue struct {
	Name, Type string
	Value      []byte
	Present    bool
}

// AppendInvocation appends one Invocation. The caller is nil for what came from an ingress; argument is
// an encoded TypedValue and taken over byte for byte, with metadata behind it if there is any.
func AppendInvocation(dst []byte, caller *Address, argument []byte, metadata ...KafkaHeader) []byte {
	if caller != nil {
		dst = appendHead(dst, 1, sizeAddress(*caller))
		dst = AppendAddress(dst, *caller)
	}
	dst = appendHead(dst, 2, len(argument)+sizeMetadata(metadata))
	return appendMetadata(append(dst, argument...), metadata)
}

// SizeInvocation is the number of bytes that AppendInvocation appends.
func SizeInvocation(caller *Address, argument []byte, metadata ...KafkaHeader) int {
	size := sizeMessage(2, len(argument)+sizeMetadata(metadata))
	if caller != nil {
		size += sizeMessage(1, sizeAddress(*caller))
	}
	return size
}

// AppendIngressInvocation appends the Invocation of an ingress record: no caller, and the value under
// typename as its argument, with metadata if there is any. It saves encoding the argument apart.
func AppendIngressInvocation(dst []byte, typename string, value []byte, metadata ...KafkaHeader) []byte {
	dst = appendHead(dst, 2, SizeTypedValue(typename, value)+sizeMetadata(metadata))
	dst = AppendTypedValue(dst, typename, value)
	return appendMetadata(dst, metadata)
}

// SizeIngressInvocation is the number of bytes that AppendIngressInvocation appends.
func SizeIngressInvocation(typename string, value []byte, metadata ...KafkaHeader) int {
	return sizeMessage(2, SizeTypedValue(typename, value)+sizeMetadata(metadata))
}

// ParseInvocation reads one Invocation; argument is a view of b. Of an ingress record's the caller is nil.
func ParseInvocation(b []byte) (caller *Address, argument []byte, err error) {
	var address []byte
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, nil, fmt.Errorf("parse invocation: %w", err)
		}
		switch {
		case f.isBytes(1):
			address, err = merge(address, f.value)
		case f.isBytes(2):
			argument, err = merge(argument, f.value)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("parse invocation: %w", err)
		}
	}
	if address == nil {
		return nil, argument, nil
	}
	a, err := ParseAddress(address)
	if err != nil {
		return nil, nil, fmt.Errorf("parse invocation: caller: %w", err)
	}
	return &a, argument, nil
}

// AppendToFunction appends a whole request: one batch of encoded Invocations for target with its states.
func AppendToFunction(dst []byte, target Address, states []StateValue, invocations [][]byte) []byte {
	address := sizeAddress(target)
	batch := sizeBatch(address, states, invocations)
	dst = appendHead(slices.Grow(dst, sizeMessage(invocationBatch, batch)), invocationBatch, batch)
	dst = appendHead(dst, 1, address)
	dst = AppendAddress(dst, target)
	for i := range states {
		dst = appendState(dst, &states[i])
	}
	for _, invocation := range invocations {
		dst = appendBytes(dst, 3, invocation)
	}
	return dst
}

// SizeToFunction is the number of bytes that AppendToFunction appends.
func SizeToFunction(target Address, states []StateValue, invocations [][]byte) int {
	return sizeMessage(invocationBatch, sizeBatch(sizeAddress(target), states, invocations))
}

func sizeBatch(address int, states []StateValue, invocations [][]byte) int {
	size := sizeMessage(1, address)
	for i := range states {
		size += sizeMessage(2, sizeState(&states[i]))
	}
	for _, invocation := range invocations {
		size += sizeMessage(3, len(invocation))
	}
	return size
}

func appendState(dst []byte, s *StateValue) []byte {
	dst = appendHead(dst, 2, sizeState(s))
	dst = appendText(dst, 1, s.Name)
	if s.Present {
		dst = appendHead(dst, 2, SizeTypedValue(s.Type, s.Value))
		dst = AppendTypedValue(dst, s.Type, s.Value)
	}
	return dst
}

func sizeState(s *StateValue) int {
	size := sizeText(1, s.Name)
	if s.Present {
		size += sizeMessage(2, SizeTypedValue(s.Type, s.Value))
	}
	return size
}
