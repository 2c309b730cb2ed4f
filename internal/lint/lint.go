// Package lint holds the project's rules about its own code and checks them, so that a breach fails the tests.
//
// The rules are docs/architecture.md in a form that a machine reads: which room may import which, who opens
// clients, starts goroutines or reads the clock, how long a file and a function may be, what must be documented.
// A rule that no longer fits is changed here, in the same commit as the code that needs it.
package lint

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is one breach of one rule.
type Problem struct {
	// File is relative to the module's root.
	File string
	// Line is 0 for a breach of the whole file or package.
	Line int
	// Rule is the name of the rule, as in Rules.
	Rule string
	// Text says what is wrong and what to do.
	Text string
}

// String is file:line: text (rule), which editors and CI turn into links.
func (p Problem) String() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s (%s)", p.File, p.Text, p.Rule)
	}
	return fmt.Sprintf("%s:%d: %s (%s)", p.File, p.Line, p.Text, p.Rule)
}

// rule is one check over the whole tree.
type rule struct {
	name  string
	check func(*tree) []Problem
}

var rules = []rule{
	{"arrows", arrows},
	{"outside", outside},
	{"clients", clients},
	{"pure-task", pureTask},
	{"goroutines", goroutines},
	{"sizes", sizes},
	{"package-names", packageNames},
	{"package-docs", packageDocs},
	{"exported-docs", exportedDocs},
	{"wrapped-errors", wrappedErrors},
	{"logging", logging},
	{"leftovers", leftovers},
}

// Rules lists the names of all rules.
func Rules() []string {
	var names []string
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// Check reads the module at root and returns every breach of every rule, in the order of files and lines.
func Check(root string) ([]Problem, error) {
	t, err := load(root)
	if err != nil {
		return nil, err
	}
	return check(t), nil
}

func check(t *tree) []Problem {
	var all []Problem
	for _, r := range rules {
		for _, p := range r.check(t) {
			p.Rule = r.name
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(all)
}
