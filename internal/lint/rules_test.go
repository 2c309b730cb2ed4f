package lint

import (
	"strings"
	"testing"
)

// breach is a small source that breaks one rule, or keeps all of them when want is empty.
type breach struct {
	name string // states the fact
	file string
	code string
	rule string
	want string // part of the problem's text
}

var breaches = []breach{
	{"a room may not import against the arrows", "protocol/a.go",
		"// Package protocol is.\npackage protocol\nimport _ \"" + modulePath + "/worker\"\n", "arrows", "protocol may not import worker"},
	{"a room may import along the arrows", "worker/a.go",
		"// Package worker is.\npackage worker\nimport _ \"" + modulePath + "/task\"\n", "", ""},
	{"a test may import what its room reaches", "changelog/a_test.go",
		"// Package changelog is.\npackage changelog\nimport _ \"" + modulePath + "/protocol\"\n", "", ""},
	{"a test may not import what its room does not reach", "changelog/a_test.go",
		"// Package changelog is.\npackage changelog\nimport _ \"" + modulePath + "/worker\"\n", "arrows", "changelog may not import worker"},
	{"a test may import the real Kafka", "topics/a_test.go",
		"// Package topics is.\npackage topics\nimport _ \"" + modulePath + "/test/realkafka\"\n", "", ""},
	{"a room may not import tests", "topics/a.go",
		"// Package topics is.\npackage topics\nimport _ \"" + modulePath + "/test/realkafka\"\n", "arrows", "test/realkafka"},
	{"a new room must be entered", "cellar/a.go", "// Package cellar is.\npackage cellar\n", "arrows", "does not know"},
	{"pebble stays in state", "changelog/a.go",
		"// Package changelog is.\npackage changelog\nimport _ \"github.com/cockroachdb/pebble/v2\"\n", "outside", "state only"},
	{"task sees no records", "task/a.go",
		"// Package task is.\npackage task\nimport _ \"github.com/twmb/franz-go/pkg/kgo\"\n", "outside", "know nothing of Kafka"},
	{"worker does not open clients", "worker/a.go",
		"// Package worker is.\npackage worker\nimport \"github.com/twmb/franz-go/pkg/kgo\"\nfunc f() { kgo.NewClient() }\n", "clients", "kgo.NewClient is for kafka"},
	{"kafka opens clients", "kafka/a.go",
		"// Package kafka is.\npackage kafka\nimport \"github.com/twmb/franz-go/pkg/kgo\"\nfunc f() { kgo.NewClient() }\n", "", ""},
	{"an alias does not hide a client", "admin/a.go",
		"// Package admin is.\npackage admin\nimport web \"net/http\"\nvar c = web.DefaultClient\n", "clients", "DefaultClient is for invoker"},
	{"task reads no clock", "task/a.go",
		"// Package task is.\npackage task\nimport \"time\"\nvar t = time.Now()\n", "pure-task", "time.Now"},
	{"task may use durations", "task/a.go",
		"// Package task is.\npackage task\nimport \"time\"\nconst d = 3 * time.Second\n", "", ""},
	{"task starts no goroutine", "task/a.go",
		"// Package task is.\npackage task\nfunc f() { go f() }\n", "pure-task", "goroutines"},
	{"task has no files", "task/a.go", "// Package task is.\npackage task\nimport _ \"os\"\n", "pure-task", "os"},
	{"goroutines are counted", "router/a.go", "// Package router is.\npackage router\nfunc f() { go f() }\n", "goroutines", "allows 0"},
	{"goroutines of groups are counted", "router/a.go",
		"// Package router is.\npackage router\nimport \"sync\"\nfunc f(g *sync.WaitGroup) { g.Go(func() {}) }\n", "goroutines", "router/a.go:4"},
	{"a long file", "router/a.go", "// Package router is.\npackage router\n" + strings.Repeat("\n", maxFileLines), "sizes", "502 lines"},
	{"a long function in a test", "router/a_test.go",
		"// Package router is.\npackage router\nfunc f() {" + strings.Repeat("\n", maxFunctionLines) + "}\n", "sizes", "f has 71 lines"},
	{"a function of the allowed length", "router/a.go",
		"// Package router is.\npackage router\nfunc f() {" + strings.Repeat("\n", maxFunctionLines-1) + "}\n", "", ""},
	{"four nested blocks", "router/a.go",
		"// Package router is.\npackage router\nfunc f() { for { if true { switch { default: if true {} } } } }\n", "sizes", "nests more"},
	{"a chain of else-ifs is one block", "router/a.go",
		"// Package router is.\npackage router\nfunc f(i int) { if i == 0 {} else if i == 1 {} else if i == 2 {} else if i == 3 {} else if i == 4 {} }\n", "", ""},
	{"a name that says nothing", "worker/util/a.go", "// Package util is.\npackage util\n", "package-names", `"util"`},
	{"no package comment", "router/a.go", "package router\n", "package-docs", `"Package router"`},
	{"a package comment in any file", "router/b.go", "// Package router is.\npackage router\n", "", ""},
	{"an exported function without comment", "router/a.go",
		"// Package router is.\npackage router\nfunc F() {}\n", "exported-docs", "exported F has no comment"},
	{"a comment of something else", "router/a.go",
		"// Package router is.\npackage router\n// G is.\nfunc F() {}\n", "exported-docs", "does not begin with its name"},
	{"a method of an unexported type needs no comment", "router/a.go",
		"// Package router is.\npackage router\ntype t struct{}\nfunc (t) F() {}\n", "", ""},
	{"a group of constants shares its comment", "router/a.go",
		"// Package router is.\npackage router\n// Kinds.\nconst (\n A = 1\n B = 2\n)\n", "", ""},
	{"an exported constant without comment", "router/a.go",
		"// Package router is.\npackage router\nconst A = 1\n", "exported-docs", "exported A"},
	{"a cause printed with %v", "router/a.go",
		"// Package router is.\npackage router\nimport \"fmt\"\nfunc f(n int, e error) error { return fmt.Errorf(\"x %*d: %v\", 3, n, e) }\n",
		"wrapped-errors", "without %w"},
	{"a cause printed by its method", "router/a.go",
		"// Package router is.\npackage router\nimport \"fmt\"\nfunc f(e error) error { return fmt.Errorf(\"x: %s\", e.Error()) }\n",
		"wrapped-errors", "without %w"},
	{"a cause of a type of its own", "router/a.go",
		"// Package router is.\npackage router\nimport (\n\"fmt\"\n\"io/fs\"\n)\nfunc f(e *fs.PathError) error { return fmt.Errorf(\"x: %v\", e) }\n",
		"wrapped-errors", "without %w"},
	{"a wrapped cause, beside a value", "router/a.go",
		"// Package router is.\npackage router\nimport \"fmt\"\nfunc f(s string, e error) error { return fmt.Errorf(\"100%% %s: %w\", s, e) }\n", "", ""},
	{"the global logger", "router/a.go",
		"// Package router is.\npackage router\nimport \"log/slog\"\nfunc f() { slog.Info(\"x\") }\n", "logging", "slog.Info"},
	{"a logger that is passed in", "router/a.go",
		"// Package router is.\npackage router\nimport \"log/slog\"\nfunc f(log *slog.Logger) { log.Info(\"x\", slog.Int(\"n\", 1)) }\n", "", ""},
	{"work left for later", "docs/a.md", "TO" + "DO: write\n", "leftovers", "file an issue"},
	{"a path of one machine", "docs/a.md", "see /ro" + "ot/x\n", "leftovers", "one person's machine"},
	{"an address with the same words", "docs/a.md", "see https://example.org/work/x\n", "", ""},
}

func TestEachRuleFindsItsBreach(t *testing.T) {
	for _, b := range breaches {
		t.Run(b.name, func(t *testing.T) {
			tree, err := parse(map[string][]byte{b.file: []byte(b.code)})
			if err != nil {
				t.Fatal(err)
			}
			found := b.rule == ""
			for _, p := range check(tree) {
				if b.rule == "" {
					t.Errorf("nothing is wrong here, but: %v", p)
				}
				found = found || p.Rule == b.rule && strings.Contains(p.String(), b.want)
			}
			if !found {
				t.Errorf("rule %s did not find %q", b.rule, b.want)
			}
		})
	}
}

func TestVerbsOfFormat(t *testing.T) {
	for format, want := range map[string]string{
		"":                    "",
		"100%%":               "",
		"%s and %w":           "sw",
		"%-10.3f %+v %*d %#q": "fv*dq",
		"ends with %":         "",
	} {
		if got := string(verbsOf(format)); got != want {
			t.Errorf("verbsOf(%q) = %q, want %q", format, got, want)
		}
	}
}
