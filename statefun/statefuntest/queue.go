package statefuntest

import (
	"fmt"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// input is a message on its way to a function of the harness.
type input struct {
	caller   *protocol.Address
	target   protocol.Address
	argument []byte
}

// timer is a delayed message.
type timer struct {
	input
	at    time.Time
	token string
}

// take chooses an instance that has messages waiting, and its next batch.
func (h *Harness) take() (target protocol.Address, batch []input) {
	target, size := h.queue[0].target, 1
	if h.random != nil {
		target = h.queue[h.random.IntN(len(h.queue))].target
		size = 1 + h.random.IntN(maxBatch)
	}
	var rest []input
	for _, in := range h.queue {
		if in.target == target && len(batch) < size {
			batch = append(batch, in)
		} else {
			rest = append(rest, in)
		}
	}
	h.queue = rest
	return target, batch
}

// fire queues the delayed messages whose time has come.
func (h *Harness) fire() {
	due := 0
	for due < len(h.timers) && !h.timers[due].at.After(h.now) {
		h.route(h.timers[due].input)
		due++
	}
	h.timers = h.timers[due:]
}

// route queues a message for a function of the harness, and only notes it otherwise.
func (h *Harness) route(in input) {
	h.sent = append(h.sent, Sent{From: fromWire(*in.caller), To: fromWire(in.target), Message: message(in.argument)})
	if h.served(fromWire(in.target).Type) {
		h.queue = append(h.queue, in)
	}
}

// schedule keeps a delayed message in the order of time. The tokens of an id are shared by its functions.
func (h *Harness) schedule(from protocol.Address, d protocol.DelayedMessage) error {
	sameToken := func(t timer) bool { return t.token == d.Token && t.token != "" && t.caller.ID == from.ID }
	if d.Cancel {
		h.timers = slices.DeleteFunc(h.timers, sameToken)
		return nil
	}
	if slices.ContainsFunc(h.timers, sameToken) {
		return fmt.Errorf("a delayed message with the token %q waits already: a runtime refuses a second one", d.Token)
	}
	at := h.now.Add(d.Delay)
	place := slices.IndexFunc(h.timers, func(t timer) bool { return t.at.After(at) })
	if place < 0 {
		place = len(h.timers)
	}
	h.timers = slices.Insert(h.timers, place,
		timer{input: input{caller: &from, target: d.Target, argument: d.Argument}, at: at, token: d.Token})
	return nil
}

func toWire(a statefun.Address) (protocol.Address, error) {
	namespace, name, err := a.Type.Split()
	return protocol.Address{Type: protocol.TypeName{Namespace: namespace, Name: name}, ID: a.ID}, err
}

func fromWire(a protocol.Address) statefun.Address {
	return statefun.Address{Type: statefun.TypeName(a.Type.String()), ID: a.ID}
}

// message reads an argument that the answer's parser has checked.
func message(argument []byte) statefun.Message {
	var m statefun.Message
	if err := m.UnmarshalBinary(argument); err != nil {
		panic("statefuntest: an argument that was checked cannot be read: " + err.Error())
	}
	return m
}
