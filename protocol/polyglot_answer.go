package protocol

import "fmt"

// parsePolyglotMutation reads a PersistedValueMutation: 1 mutation_type (0 DELETE, 1 MODIFY), 2 state_name,
// 3 state_value. Empty bytes are how a 2.x request shows a state that is not set, so writing them deletes it.
func parsePolyglotMutation(b []byte, m *Mutation) error {
	kind, value, err := readMutation(b, m, replace)
	if err != nil {
		return err
	}
	switch {
	case kind == 0 || kind == 1 && len(value) == 0:
		m.Delete = true
		return nil
	case kind == 1:
		m.Type, m.Value = storedForm(value)
		return nil
	}
	return unknownMutation(m.Name, kind)
}

// replace is merge for a field of bytes, of which the last occurrence counts.
func replace(_, next []byte) ([]byte, error) { return next, nil }

func parsePolyglotMessage(b []byte, m *Message) (err error) {
	if err = readMessage(b, m); err != nil {
		return err
	}
	if m.Argument, err = typedValueOf(m.Argument); err != nil {
		return fmt.Errorf("argument for %s: %w", m.Target, err)
	}
	return nil
}

// parsePolyglotDelayed reads a DelayedInvocation: 1 delay_in_ms, 2 target, 3 argument.
func parsePolyglotDelayed(b []byte, m *DelayedMessage) error {
	delay, err := readDelayed(b, m, false)
	if err != nil {
		return err
	}
	if m.Argument, err = typedValueOf(m.Argument); err != nil {
		return fmt.Errorf("argument for %s: %w", m.Target, err)
	}
	return m.settle(delay)
}

func parsePolyglotEgressMessage(b []byte, m *EgressMessage) (err error) {
	if err = readEgressMessage(b, m); err != nil {
		return err
	}
	if m.Argument, err = typedValueOf(m.Argument); err != nil {
		return fmt.Errorf("argument for egress %s: %w", m.Egress, err)
	}
	return nil
}
