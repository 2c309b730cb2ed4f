// Package protocol reads and writes the StateFun request-reply protocol: ToFunction and FromFunction,
// addresses, type names and typed values, as 3.x has them and, at the edge, as 2.x does (Generation).
//
// The codec is written by hand over protowire so that a request is put together from bytes that are
// already encoded. An argument is spliced from answer to row to request and never decoded on the way;
// fields that this version does not know therefore survive byte for byte.
// Append functions allocate nothing but the growth of dst. What a parse function returns as []byte is
// a view of its input (with no spare capacity); strings are copies.
package protocol

import (
	"fmt"
	"strings"
)

// UnsetType is the type of a state whose specification names none.
const UnsetType = "io.statefun.types/unset"

// A TypeName names a function type, an egress or the type of a value.
type TypeName struct{ Namespace, Name string }

// ParseTypeName splits namespace/name. As in StateFun slashes at the end are dropped; what is left must
// hold exactly one, and a name behind it. The namespace may be empty.
func ParseTypeName(s string) (TypeName, error) {
	trimmed := strings.TrimRight(s, "/")
	namespace, name, found := strings.Cut(trimmed, "/")
	if !found || strings.Contains(name, "/") {
		return TypeName{}, fmt.Errorf("type name %q is not of the form namespace/name", s)
	}
	return TypeName{Namespace: namespace, Name: name}, nil
}

// String returns namespace/name.
func (t TypeName) String() string { return t.Namespace + "/" + t.Name }

// stateType returns the one spelling of a state's type name, as values of one state are compared by it.
func stateType(s string) (string, error) {
	if s == "" {
		return UnsetType, nil
	}
	if _, err := ParseTypeName(s); err != nil {
		return "", err
	}
	return strings.TrimRight(s, "/"), nil
}

// typeString copies a type name; those that most values have cost no allocation.
func typeString(b []byte) string {
	switch string(b) {
	case "io.statefun.types/bool":
		return "io.statefun.types/bool"
	case "io.statefun.types/int":
		return "io.statefun.types/int"
	case "io.statefun.types/float":
		return "io.statefun.types/float"
	case "io.statefun.types/long":
		return "io.statefun.types/long"
	case "io.statefun.types/double":
		return "io.statefun.types/double"
	case "io.statefun.types/string":
		return "io.statefun.types/string"
	case KafkaProducerRecordType:
		return KafkaProducerRecordType
	}
	return string(b)
}
