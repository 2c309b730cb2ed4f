package task

import (
	"errors"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Call is one invocation of a function with the first inputs of an address. The loop makes it and takes it back;
// in between it belongs to the goroutine that carries it.
type Call struct {
	Mailbox *Mailbox
	Target  protocol.Address
	Started time.Time
	Rounds  int // answers so far that asked for states

	inputs [][]byte
	states []known
}

// known is what the loop knew of a state when the call was made.
type known struct {
	spec           protocol.StateSpec
	key, expiryKey []byte
	row, expiryRow []byte
	rowKnown       bool
	expiryKnown    bool
	value          state.Value
	present        bool
}

// Inputs is the number of inputs in the call.
func (c *Call) Inputs() int { return len(c.inputs) }

// Take makes the next call of a mailbox, with at most maxInputs inputs of at most maxBytes together, but one in
// any case. It returns nil when nothing waits.
func (t *Task) Take(m *Mailbox, maxInputs int, maxBytes int, now time.Time) (*Call, error) {
	m.queued, m.held, m.returned = false, false, false
	if m.flight != nil || m.Waiting() == 0 {
		t.release(m)
		return nil, nil
	}
	if m.batchLimit > 0 {
		maxInputs = min(maxInputs, int(m.batchLimit))
	}
	if len(m.head) == 0 {
		if err := t.load(m, maxInputs, maxBytes); err != nil {
			return nil, err
		}
	}
	n, bytes := 0, 0
	for n < len(m.head) && n < maxInputs && (n == 0 || bytes+len(m.head[n].invocation) <= maxBytes) {
		bytes += len(m.head[n].invocation)
		n++
	}
	c := &Call{Mailbox: m, Target: m.Address(), Started: now, inputs: make([][]byte, n)}
	for i := range n {
		c.inputs[i] = m.head[i].invocation
	}
	m.flight = c
	t.attach(c)
	return c, nil
}

// Again prepares the same call anew after its answer registered states.
func (t *Task) Again(c *Call) {
	c.Rounds++
	t.attach(c)
}

// attach notes what the overlay knows of the registered states. What it does not know is in the store and stays
// as it is while the call is in flight: only the answers of this address change it.
func (t *Task) attach(c *Call) {
	specs := t.Registry.States(c.Target.Type)
	c.states = make([]known, len(specs))
	for i := range specs {
		k := &c.states[i]
		k.spec, k.key = specs[i], valueKey(c.Target, specs[i].Name)
		k.row, k.rowKnown = t.overlay.get(k.key)
		if specs[i].Mode != protocol.ExpireNone {
			k.expiryKey = expiryKey(c.Target, specs[i].Name)
			k.expiryRow, k.expiryKnown = t.overlay.get(k.expiryKey)
		}
	}
}

// keyOf gives the key of the state that is number i of its function, the one that the call has if it was sent that state:
// states keep their numbers, so the call's are the first of them.
func (c *Call) keyOf(i int, name string) []byte {
	if i < len(c.states) && c.states[i].spec.Name == name {
		return c.states[i].key
	}
	return valueKey(c.Target, name)
}

// Retyped is why a call is not made: a state was stored with another type than the function declares now.
type Retyped struct{ Err error }

// Error is the error's text.
func (r *Retyped) Error() string { return r.Err.Error() }

// Unwrap returns the error.
func (r *Retyped) Unwrap() error { return r.Err }

// Complete reads the states that the loop did not know with get and drops what has expired. It touches nothing
// but the call.
func (c *Call) Complete(get func(key []byte) ([]byte, error), now time.Time) error {
	for i := range c.states {
		k := &c.states[i]
		if err := k.complete(get, now); err != nil {
			return fmt.Errorf("state %q of %s: %w", k.spec.Name, c.Target, err)
		}
	}
	return nil
}

func (k *known) complete(get func(key []byte) ([]byte, error), now time.Time) (err error) {
	if !k.rowKnown {
		if k.row, err = get(k.key); err != nil {
			return err
		}
	}
	if k.present = k.row != nil; !k.present {
		return nil
	}
	if k.value, err = state.ParseValue(k.row); err != nil {
		return err
	}
	if err := k.spec.Refuses(k.value.Type); err != nil {
		return &Retyped{err}
	}
	if k.spec.Mode == protocol.ExpireNone {
		return nil
	}
	if !k.expiryKnown {
		if k.expiryRow, err = get(k.expiryKey); err != nil {
			return err
		}
	}
	if k.expiryRow == nil {
		return nil // written before the function gave this state an expiration
	}
	e, err := state.ParseExpiry(k.expiryRow)
	if err != nil {
		return err
	}
	k.present = now.Before(e.At)
	return nil
}

// Request appends the call's ToFunction message to dst, as a function of that generation reads it.
func (c *Call) Request(dst []byte, g protocol.Generation) ([]byte, error) {
	states := make([]protocol.StateValue, len(c.states))
	for i := range c.states {
		k := &c.states[i]
		states[i] = protocol.StateValue{Name: k.spec.Name, Type: k.value.Type, Value: k.value.Bytes, Present: k.present}
	}
	return g.AppendRequest(dst, c.Target, states, c.inputs)
}

// errEnough ends a scan that has what it needs.
var errEnough = errors.New("enough is read")

// load brings stored rows of a mailbox back into memory, as many as a call takes.
func (t *Task) load(m *Mailbox, limit, maxBytes int) error {
	target := m.Address()
	from := pendingKey(target, m.storedSeq)
	_, to := state.PrefixRange(state.PendingPrefix(target))
	n, bytes := 0, 0
	err := t.Store.Scan(from, to, min(limit, int(m.stored)), func(key, value []byte) error {
		in, err := decodePending(key, value)
		if err != nil {
			return err
		}
		m.head = append(m.head, in)
		m.storedSeq = in.seq + 1
		t.hold(in.cost())
		n++
		if bytes += len(in.invocation); bytes >= maxBytes {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("partition %d: read pending inputs of %s: %w", t.Partition, target, err)
	}
	if n == 0 {
		return fmt.Errorf("partition %d: %d pending inputs of %s are not in the store: the state folder is damaged, remove it and start again", t.Partition, m.stored, target)
	}
	m.stored -= int32(n)
	t.rows.Stored -= n
	if m.stored == 0 {
		m.head, m.tail = append(m.head, m.behind()...), nil
	}
	return nil
}

func decodePending(key, value []byte) (input, error) {
	_, seq, err := state.ParsePendingKey(key)
	if err != nil {
		return input{}, err
	}
	p, err := state.ParsePending(value)
	if err != nil {
		return input{}, err
	}
	e, err := protocol.ParseEnvelope(p.Envelope)
	if err != nil {
		return input{}, err
	}
	return input{invocation: append([]byte(nil), e.Invocation...), seq: seq, arrived: p.Arrived.UnixMilli()}, nil
}
