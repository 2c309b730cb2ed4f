package statefun

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The members of FromFunction.
const (
	resultField     protowire.Number = 100
	incompleteField protowire.Number = 101
)

// effects are what a batch has asked for so far, encoded as fields of the InvocationResponse: 2 outgoing_messages,
// 3 delayed_invocations, 4 outgoing_egresses. Its field 1, state_mutations, is put together at the end.
type effects struct {
	messages, delayed, egresses []byte
}

func (e *effects) reset() {
	e.messages, e.delayed, e.egresses = e.messages[:0], e.delayed[:0], e.egresses[:0]
}

// send appends an Invocation: 1 target, 2 argument.
func send[S string | []byte](dst []byte, target wireAddress[S], v *TypedValue) []byte {
	address, value := target.size(), v.size()
	dst = appendHead(dst, 2, sizeMessage(1, address)+sizeMessage(2, value))
	dst = appendAddress(dst, 1, target)
	return v.append(appendHead(dst, 2, value))
}

// sendAfter appends a DelayedInvocation: 1 delay_in_ms, 2 target, 3 argument, 11 cancellation_token.
func sendAfter(dst []byte, millis uint64, target wireAddress[string], v *TypedValue, token string) []byte {
	address, value := target.size(), v.size()
	dst = appendHead(dst, 3, sizeVarint(1, millis)+sizeMessage(2, address)+sizeMessage(3, value)+sizeText(11, token))
	dst = appendVarint(dst, 1, millis)
	dst = appendAddress(dst, 2, target)
	dst = v.append(appendHead(dst, 3, value))
	return appendText(dst, 11, token)
}

// cancel appends the DelayedInvocation that cancels another: 10 is_cancellation_request, 11 cancellation_token.
func cancel(dst []byte, token string) []byte {
	dst = appendHead(dst, 3, sizeVarint(10, 1)+sizeText(11, token))
	dst = appendVarint(dst, 10, 1)
	return appendText(dst, 11, token)
}

// egress appends an EgressMessage: 1 egress_namespace, 2 egress_type, 3 argument.
func egress(dst []byte, namespace, name string, v *TypedValue) []byte {
	value := v.size()
	dst = appendHead(dst, 4, sizeText(1, namespace)+sizeText(2, name)+sizeMessage(3, value))
	dst = appendText(dst, 1, namespace)
	dst = appendText(dst, 2, name)
	return v.append(appendHead(dst, 3, value))
}

// appendResult appends a FromFunction that holds what a batch asked for.
func appendResult(dst []byte, e *effects, cells []cell) []byte {
	size := len(e.messages) + len(e.delayed) + len(e.egresses)
	for i := range cells {
		if cells[i].changed {
			size += sizeMessage(1, cells[i].mutationSize())
		}
	}
	dst = appendHead(slices.Grow(dst, sizeMessage(resultField, size)), resultField, size)
	for i := range cells {
		if cells[i].changed {
			dst = cells[i].appendMutation(dst)
		}
	}
	dst = append(dst, e.messages...)
	dst = append(dst, e.delayed...)
	return append(dst, e.egresses...)
}

// value is what the cell holds, as it travels.
func (c *cell) typedValue() TypedValue {
	return TypedValue{typename: c.spec.typename, encoded: c.value}
}

func (c *cell) mutationSize() int {
	size := sizeText(2, c.spec.name)
	if c.present {
		v := c.typedValue()
		size += sizeVarint(1, 1) + sizeMessage(3, v.size())
	}
	return size
}

// appendMutation appends a PersistedValueMutation: 1 mutation_type (0 delete, 1 modify), 2 state_name, 3 state_value.
func (c *cell) appendMutation(dst []byte) []byte {
	dst = appendHead(dst, 1, c.mutationSize())
	if !c.present {
		return appendText(dst, 2, c.spec.name)
	}
	v := c.typedValue()
	dst = appendVarint(dst, 1, 1)
	dst = appendText(dst, 2, c.spec.name)
	return v.append(appendHead(dst, 3, v.size()))
}

// appendIncomplete appends a FromFunction that asks for states: 1 missing_values.
func appendIncomplete(dst []byte, missing []*stateSpec) []byte {
	size := 0
	for _, s := range missing {
		size += sizeMessage(1, s.size())
	}
	dst = appendHead(dst, incompleteField, size)
	for _, s := range missing {
		dst = s.append(dst)
	}
	return dst
}

// size is that of a PersistedValueSpec: 1 state_name, 2 expiration_spec (1 mode, 2 expire_after_millis),
// 3 type_typename.
func (s *stateSpec) size() int {
	return sizeText(1, s.name) + sizeMessage(2, s.expiration.size()) + sizeText(3, string(s.typename))
}

func (s *stateSpec) append(dst []byte) []byte {
	dst = appendHead(dst, 1, s.size())
	dst = appendText(dst, 1, s.name)
	dst = appendHead(dst, 2, s.expiration.size())
	dst = appendVarint(dst, 1, uint64(s.expiration.mode))
	dst = appendVarint(dst, 2, s.expiration.millis())
	return appendText(dst, 3, string(s.typename))
}

func (e Expiration) size() int { return sizeVarint(1, uint64(e.mode)) + sizeVarint(2, e.millis()) }

func (e Expiration) millis() uint64 { return uint64(e.after.Milliseconds()) }
