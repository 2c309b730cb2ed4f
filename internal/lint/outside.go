package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// opener is a way to open a client, and the rooms that may.
type opener struct {
	path  string
	names []string
	rooms []string
	why   string
}

var openers = []opener{
	{"github.com/twmb/franz-go/pkg/kgo", []string{"NewClient", "NewGroupTransactSession"}, []string{"kafka", "broker"},
		"clients are opened by kafka.Settings, which knows security and time-outs"},
	{"net/http", []string{"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
		[]string{"invoker", "kafka"}, "only invoker calls out over HTTP, and kafka for the tokens of its log-in"},
	{"net", []string{"Dial", "DialTimeout", "DialTCP", "DialUnix", "Dialer"}, []string{"invoker", "kafka", "doctor"},
		"connections are opened by invoker and kafka; doctor only looks whether they could be"},
	{"crypto/tls", []string{"Dial", "DialWithDialer", "Dialer"}, []string{"invoker", "kafka", "doctor"},
		"connections are opened by invoker and kafka; doctor only looks whether they could be"},
}

// clients checks who opens clients and connections.
func clients(t *tree) []Problem {
	var problems []Problem
	t.each(inRooms, func(p *pkg, f *file, n ast.Node) {
		path, name := f.selected(n)
		for _, o := range openers {
			if o.path == path && slices.Contains(o.names, name) && !slices.Contains(o.rooms, p.dir) {
				problems = append(problems, Problem{File: f.name, Line: t.line(n.Pos()),
					Text: fmt.Sprintf("%s.%s is for %s only: %s", path, name, list(o.rooms), o.why)})
			}
		}
	})
	return problems
}

// clockNames are the functions of package time that read or wait on the clock.
var clockNames = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// impure are the imports that would let the outside into task.
var impure = []string{"os", "net", "io", "sync", "math/rand", "crypto/rand", "context", "syscall"}

// pureTask keeps task a state machine: what it decides depends on what it is given, and on nothing else.
func pureTask(t *tree) []Problem {
	var problems []Problem
	keep := func(p *pkg, f *file) bool { return p.dir == "task" && !f.test }
	t.each(keep, func(_ *pkg, f *file, n ast.Node) {
		report := func(what string) {
			problems = append(problems, Problem{File: f.name, Line: t.line(n.Pos()),
				Text: "task may not use " + what + ": it decides from its arguments alone"})
		}
		switch n := n.(type) {
		case *ast.GoStmt:
			report("goroutines")
		case *ast.ChanType:
			report("channels")
		case *ast.ImportSpec:
			target := strings.Trim(n.Path.Value, `"`)
			if slices.ContainsFunc(impure, func(root string) bool { return within(target, root) }) {
				report(target)
			}
		case *ast.SelectorExpr:
			if path, name := f.selected(n); path == "time" && slices.Contains(clockNames, name) {
				report("time." + name)
			}
		}
	})
	return problems
}

// starts is how many places of each room start goroutines. Each of them has an answer to "who waits for it":
// write the answer beside the go statement before raising a number here.
var starts = map[string]int{
	"admin":    1, // the HTTP server
	"broker":   1, // the retention timer
	"invoker":  3, // the pool; one for each address of a name, whose context ends with the race for a connection
	"state":    1, // the background flush
	"outbox":   2, // a callback, which its lane does not wait for beyond its context; the timer that says that a target is silent
	"worker":   7, // spawn, the producers' opening, the wait for a client's metadata, and what the loop starts
	"statefun": 1, // the HTTP server, which Serve waits for
	"rescale":  1, // the wait for what the producer acknowledges
	"doctor":   1, // questions that are asked beside each other and waited for together
	"embedded": 2, // the admin server and the end of appends, both of which Run waits for
	// The signal, the worker and the servers beside each other, and the read of standard input in send.
	"cmd/statefun-kafka": 5,
}

// goroutines counts the places that start goroutines: go statements, the Go methods of groups, time.AfterFunc.
func goroutines(t *tree) []Problem {
	places := map[string][]string{}
	t.each(inRooms, func(p *pkg, f *file, n ast.Node) {
		if startsGoroutine(f, n) {
			places[p.dir] = append(places[p.dir], fmt.Sprintf("%s:%d", f.name, t.line(n.Pos())))
		}
	})
	var problems []Problem
	for _, p := range t.packages {
		if got, limit := len(places[p.dir]), starts[p.dir]; got > limit {
			problems = append(problems, Problem{File: p.dir, Text: fmt.Sprintf(
				"starts goroutines in %d places (%s), internal/lint/outside.go allows %d", got, list(places[p.dir]), limit)})
		}
	}
	return problems
}

func startsGoroutine(f *file, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		selector, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		path, name := f.selected(selector)
		return path == "time" && name == "AfterFunc" || path == "" && selector.Sel.Name == "Go" && len(n.Args) == 1
	}
	return false
}

// logging keeps the logger an argument, and metrics in the registerer that was given.
func logging(t *tree) []Problem {
	var problems []Problem
	keep := func(p *pkg, f *file) bool { return inRooms(p, f) && !within(p.dir, "cmd") }
	t.each(keep, func(_ *pkg, f *file, n ast.Node) {
		path, name := f.selected(n)
		bad := ""
		switch {
		case path == "log":
			bad = "log." + name
		case path == "log/slog" && slices.Contains([]string{"Default", "Debug", "Info", "Warn", "Error", "Log", "With"}, name):
			bad = "slog." + name
		case path == "fmt" && slices.Contains([]string{"Print", "Printf", "Println"}, name):
			bad = "fmt." + name
		case strings.HasSuffix(path, "/prometheus") && strings.HasPrefix(name, "Default"), strings.HasSuffix(path, "/promauto"):
			bad = name
		}
		if bad != "" {
			problems = append(problems, Problem{File: f.name, Line: t.line(n.Pos()),
				Text: "global " + bad + ": the logger, the registerer and the writer are passed in"})
		}
	})
	return problems
}
