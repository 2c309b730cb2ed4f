package task

import (
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Effects is what an answer asks of the task and of the worker.
//
// Messages are routed by the worker in their order, after Apply. All of it is collected for one transaction;
// rows reach the store only AFTER that transaction has committed.
type Effects struct {
	Messages  []protocol.Envelope
	Delayed   []Delayed
	Mutations []protocol.Mutation
}

// Delayed is a message to be sent later, or the cancellation of one.
type Delayed struct {
	Delay    time.Duration
	Token    string
	Cancel   bool
	Envelope []byte // as stored
}

// Check finds what in an answer the task would have to refuse: a mutation of a state that is not registered or
// of another type, a cancellation token that is in use. Nothing is changed, so a refused answer has no effect.
func (t *Task) Check(c *Call, e *Effects) error {
	for i := range e.Mutations {
		m := &e.Mutations[i]
		spec := t.Registry.find(c.Target.Type, m.Name)
		switch {
		case spec == nil:
			return fmt.Errorf("state %q of %s is not registered: the function must declare it", m.Name, c.Target.Type)
		case !m.Delete && spec.Type != "" && m.Type != spec.Type: // without a type it is a 2.x function's
			return fmt.Errorf("state %q of %s is of type %s, the answer writes %s", m.Name, c.Target.Type, spec.Type, m.Type)
		}
	}
	return t.checkTokens(c, e.Delayed)
}

// checkTokens follows the delayed messages in list order, since one answer may cancel a token and use it again.
func (t *Task) checkTokens(c *Call, delayed []Delayed) error {
	var live map[string]bool
	for i := range delayed {
		d := &delayed[i]
		if d.Token == "" {
			continue
		}
		used, known := live[d.Token]
		if !known {
			row, err := t.lookup(state.TokenKey(c.Target.ID, d.Token))
			if err != nil {
				return err
			}
			used = row != nil
		}
		if used && !d.Cancel {
			return fmt.Errorf("cancellation token %q is in use by another delayed message of id %q: cancel that first or use another token", d.Token, c.Target.ID)
		}
		if live == nil {
			live = map[string]bool{}
		}
		live[d.Token] = !d.Cancel
	}
	return nil
}

// Apply takes the effects of a checked answer as one step: state, delayed messages, and the inputs of the call
// are done. Current says whether the call is still the one of its address; Apply must not be called otherwise.
func (t *Task) Apply(c *Call, e *Effects, now time.Time) error {
	m := c.Mailbox
	for i := range e.Delayed {
		if err := t.delay(c, &e.Delayed[i], now); err != nil {
			return err
		}
	}
	t.mutate(c, e.Mutations, now)
	taken := m.taken()
	for i := range taken {
		t.finishInput(m, &m.head[i])
	}
	m.drop(taken)
	t.served(m)
	return nil
}

// mostBatchLimit is where a batch limit that has doubled with each success ends.
const mostBatchLimit = 1 << 16

// served lets a mailbox go on after an answer. A limit that a refusal has set grows back step by
// step: most of what made the refused batch is probably still to come.
func (t *Task) served(m *Mailbox) {
	if m.batchLimit *= 2; m.batchLimit > mostBatchLimit {
		m.batchLimit = 0
	}
	t.rid(m)
}

// rid lets a mailbox go on without the inputs of its call.
func (t *Task) rid(m *Mailbox) {
	if m.attempts > 0 {
		t.troubled--
	}
	m.flight, m.attempts = nil, 0
	t.ready(m)
	t.release(m)
}

// Current tells whether a call that came back is still in flight here, and not abandoned.
func (t *Task) Current(c *Call) bool { return c.Mailbox.flight == c }

func (t *Task) mutate(c *Call, mutations []protocol.Mutation, now time.Time) {
	for i := range mutations {
		m := &mutations[i]
		number, spec := t.Registry.numbered(c.Target.Type, m.Name)
		key := c.keyOf(number, m.Name)
		if m.Delete {
			t.put(key, nil)
			if spec.Mode != protocol.ExpireNone {
				t.put(expiryKey(c.Target, m.Name), nil)
			}
			continue
		}
		t.put(key, state.AppendValue(make([]byte, 0, len(m.Type)+len(m.Value)+3), state.Value{Type: m.Type, Bytes: m.Value}))
		if spec.Mode != protocol.ExpireNone {
			t.stamp(c.Target, spec, now)
		}
	}
	t.restamp(c, mutations, now)
}

// restamp starts the clock anew of every state that lives on by being invoked and was not written.
func (t *Task) restamp(c *Call, mutations []protocol.Mutation, now time.Time) {
	var written map[string]bool // made for the first state that needs it: most functions have none
	for i := range c.states {
		k := &c.states[i]
		if !k.present || k.spec.Mode != protocol.ExpireAfterInvoke {
			continue
		}
		if written == nil {
			written = make(map[string]bool, len(mutations))
			for j := range mutations {
				written[mutations[j].Name] = true
			}
		}
		if !written[k.spec.Name] {
			t.stamp(c.Target, &k.spec, now)
		}
	}
}

func (t *Task) stamp(a protocol.Address, spec *protocol.StateSpec, now time.Time) {
	t.put(expiryKey(a, spec.Name), state.AppendExpiry(nil, state.Expiry{At: now.Add(spec.ExpireAfter)}))
	t.expiry.seen = true
}

// Failed parks the address of a call that failed until retryAt; its inputs become pending rows, so that they hold
// nobody's position, and keep their order.
func (t *Task) Failed(c *Call, retryAt time.Time) {
	m := c.Mailbox
	m.flight = nil
	if m.attempts == 0 {
		t.troubled++
	}
	m.attempts++
	m.retryAt = retryAt.UnixMilli()
	t.parked.push(m)
	t.toDisk(m)
}

// Halve answers a failure that may be the fault of the batch's size or of one input in it: the next call, at once,
// carries half as many inputs. It reports false when the call had one input only.
func (t *Task) Halve(c *Call) bool {
	if !c.Narrow() {
		return false
	}
	t.giveBack(c.Mailbox)
	return true
}

// Narrow lets the next call of the address carry half as many inputs as this one, whenever that is. It reports false
// when this one has one input only.
func (c *Call) Narrow() bool {
	m := c.Mailbox
	taken := m.taken()
	if taken < 2 {
		return false
	}
	m.batchLimit = int32(taken / 2)
	return true
}

// Dropped is an input that was given up.
type Dropped struct {
	protocol.Envelope
	// Source and Offset are the record that it came with. Source is nil for an input that was born inside the worker,
	// and for one whose pending row has taken its record's place.
	Source *Source
	Offset int64
}

// Drop ends the inputs of a call that failed for good, by the endpoint's policy, and returns them.
func (t *Task) Drop(c *Call) []Dropped {
	m := c.Mailbox
	taken := m.taken()
	dropped := make([]Dropped, taken)
	for i := range taken {
		in := &m.head[i]
		dropped[i].Envelope = protocol.Envelope{Target: c.Target, Invocation: in.invocation}
		if in.source != nil {
			dropped[i].Source, dropped[i].Offset = in.source, in.source.offset(in.number)
		}
		t.finishInput(m, in)
	}
	m.drop(taken)
	t.rid(m)
	return dropped
}
