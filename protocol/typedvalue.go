package protocol

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of TypedValue: 1 typename, 2 has_value, 3 value, and in the dialect of a maintained fork of StateFun
// 4 metadata (repeated), which is written for ingress records and otherwise travels along with the bytes.

// AppendTypedValue appends a TypedValue that is present, also when value is empty.
func AppendTypedValue(dst []byte, typename string, value []byte) []byte {
	dst = appendText(dst, 1, typename)
	dst = protowire.AppendTag(dst, 2, protowire.VarintType)
	dst = protowire.AppendVarint(dst, 1)
	if len(value) > 0 {
		dst = appendBytes(dst, 3, value)
	}
	return dst
}

// SizeTypedValue is the number of bytes that AppendTypedValue appends.
func SizeTypedValue(typename string, value []byte) int {
	size := sizeText(1, typename) + 2
	if len(value) > 0 {
		size += sizeMessage(3, len(value))
	}
	return size
}

// ParseTypedValue reads a TypedValue; value is a view of b.
func ParseTypedValue(b []byte) (typename string, hasValue bool, value []byte, err error) {
	name, hasValue, value, err := viewTypedValue(b)
	if err != nil {
		return "", false, nil, fmt.Errorf("parse typed value: %w", err)
	}
	return typeString(name), hasValue, value, nil
}

// errAnyValue refuses what the official parser reads as a value without a content: the sender has one, and it would be lost.
var errAnyValue = errors.New("the value is a google.protobuf.Any, as functions of the 2.2 generation send it, and no TypedValue: " +
	"give such a function to the worker in a module of version 2.0")

func viewTypedValue(b []byte) (name []byte, hasValue bool, value []byte, err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, false, nil, err
		}
		switch {
		case f.isBytes(1):
			if name, err = f.text(); err != nil {
				return nil, false, nil, err
			}
		case f.isVarint(2):
			hasValue = protowire.DecodeBool(f.varint)
		case f.isBytes(2):
			return nil, false, nil, errAnyValue
		case f.isBytes(3):
			value = f.value
		}
	}
	return name, hasValue, value, nil
}

// CheckTypedValue reads a TypedValue without a result: it refuses what would fail in the receiver, where the sender could no longer be blamed.
func CheckTypedValue(b []byte) error {
	_, _, _, err := viewTypedValue(b)
	return err
}
