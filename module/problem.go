package module

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Position is a place in a module file. Lines and columns count from 1; 0 means the file as a whole.
type Position struct {
	File         string
	Line, Column int
}

// A Problem is one thing that is wrong in a module file.
type Problem struct {
	Position
	Message string
	// Hint is the way out, e.g. `did you mean "topics"?`; may be empty.
	Hint string
}

// Error returns file:line: message (hint).
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return b.String()
}

// Errors are all problems of all files of a module, sorted by position.
type Errors []Problem

// Error returns one problem a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// SortProblems orders problems by file, line, column and text, the order they are shown in.
func SortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Message, b.Message),
		)
	})
}
