package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// rooms lists, for each room, the rooms it may import. Data goes one way through them; an arrow that is missing
// here is missing on purpose, so think about the design before adding one.
var rooms = map[string][]string{
	"naming":    {},
	"protocol":  {},
	"module":    {"protocol", "naming"},
	"keystore":  {},
	"kafka":     {"keystore", "module", "naming"},
	"topics":    {"module", "kafka", "naming"},
	"ingress":   {"module", "protocol"},
	"egress":    {"module", "protocol"},
	"router":    {"module", "protocol"},
	"invoker":   {"keystore", "module", "protocol"},
	"state":     {"protocol", "naming"},
	"changelog": {"state"},
	"balance":   {},
	"task":      {"state", "protocol"},
	"outbox":    {"state", "egress", "protocol"},
	"worker": {"protocol", "module", "kafka", "topics", "ingress", "egress", "router", "invoker", "state", "changelog", "balance",
		"task", "outbox", "naming"},
	"admin":  {"module", "naming"},
	"broker": {},
	// What an operator does to an application that stands still, and what he looks at before it runs.
	"rescale":            {"changelog", "kafka", "module", "protocol", "router", "naming", "state", "task", "topics"},
	"doctor":             {"balance", "kafka", "module", "protocol", "naming", "topics", "worker"},
	"cmd/statefun-kafka": {"worker", "module", "admin", "broker", "topics", "kafka", "protocol", "rescale", "doctor", "naming"},
	// The SDK is imported by programs that run no worker: it brings nothing of it along. Its test harness plays the runtime.
	"statefun":              {},
	"statefun/statefuntest": {"statefun", "protocol"},
	// A worker in the user's program: what the command line puts together, put together by a builder. It hands the worker
	// what the user's code is behind: functions (invoker), routes (ingress) and sinks (outbox).
	"embedded": {"worker", "module", "kafka", "topics", "protocol", "router", "ingress", "invoker", "outbox", "admin", "broker",
		"statefun", "naming"},
	"internal/lint": {},
}

// testRooms may be imported by the tests of every room: the brokers that tests run against, and their clients; the
// harness that functions run in. Beside them a test may import whatever its room reaches over several arrows, to
// build its arguments.
var testRooms = []string{"broker", "kafka", "test/realkafka", "statefun/statefuntest"}

// free are the folders whose packages no room may import, and which may import what they need.
var free = []string{"test", "examples"}

// arrows checks every import between rooms.
func arrows(t *tree) []Problem {
	var problems []Problem
	for _, p := range t.packages {
		if isFree(p.dir) {
			continue
		}
		allowed, known := rooms[p.dir]
		if !known {
			problems = append(problems, Problem{File: p.dir,
				Text: "is a room that internal/lint/arrows.go does not know: add it there, with the rooms it may import"})
			continue
		}
		for _, f := range p.files {
			problems = append(problems, wrongArrows(t, p, f, allowed)...)
		}
	}
	return problems
}

func isFree(dir string) bool {
	return slices.ContainsFunc(free, func(root string) bool { return within(dir, root) })
}

func wrongArrows(t *tree, p *pkg, f *file, allowed []string) []Problem {
	var problems []Problem
	for _, spec := range f.syntax.Imports {
		target, internal := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/")
		if !internal || target == p.dir || slices.Contains(allowed, target) {
			continue
		}
		if f.test && (slices.Contains(testRooms, target) || reaches(allowed, target)) {
			continue
		}
		problems = append(problems, Problem{File: f.name, Line: t.line(spec.Pos()),
			Text: fmt.Sprintf("%s may not import %s: it may import %s", p.dir, target, list(allowed))})
	}
	return problems
}

// reaches tells whether target is one of the rooms or behind one of them.
func reaches(from []string, target string) bool {
	return slices.ContainsFunc(from, func(room string) bool { return room == target || reaches(rooms[room], target) })
}

func list(names []string) string {
	if len(names) == 0 {
		return "no other room"
	}
	return strings.Join(names, ", ")
}

// owner names the rooms that may use a thing from outside the module, and why only they.
type owner struct {
	prefix string // of the import path
	rooms  []string
	why    string
}

// owners bind libraries to rooms. A prefix that is not listed is free.
var owners = []owner{
	{"github.com/cockroachdb/pebble", []string{"state"}, "what lies on disk is decided in one room"},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"broker"}, "the development broker is the only one we run"},
	{"github.com/twmb/franz-go/pkg/kadm", []string{"kafka", "topics", "worker", "broker", "rescale", "doctor", "cmd/statefun-kafka"},
		"the rooms of the walk see records, not the cluster"},
	{"github.com/twmb/franz-go", []string{"kafka", "topics", "worker", "broker", "rescale", "doctor", "cmd/statefun-kafka", "balance", "ingress", "egress",
		"router", "changelog", "outbox", "embedded"}, "task, state, invoker, module and protocol know nothing of Kafka"},
	{"github.com/spf13/cobra", []string{"cmd/statefun-kafka"}, "flags are the command line's"},
	{"github.com/goccy/go-yaml", []string{"module"}, "one room reads files of the user"},
	{"software.sslmate.com/src/go-pkcs12", []string{"keystore"}, "keys are read in one room"},
	{"net/http", []string{"invoker", "kafka", "admin", "cmd/statefun-kafka", "statefun", "embedded"}, "HTTP is called by invoker, and by kafka for the tokens of its log-in, and served by admin"},
}

// outside checks who imports what from outside the module.
func outside(t *tree) []Problem {
	var problems []Problem
	t.each(inRooms, func(p *pkg, f *file, n ast.Node) {
		spec, ok := n.(*ast.ImportSpec)
		if !ok {
			return
		}
		target := strings.Trim(spec.Path.Value, `"`)
		if o := ownerOf(target); o != nil && !slices.Contains(o.rooms, p.dir) {
			problems = append(problems, Problem{File: f.name, Line: t.line(spec.Pos()),
				Text: fmt.Sprintf("%s is for %s only: %s", target, list(o.rooms), o.why)})
		}
	})
	return problems
}

// ownerOf is the first entry that covers an import path; the longer prefixes stand first.
func ownerOf(target string) *owner {
	for i := range owners {
		if within(target, owners[i].prefix) {
			return &owners[i]
		}
	}
	return nil
}
