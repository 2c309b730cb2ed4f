package protocol

import "time"

// An Answer is what a function answered to one batch. When it is Incomplete only Missing counts: the
// states that the function needs before it can be called; otherwise Missing is empty.
type Answer struct {
	Incomplete bool
	Missing    []StateSpec
	Mutations  []Mutation
	Messages   []Message
	// Delayed holds delayed messages and cancellations in the order that they take effect.
	Delayed  []DelayedMessage
	Egresses []EgressMessage
}

// An ExpireMode says what starts the expiry clock of a state anew.
type ExpireMode uint8

// The modes of the protocol, by its numbers.
const (
	ExpireNone ExpireMode = iota
	ExpireAfterWrite
	ExpireAfterInvoke
)

// String returns the mode's name in the protocol.
func (m ExpireMode) String() string {
	switch m {
	case ExpireNone:
		return "NONE"
	case ExpireAfterWrite:
		return "AFTER_WRITE"
	case ExpireAfterInvoke:
		return "AFTER_INVOKE"
	}
	return "unknown"
}

// A StateSpec declares a state. Type is empty for a state of a 2.x function, whose values carry their types, and never
// otherwise; ExpireAfter is above 0 unless Mode is ExpireNone, then it is 0.
type StateSpec struct {
	Name, Type  string
	Mode        ExpireMode
	ExpireAfter time.Duration
}

// A Mutation writes one state, or deletes it. Of a deletion Type and Value mean nothing and are empty;
// otherwise Type is spelled as in StateSpec and Value is not nil.
type Mutation struct {
	Delete     bool
	Name, Type string
	Value      []byte
}

// A Message is sent at once. Argument is the encoded TypedValue, a view of the answer's body.
type Message struct {
	Target   Address
	Argument []byte
}

// A DelayedMessage is sent after Delay, unless it is a cancellation: then Token names the delayed
// message to cancel and nothing else is set. A Token is not empty on a cancellation.
type DelayedMessage struct {
	Delay    time.Duration
	Target   Address
	Argument []byte
	Cancel   bool
	Token    string
}

// An EgressMessage leaves the application. Argument is the encoded TypedValue, a view of the answer's body.
type EgressMessage struct {
	Egress   TypeName
	Argument []byte
}
