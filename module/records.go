package module

import (
	"fmt"
	"log/slog"
)

// What happens to a record that cannot become a message.
const (
	InvalidFail       = "fail"
	InvalidSkip       = "skip"
	InvalidDeadLetter = "dead-letter"
)

// An InvalidHandling says what happens to the records that cannot become a message.
type InvalidHandling struct {
	// Type is InvalidFail, InvalidSkip or InvalidDeadLetter.
	Type string
	// LogLevel is that of the line that each such record gets.
	LogLevel slog.Level
}

// defaultInvalid is ours. The fork skips and StateFun fails; both lose, one the record and the other the rest.
var defaultInvalid = InvalidHandling{Type: InvalidDeadLetter, LogLevel: slog.LevelWarn}

// logLevels are the words of the fork that has the key.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// recordHandling reads the two keys that an ingress has for all its topics and each topic for itself, into a topic that
// has what holds without them.
func (o *object) recordHandling(t IngressTopic) IngressTopic {
	t.ForwardHeaders = o.flag("forwardHeaders", t.ForwardHeaders)
	t.Invalid = o.invalidHandling(t.Invalid)
	return t
}

// invalidHandling reads invalidRecordHandling, of an ingress or of one of its topics: one word, or a map of type and
// logLevel, which is the form of the fork that has it too. A key that is given replaces all of otherwise, as in the fork.
func (o *object) invalidHandling(otherwise InvalidHandling) InvalidHandling {
	const key = "invalidRecordHandling"
	n, ok := o.lookup(key)
	if !ok {
		return otherwise
	}
	from, word := o, key
	if isMap(n.yaml) {
		from, word = n.object(), "type"
		from.require("type")
	}
	h := InvalidHandling{Type: otherwise.Type, LogLevel: defaultInvalid.LogLevel}
	if n, ok := from.lookup(word); ok && n.says("forward") {
		n.report(`"forward" is not supported: it would send the record to a function`,
			"use dead-letter, and read the dead-letter topic with an ingress of its own, with forwardHeaders: true")
	} else {
		h.Type = from.oneOf(word, otherwise.Type, InvalidFail, InvalidSkip, InvalidDeadLetter)
	}
	if from != o {
		h.LogLevel = read(from, "logLevel", h.LogLevel, parseLogLevel)
		from.done()
	}
	return h
}

// says reports whether a node is this word.
func (n node) says(word string) bool {
	if !n.isText() {
		return false
	}
	text, _ := n.text()
	return text == word
}

func parseLogLevel(s string) (slog.Level, error) {
	level, ok := logLevels[s]
	if !ok {
		return 0, fmt.Errorf("%q is unknown: use debug, info, warn or error", s)
	}
	return level, nil
}
