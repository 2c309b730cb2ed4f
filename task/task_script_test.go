package task

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// TestScripts runs testdata/*.txt. A script is prose, and commands: a line that begins with "> ". What a command
// prints follows it up to an empty line or the next command. Each script begins with a task of its own, without
// sources, and prose says what is shown. After each command the task's invariants are checked.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := parseScript(string(written))
	if len(blocks) == 0 || strings.TrimSpace(blocks[0].prose) == "" {
		t.Fatal("a script is opened by prose that says what is shown")
	}
	w := newWorld()
	out := strings.Builder{}
	for _, b := range blocks {
		out.WriteString(b.prose)
		if b.command == "" {
			continue
		}
		got := w.run(b.command)
		if got != b.printed && !*rewrite {
			t.Fatalf("line %d: %s\nprints:\n%swant:\n%s", b.line, b.command, got, b.printed)
		}
		out.WriteString("> " + b.command + "\n" + got)
	}
	if *rewrite && out.String() != string(written) {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// block is a command with the prose before it and what it prints.
type block struct {
	prose, command, printed string
	line                    int
}

func parseScript(text string) (blocks []block) {
	b, printing := block{}, false
	for i, line := range strings.SplitAfter(text, "\n") {
		command, is := strings.CutPrefix(line, "> ")
		switch {
		case is:
			if printing {
				blocks, b = append(blocks, b), block{}
			}
			b.command, b.line, printing = strings.TrimSpace(command), i+1, true
		case printing && strings.TrimSpace(line) != "":
			b.printed += line
		case printing:
			blocks, b, printing = append(blocks, b), block{prose: line}, false
		default:
			b.prose += line
		}
	}
	return append(blocks, b)
}

// run executes a command and gives what it prints.
func (w *world) run(line string) string {
	w.out.Reset()
	name, rest, _ := strings.Cut(line, " ")
	command := commands[name]
	if command == nil {
		return fmt.Sprintf("error: no command %q\n", name)
	}
	if err := w.try(command, strings.Fields(rest)); err != nil {
		w.printf("error: %v", err)
	}
	if err := invariants(w.task, w.disk, w.held); err != nil {
		w.printf("BROKEN: %v", err)
	}
	return w.out.String()
}

// try turns what a script got wrong, or a broken invariant of the task, into an error that is printed.
func (w *world) try(command func(*world, []string) error, args []string) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	return command(w, args)
}
