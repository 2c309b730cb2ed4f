package module

import (
	"fmt"
	"strings"
)

// fill puts the environment into ${NAME} and ${NAME:-default}; $${ stands for a literal ${.
// StateFun takes all of it for literal text, so a name without a value is refused and never emptied.
func (n node) fill(text string) (string, bool) {
	getenv := n.r.opt.Getenv
	if getenv == nil || !strings.Contains(text, "${") {
		return text, true
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(before)
			return out.String(), true
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(plain + "${")
			text = rest
			continue
		}
		out.WriteString(before)
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			n.report("a placeholder is not closed", "write ${NAME} or ${NAME:-default}; for a literal ${ write $${")
			return "", false
		}
		value, ok := n.lookupPlaceholder(inner, getenv)
		if !ok {
			return "", false
		}
		out.WriteString(value)
		text = after
	}
}

func (n node) lookupPlaceholder(inner string, getenv func(string) (string, bool)) (string, bool) {
	name, otherwise, hasDefault := strings.Cut(inner, ":-")
	if !isVariable(name) {
		n.report(fmt.Sprintf("%q is not the name of a variable", name), "for a literal ${ write $${")
		return "", false
	}
	value, ok := getenv(name)
	switch {
	case hasDefault && value == "": // as in a shell, :- also stands in for an empty value
		return otherwise, true
	case !ok:
		n.report(fmt.Sprintf("the environment variable %s is not set", name),
			fmt.Sprintf("set it, give a default as ${%s:-…}, or write $${ for a literal ${", name))
	}
	return value, ok
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c == '.' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
