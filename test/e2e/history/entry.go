// Package history holds what a run of functions wrote against what was given to it: nothing lost, nothing doubled,
// every count without a gap and every order kept.
//
// The functions under test write one Entry for each input that they process. An entry carries what its address
// remembered in its states at that moment, so the entries of an address are its whole life, and a single input that was
// processed twice, left out, or applied on a state that was later taken back shows as a break in it.
package history

import (
	"hash/fnv"
	"time"
)

// Entry is the record that a function writes for one input it processed.
type Entry struct {
	// Address is "type/id" of the function that wrote the entry.
	Address string `json:"address"`
	// Seq counts the inputs of the address, from 1; it is read from a state.
	Seq int64 `json:"seq"`
	// Input names the input.
	Input string `json:"input"`
	// Chain is Link over all inputs of the address so far; it is read from a second state.
	Chain uint64 `json:"chain"`
	// Note is what a third state holds after this input; that state is set and deleted by some inputs.
	Note string `json:"note"`
	// Sender is the address, or the ingress partition and key, that sent the input.
	Sender string `json:"sender"`
	// SenderSeq and SenderIndex place the input among all that its sender sent.
	SenderSeq   int64 `json:"senderSeq"`
	SenderIndex int   `json:"senderIndex"`
	// Delayed is true when the input came as a delayed message, which has no order among the others.
	Delayed bool `json:"delayed"`
	// At is the clock of the function when it was invoked, in Unix milliseconds.
	At int64 `json:"at"`
}

// Link adds one input to the chain of an address.
func Link(chain uint64, input string) uint64 {
	h := fnv.New64a()
	var before [8]byte
	for i := range before {
		before[i] = byte(chain >> (8 * i))
	}
	_, _ = h.Write(before[:])
	_, _ = h.Write([]byte(input))
	return h.Sum64()
}

// NoteChange is what an input does to the third state of its address.
type NoteChange int

// The changes that an input can make to the note of its address.
const (
	NoteKept NoteChange = iota
	NoteSet
	NoteDeleted
)

// Input is one input that was, or may have been, given to the functions.
type Input struct {
	// ID names the input; no two inputs to one address share it.
	ID string
	// Address is where it goes.
	Address string
	// Parent is the ID of the input whose processing sent this one; empty when it came from an ingress.
	Parent string
	// Note is what processing it does to the note of its address, which becomes the ID of the input when it is set.
	Note NoteChange
	// Delay is how long after its parent it may come at the earliest; zero for an immediate message.
	Delay time.Duration
	// Never says that its delayed message is cancelled in the same answer that sends it.
	Never bool
	// Canceller is the ID of the input whose processing cancels this one; empty when none does.
	Canceller string
}
