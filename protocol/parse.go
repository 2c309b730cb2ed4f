package protocol

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// FromFunction is one of 100 invocation_result and 101 incomplete_invocation_context.
const (
	invocationResult  protowire.Number = 100
	incompleteContext protowire.Number = 101
)

// ParseAnswer reads a FromFunction. Nothing of it is copied but names, so body must live as long as the
// answer's values and arguments. An empty body is an answer without effects. An answer that is malformed
// anywhere is refused as a whole.
func ParseAnswer(body []byte) (Answer, error) { return Generation3.ParseAnswer(body) }

func (g Generation) parseAnswer(body []byte) (Answer, error) {
	var member protowire.Number
	var content []byte
	for rest := body; len(rest) > 0; {
		var f field
		var err error
		if f, rest, err = nextField(rest); err != nil {
			return Answer{}, err
		}
		if !f.isBytes(invocationResult) && !f.isBytes(incompleteContext) {
			continue
		}
		if f.num == incompleteContext && g == Generation2 {
			return Answer{}, errIncomplete
		}
		if f.num != member { // of a oneof the last member counts, but no part may be malformed
			if _, err = g.parseMember(member, content); err != nil {
				return Answer{}, err
			}
			member, content = f.num, nil
		}
		if content, err = merge(content, f.value); err != nil {
			return Answer{}, err
		}
	}
	return g.parseMember(member, content)
}

func (g Generation) parseMember(member protowire.Number, content []byte) (Answer, error) {
	switch {
	case member == invocationResult:
		return g.parseResult(content)
	case member == incompleteContext:
		return parseIncomplete(content)
	}
	return Answer{}, nil
}

// parseResult reads an InvocationResponse: 1 state_mutations, 2 outgoing_messages, 3 delayed_invocations,
// 4 outgoing_egresses. Counting first gives every list its exact size.
func (g Generation) parseResult(b []byte) (Answer, error) {
	part := &generations[g]
	n, err := count(b)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{
		Mutations: sized[Mutation](n[1]),
		Messages:  sized[Message](n[2]),
		Delayed:   sized[DelayedMessage](n[3]),
		Egresses:  sized[EgressMessage](n[4]),
	}
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return Answer{}, err
		}
		switch {
		case f.isBytes(1):
			err = appendParsed(&a.Mutations, "state mutation", f.value, part.mutation)
		case f.isBytes(2):
			err = appendParsed(&a.Messages, "outgoing message", f.value, part.message)
		case f.isBytes(3):
			err = appendParsed(&a.Delayed, "delayed message", f.value, part.delayed)
		case f.isBytes(4):
			err = appendParsed(&a.Egresses, "egress message", f.value, part.egress)
		}
		if err != nil {
			return Answer{}, err
		}
	}
	return a, nil
}

// parseIncomplete reads an IncompleteInvocationContext: 1 missing_values.
func parseIncomplete(b []byte) (Answer, error) {
	n, err := count(b)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Incomplete: true, Missing: sized[StateSpec](n[1])}
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return Answer{}, err
		}
		if !f.isBytes(1) {
			continue
		}
		if err = appendParsed(&a.Missing, "missing value", f.value, parseStateSpec); err != nil {
			return Answer{}, err
		}
	}
	return a, nil
}

func sized[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

func appendParsed[T any](list *[]T, what string, b []byte, parse func([]byte, *T) error) error {
	*list = (*list)[:len(*list)+1]
	i := len(*list) - 1
	if err := parse(b, &(*list)[i]); err != nil {
		return fmt.Errorf("%s %d: %w", what, i, err)
	}
	return nil
}

// parseMutation reads a PersistedValueMutation: 1 mutation_type (0 DELETE, 1 MODIFY), 2 state_name, 3 state_value.
func parseMutation(b []byte, m *Mutation) error {
	kind, value, err := readMutation(b, m, merge)
	if err != nil {
		return err
	}
	typename, _, content, err := viewTypedValue(value)
	if err != nil {
		return fmt.Errorf("state %q: %w", m.Name, err)
	}
	switch kind {
	case 0:
		m.Delete = true
		return nil
	case 1:
		if m.Type, err = stateType(typeString(typename)); err != nil {
			return fmt.Errorf("state %q: %w", m.Name, err)
		}
		// has_value is not looked at, as in StateFun: what is written is present.
		if m.Value = content; content == nil {
			m.Value = []byte{}
		}
		return nil
	}
	return unknownMutation(m.Name, kind)
}

func unknownMutation(name string, kind int32) error {
	return fmt.Errorf("state %q: mutation type %d is not known (known: 0 DELETE, 1 MODIFY)", name, kind)
}

// readMutation reads what mutations of both generations have; join says how several values become one.
func readMutation(b []byte, m *Mutation, join func(before, next []byte) ([]byte, error)) (kind int32, value []byte, err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return 0, nil, err
		}
		switch {
		case f.isVarint(1):
			kind = int32(f.varint)
		case f.isBytes(2):
			err = f.copyTo(&m.Name)
		case f.isBytes(3):
			value, err = join(value, f.value)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	return kind, value, nil
}

func parseMessage(b []byte, m *Message) error {
	if err := readMessage(b, m); err != nil {
		return err
	}
	if err := CheckTypedValue(m.Argument); err != nil {
		return fmt.Errorf("argument for %s: %w", m.Target, err)
	}
	return nil
}

// readMessage reads a FromFunction.Invocation: 1 target, 2 argument, which is not looked at.
func readMessage(b []byte, m *Message) (err error) {
	var target []byte
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return err
		}
		switch {
		case f.isBytes(1):
			target, err = merge(target, f.value)
		case f.isBytes(2):
			m.Argument, err = merge(m.Argument, f.value)
		}
		if err != nil {
			return err
		}
	}
	m.Target, err = ParseAddress(target)
	return err
}

// parseDelayed reads a DelayedInvocation: 1 delay_in_ms, 2 target, 3 argument, 10 is_cancellation_request,
// 11 cancellation_token.
func parseDelayed(b []byte, m *DelayedMessage) error {
	delay, err := readDelayed(b, m, true)
	if err != nil {
		return err
	}
	if err = CheckTypedValue(m.Argument); err != nil {
		return fmt.Errorf("argument for %s: %w", m.Target, err)
	}
	return m.settle(delay)
}

// readDelayed reads what delayed messages of both generations have, without a look at the argument, and the fields
// of a cancellation where there are some.
func readDelayed(b []byte, m *DelayedMessage, cancels bool) (delay int64, err error) {
	var target []byte
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return 0, err
		}
		switch {
		case f.isVarint(1):
			delay = int64(f.varint)
		case f.isBytes(2):
			target, err = merge(target, f.value)
		case f.isBytes(3):
			m.Argument, err = merge(m.Argument, f.value)
		case cancels && f.isVarint(10):
			m.Cancel = protowire.DecodeBool(f.varint)
		case cancels && f.isBytes(11):
			err = f.copyTo(&m.Token)
		}
		if err != nil {
			return 0, err
		}
	}
	m.Target, err = ParseAddress(target)
	return delay, err
}

// settle applies what the protocol says of delays and cancellations once all fields are read.
func (m *DelayedMessage) settle(delay int64) error {
	if m.Cancel {
		if m.Token == "" {
			return fmt.Errorf("a cancellation has an empty cancellation token")
		}
		*m = DelayedMessage{Cancel: true, Token: m.Token}
		return nil
	}
	if delay < 0 {
		return fmt.Errorf("the delay of the message to %s is negative: %d ms", m.Target, delay)
	}
	m.Delay = milliseconds(delay)
	return nil
}

func parseEgressMessage(b []byte, m *EgressMessage) error {
	if err := readEgressMessage(b, m); err != nil {
		return err
	}
	if err := CheckTypedValue(m.Argument); err != nil {
		return fmt.Errorf("argument for egress %s: %w", m.Egress, err)
	}
	return nil
}

// readEgressMessage reads an EgressMessage: 1 egress_namespace, 2 egress_type, 3 argument, which is not looked at.
func readEgressMessage(b []byte, m *EgressMessage) (err error) {
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return err
		}
		switch {
		case f.isBytes(1):
			err = f.copyTo(&m.Egress.Namespace)
		case f.isBytes(2):
			err = f.copyTo(&m.Egress.Name)
		case f.isBytes(3):
			m.Argument, err = merge(m.Argument, f.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseStateSpec reads a PersistedValueSpec: 1 state_name, 2 expiration_spec, 3 type_typename.
func parseStateSpec(b []byte, s *StateSpec) (err error) {
	var typename string
	var expiration []byte
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return err
		}
		switch {
		case f.isBytes(1):
			err = f.copyTo(&s.Name)
		case f.isBytes(2):
			expiration, err = merge(expiration, f.value)
		case f.isBytes(3):
			err = f.copyTo(&typename)
		}
		if err != nil {
			return err
		}
	}
	if s.Type, err = stateType(typename); err != nil {
		return fmt.Errorf("state %q: %w", s.Name, err)
	}
	if err = s.expire(expiration); err != nil {
		return fmt.Errorf("state %q: %w", s.Name, err)
	}
	return nil
}

// expire reads an ExpirationSpec: 1 mode, 2 expire_after_millis.
func (s *StateSpec) expire(b []byte) error {
	var mode int32
	var after int64
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.isVarint(1):
			mode = int32(f.varint)
		case f.isVarint(2):
			after = int64(f.varint)
		}
	}
	if mode < int32(ExpireNone) || mode > int32(ExpireAfterInvoke) {
		return fmt.Errorf("expire mode %d is not known (known: 0 NONE, 1 AFTER_WRITE, 2 AFTER_INVOKE)", mode)
	}
	if s.Mode = ExpireMode(mode); s.Mode == ExpireNone {
		return nil
	}
	if after <= 0 {
		return fmt.Errorf("expiration %s needs a time above 0, got %d ms", s.Mode, after)
	}
	s.ExpireAfter = milliseconds(after)
	return nil
}

// copyTo copies a text field out of the body.
func (f field) copyTo(s *string) error {
	b, err := f.text()
	if err != nil {
		return err
	}
	*s = typeString(b)
	return nil
}

// milliseconds converts without overflow: more than 292 years become 292 years.
func milliseconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Millisecond
}
