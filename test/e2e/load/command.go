// Package load makes the random work of the crash test: trees of commands, and the functions on the official Go SDK that
// carry them out.
package load

import (
	"encoding/json"
	"fmt"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
)

// CommandType is the typename under which a Command travels, from the ingress and between functions.
const CommandType = "e2e.load/command"

// EntryType is the typename of an entry that goes to a sink.
const EntryType = "e2e.load/entry"

// Namespace is the namespace of the functions, and Types are their names.
const Namespace = "e2e.load"

// Types are the names of the function types that carry out commands.
var Types = []string{"a", "b", "c"}

// Op is what a step does.
type Op string

// The steps of a command.
const (
	OpSend   Op = "send"   // Then goes to Target at once
	OpAfter  Op = "after"  // Then goes to Target after DelayMs, with Token when there is one
	OpCancel Op = "cancel" // the delayed message with Token is cancelled
)

// Command is one input: its receiver counts it, does the steps and writes an entry about it.
type Command struct {
	ID string `json:"id"`
	// Sender, SenderSeq and SenderIndex are stamped by whoever sends the command.
	Sender      string `json:"sender"`
	SenderSeq   int64  `json:"senderSeq"`
	SenderIndex int    `json:"senderIndex"`
	// Delayed is stamped when the command is sent with a delay.
	Delayed bool `json:"delayed,omitempty"`
	// SlowMs is how long its receiver takes.
	SlowMs int `json:"slowMs,omitempty"`
	// Note says what becomes of the third state: "set", "delete" or nothing.
	Note string `json:"note,omitempty"`
	// Pad makes commands of different sizes.
	Pad   string `json:"pad,omitempty"`
	Steps []Step `json:"steps,omitempty"`
}

// Step is one thing that a command makes its receiver do.
type Step struct {
	Op      Op       `json:"op"`
	Target  string   `json:"target,omitempty"` // "type/id"
	DelayMs int64    `json:"delayMs,omitempty"`
	Token   string   `json:"token,omitempty"`
	Then    *Command `json:"then,omitempty"`
}

// Encode is the command as the value of an ingress record.
func (c Command) Encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("a command is plain data: %v", err))
	}
	return b
}

// commandType is how the SDK reads and writes commands, and entryType how it writes entries.
var (
	commandType = statefun.MakeJsonType(statefun.TypeNameFrom(CommandType))
	entryType   = statefun.MakeJsonType(statefun.TypeNameFrom(EntryType))
)
