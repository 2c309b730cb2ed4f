package embedded

import (
	"path/filepath"
	"runtime"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// room is how the functions of this package begin, those of its generic types too.
const room = "github.com/statefun-kafka/statefun-kafka/embedded."

// caller is the line of the program from which this package was called, however many functions of ours lie between.
func caller() module.Position {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		f, more := frames.Next()
		if f.File != "" && !strings.HasPrefix(f.Function, room) {
			return module.Position{File: filepath.Base(f.File), Line: f.Line}
		}
		if !more {
			return module.Position{}
		}
	}
}

// problems are what is wrong with the calls of a builder.
type problems []module.Problem

func (p *problems) add(at module.Position, message, hint string) {
	*p = append(*p, module.Problem{Position: at, Message: message, Hint: hint})
}

// addError notes an error, joined ones on one line.
func (p *problems) addError(at module.Position, what string, err error) {
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	if what != "" {
		message = what + ": " + message
	}
	p.add(at, message, "")
}
