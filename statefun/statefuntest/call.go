package statefuntest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// stateKey names one state of one instance.
type stateKey struct {
	address statefun.Address
	name    string
}

// stored is a state value. The zero expires means never.
type stored struct {
	typename string
	value    []byte
	expires  time.Time
}

// maxHandshakes ends a call whose function asks for ever more states.
const maxHandshakes = 1000

// call delivers a batch, as often as the function asks for further states, and applies the answer.
func (h *Harness) call(ctx context.Context, target protocol.Address, batch []input) error {
	self := fromWire(target)
	invocations := make([][]byte, len(batch))
	for i, in := range batch {
		invocations[i] = protocol.AppendInvocation(nil, in.caller, in.argument)
	}
	for range maxHandshakes {
		request := protocol.AppendToFunction(nil, target, h.statesOf(self), invocations)
		body, err := h.handler.Invoke(ctx, request)
		if err != nil {
			return err
		}
		answer, err := protocol.ParseAnswer(body)
		if err != nil {
			return fmt.Errorf("read the answer of %s: %w", self, err)
		}
		if answer.Incomplete {
			if err := h.register(self.Type, answer.Missing); err != nil {
				return err
			}
			continue
		}
		if err := h.apply(target, answer); err != nil {
			return fmt.Errorf("apply the answer of %s: %w", self, err)
		}
		return nil
	}
	return fmt.Errorf("call %s: it asked for further states %d times", self, maxHandshakes)
}

// register learns the states of a function type, as a runtime does: from what its functions miss.
func (h *Harness) register(function statefun.TypeName, missing []protocol.StateSpec) error {
	known := h.specs[function]
	if known == nil {
		known = map[string]protocol.StateSpec{}
		h.specs[function] = known
	}
	for _, s := range missing {
		if before, ok := known[s.Name]; ok && before.Type != s.Type {
			return fmt.Errorf("state %q of %s is of type %s, and asked for as %s", s.Name, function, before.Type, s.Type)
		}
		known[s.Name] = s
	}
	return nil
}

// statesOf are the states of an instance, all that its function is known to have.
func (h *Harness) statesOf(a statefun.Address) []protocol.StateValue {
	var states []protocol.StateValue
	for _, name := range slices.Sorted(maps.Keys(h.specs[a.Type])) {
		spec := h.specs[a.Type][name]
		s, present := h.stored(stateKey{a, name})
		states = append(states, protocol.StateValue{Name: name, Type: spec.Type, Value: s.value, Present: present})
	}
	return states
}

// stored is a value that has not expired.
func (h *Harness) stored(key stateKey) (stored, bool) {
	s, present := h.states[key]
	if present && !s.expires.IsZero() && !s.expires.After(h.now) {
		delete(h.states, key)
		return stored{}, false
	}
	return s, present
}

// apply does what an answer asks for. It is checked whole before its first effect, as a runtime does.
func (h *Harness) apply(target protocol.Address, answer protocol.Answer) error {
	self := fromWire(target)
	for _, m := range answer.Mutations {
		spec, known := h.specs[self.Type][m.Name]
		if !known {
			return fmt.Errorf("state %q is not registered", m.Name)
		}
		if !m.Delete && m.Type != spec.Type {
			return fmt.Errorf("state %q is of type %s, and set to a %s", m.Name, spec.Type, m.Type)
		}
	}
	before := slices.Clone(h.timers)
	for _, d := range answer.Delayed {
		if err := h.schedule(target, d); err != nil {
			h.timers = before
			return err
		}
	}
	for _, m := range answer.Messages {
		h.route(input{caller: &target, target: m.Target, argument: m.Argument})
	}
	for _, e := range answer.Egresses {
		id := statefun.TypeName(e.Egress.String())
		h.egress[id] = append(h.egress[id], message(e.Argument))
	}
	h.touch(self)
	for _, m := range answer.Mutations {
		key := stateKey{self, m.Name}
		if m.Delete {
			delete(h.states, key)
		} else {
			h.states[key] = stored{typename: m.Type, value: m.Value, expires: h.expiry(self.Type, m.Name)}
		}
	}
	return nil
}

// touch starts the clocks of the states anew that expire some time after a call.
func (h *Harness) touch(a statefun.Address) {
	for name, spec := range h.specs[a.Type] {
		key := stateKey{a, name}
		if s, present := h.stored(key); present && spec.Mode == protocol.ExpireAfterInvoke {
			s.expires = h.expiry(a.Type, name)
			h.states[key] = s
		}
	}
}

// expiry is when a value expires that is written now.
func (h *Harness) expiry(function statefun.TypeName, name string) time.Time {
	spec := h.specs[function][name]
	if spec.Mode == protocol.ExpireNone {
		return time.Time{}
	}
	return h.now.Add(spec.ExpireAfter)
}
