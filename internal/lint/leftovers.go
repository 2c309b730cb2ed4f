package lint

import (
	"bytes"
	"regexp"
	"strings"
)

// The words are put together here so that this file does not hold what it looks for.
var (
	unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"}, "|") + `)\b`)
	homePath   = regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(ro` + `ot|wo` + `rk|ho` + `me/[a-z]+|Us` + `ers/[a-z]+)/`)
)

// leftovers finds what was meant to be done later, and paths that exist on one machine only, in every text file.
func leftovers(t *tree) []Problem {
	var problems []Problem
	for _, x := range t.texts {
		for i, line := range bytes.Split(x.content, []byte("\n")) {
			if word := unfinished.Find(line); word != nil {
				problems = append(problems, Problem{File: x.name, Line: i + 1,
					Text: string(word) + ": do it, or file an issue and say here what holds today"})
			}
			if homePath.Match(line) {
				problems = append(problems, Problem{File: x.name, Line: i + 1, Text: "a path of one person's machine"})
			}
		}
	}
	return problems
}
