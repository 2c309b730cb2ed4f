package protocol

import (
	"fmt"
	"strings"
)

// OpaqueType is the type that bytes of a 2.x function are stored under when they are not an Any with a protobuf
// message. A 3.x function may declare it to read them as they are.
const OpaqueType = "statefun-kafka.v1/opaque"

// protobufPrefix begins the type URL that protobuf libraries give to what they pack into an Any, and the type that
// the 3.x SDKs give to protobuf messages. Values of both are the bytes of the message.
const protobufPrefix = "type.googleapis.com/"

// storedForm is how the bytes of a 2.x state are stored. An Any is taken apart, type and message, which is what a 3.x
// function with a state of that protobuf type has stored, so a function may move from 2.x to 3.x and back. That is
// done only where packing gives the same bytes again; everything else is stored as it is. The value is a view of b.
func storedForm(b []byte) (typename string, value []byte) {
	url, value, err := viewAny(b)
	if err != nil || len(b) != sizeAny(url, value) || !isProtobufType(string(url)) {
		return OpaqueType, b
	}
	if value == nil {
		return string(url), []byte{}
	}
	if b[0] != 0x0a { // of this length the other order of the two fields is all that is left
		return OpaqueType, b
	}
	return string(url), value
}

// isProtobufType reports whether values of the type are protobuf messages in both generations.
func isProtobufType(typename string) bool {
	name, ok := strings.CutPrefix(typename, protobufPrefix)
	return ok && name != "" && !strings.Contains(name, "/")
}

// Refuses says why a state must not be read or written with a type, nil when it may. The state of a 3.x function has
// one type. Of a 2.x function the values carry theirs, and those that a 3.x function stored under another type are
// no Any: handed over as one they would look like a state of a stranger and be overwritten.
func (s *StateSpec) Refuses(typename string) error {
	switch {
	case typename == s.Type, s.Type == "" && (typename == OpaqueType || isProtobufType(typename)):
		return nil
	case s.Type == "":
		return fmt.Errorf("stored with type %s by a 3.x function, a 2.x function reads google.protobuf.Any: give the state a new name, or keep the function on a 3.x endpoint", typename)
	}
	return fmt.Errorf("stored with type %s, the function now declares %s: declare it as %[1]s or give the state a new name", typename, s.Type)
}
