package protocol

import "fmt"

// A Generation is the request-reply protocol that a function speaks. Inside the worker a value is a TypedValue
// whichever it is; a Generation translates where a request leaves and an answer comes in, so that functions of both
// send to each other.
type Generation uint8

const (
	// Generation3 is the protocol of StateFun 3.x, also of an endpoint that says nothing.
	Generation3 Generation = iota
	// Generation2 is the protocol of StateFun 2.x, the "polyglot" messages: values are google.protobuf.Any, the
	// states are declared in the module, and nothing can be cancelled.
	Generation2
)

// String returns the versions of StateFun that speak it.
func (g Generation) String() string {
	if g == Generation2 {
		return "2.x"
	}
	return "3.x"
}

// AppendRequest appends a whole request: one batch of encoded Invocations for target with its states. It fails for an
// Invocation that is not one; nothing is appended then.
func (g Generation) AppendRequest(dst []byte, target Address, states []StateValue, invocations [][]byte) ([]byte, error) {
	if g == Generation2 {
		return appendPolyglotRequest(dst, target, states, invocations)
	}
	return AppendToFunction(dst, target, states, invocations), nil
}

// ParseAnswer reads the answer of a function of this generation, by the rules of the function ParseAnswer.
func (g Generation) ParseAnswer(body []byte) (Answer, error) {
	a, err := g.parseAnswer(body)
	if err != nil {
		return Answer{}, fmt.Errorf("parse answer: %w", err)
	}
	return a, nil
}

// parts read the elements of an answer's lists.
type parts struct {
	mutation func([]byte, *Mutation) error
	message  func([]byte, *Message) error
	delayed  func([]byte, *DelayedMessage) error
	egress   func([]byte, *EgressMessage) error
}

var generations = [...]parts{
	Generation3: {parseMutation, parseMessage, parseDelayed, parseEgressMessage},
	Generation2: {parsePolyglotMutation, parsePolyglotMessage, parsePolyglotDelayed, parsePolyglotEgressMessage},
}
