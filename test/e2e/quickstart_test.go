package e2e

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// modulePath is the name of this project's Go module.
const modulePath = "github.com/statefun-kafka/statefun-kafka"

// goLines is what the quick start promises: fewer lines of Go in a function and its program.
const goLines = 30

// block is a fenced part of a guide, and the line before it.
type block struct{ intro, language, text string }

// fileName is the file that an intro names.
var fileName = regexp.MustCompile("^`([^`]+)`:$")

// blocks are all fenced parts, in order.
func blocks(text string) (found []block) {
	const fence = "```"
	var b *block
	intro := ""
	for line := range strings.Lines(text) {
		language, fenced := strings.CutPrefix(strings.TrimSpace(line), fence)
		switch {
		case fenced && b == nil:
			b = &block{intro: intro, language: language}
		case fenced:
			found, b, intro = append(found, *b), nil, ""
		case b != nil:
			b.text += line
		case strings.TrimSpace(line) != "":
			intro = strings.TrimSpace(line)
		}
	}
	return found
}

// newcomer does what a guide says, in an empty folder.
type newcomer struct {
	t           *testing.T
	folder      string // where the guide has led to
	environment []string
	printed     string // by the commands that ran last
	compared    int
	background  []*process.Process
}

// TestQuickstartGo is docs/quickstart-go.md as it is written: its files are put where it says, its commands run, and what they
// print is held against what it shows. Two things are not as they are for a reader, who has the published module and a machine
// for himself: go.mod has a replace that points to this checkout, from which the program is installed too, and the ports are free ones.
func TestQuickstartGo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	guide, err := os.ReadFile("../../docs/quickstart-go.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	functions, broker := freeAddr(t), freeAddr(t)
	text := strings.NewReplacer(
		"127.0.0.1:8000", functions, "127.0.0.1:9092", broker,
		"go install "+modulePath+"/cmd/statefun-kafka@latest",
		fmt.Sprintf("go mod edit -replace %s=%s\n(cd %s && go install ./cmd/statefun-kafka)", modulePath, root, root),
	).Replace(string(guide))
	if strings.Count(text, functions) < 2 || strings.Count(text, broker) < 2 || strings.Count(text, root) != 2 {
		t.Fatal("the guide's ports, or its way to install, are others than this test knows")
	}
	n := &newcomer{t: t, folder: t.TempDir()}
	bin := filepath.Join(n.folder, "bin")
	n.environment = append(os.Environ(), "GOBIN="+bin, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GOWORK=off",
		"STATEFUN_BROKER_ADDR="+broker, "STATEFUN_ADMIN_ADDR=127.0.0.1:0")
	for _, b := range blocks(text) {
		n.follow(b)
	}
	if n.compared != 2 {
		t.Errorf("what comes out was compared %d times with what is shown, not for both ways to run a function", n.compared)
	}
}

// follow does what one block says.
func (n *newcomer) follow(b block) {
	n.t.Helper()
	name := fileName.FindStringSubmatch(b.intro)
	switch {
	case name != nil:
		n.write(name[1], b.text)
	case b.language == "sh" && strings.HasSuffix(b.intro, "in a shell of its own:"):
		n.start(b.text)
	case b.language == "sh":
		n.run(b.text)
	case b.language == "text":
		n.compare(b.text)
	default:
		n.t.Fatalf("nothing says what to do with this %s:\n%s", b.language, b.text)
	}
}

func (n *newcomer) write(name, text string) {
	n.t.Helper()
	if strings.HasSuffix(name, ".go") {
		formatted, err := format.Source([]byte(text))
		if err != nil || string(formatted) != text {
			n.t.Errorf("%s is not formatted (%v)", name, err)
		}
	}
	if lines := strings.Count(text, "\n"); name == "main.go" && n.compared == 0 && lines >= goLines {
		n.t.Errorf("%s has %d lines, which is not under %d", name, lines, goLines)
	}
	n.stop()
	if err := os.WriteFile(filepath.Join(n.folder, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// stop ends what runs, before a file is changed.
func (n *newcomer) stop() {
	for _, p := range n.background {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // go run has a child
		<-p.Done()
	}
	n.background = nil
}

// run runs commands to their end, in the folder that those before have led to.
func (n *newcomer) run(commands string) {
	n.t.Helper()
	where := filepath.Join(n.t.TempDir(), "where")
	cmd := exec.CommandContext(n.t.Context(), "sh", "-e", "-c", commands+"\npwd >"+where)
	cmd.Dir, cmd.Env = n.folder, n.environment
	var out, failures bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failures
	if err := cmd.Run(); err != nil {
		n.t.Fatalf("%v:\n%s\n%s%s", err, commands, out.String(), failures.String())
	}
	folder, err := os.ReadFile(where)
	if err != nil {
		n.t.Fatal(err)
	}
	n.folder, n.printed = strings.TrimSpace(string(folder)), out.String()
	n.t.Logf("$ %s\n%s", strings.ReplaceAll(strings.TrimSpace(commands), "\n", "\n$ "), n.printed)
}

// start runs one command that stays, and returns when it says that functions can be called, or records sent.
func (n *newcomer) start(command string) {
	n.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir, cmd.Env = n.folder, n.environment
	p, err := process.Start(command, filepath.Join(shared.folder, fmt.Sprintf("%03d-quickstart.log", children.Add(1))), cmd)
	if err != nil {
		n.t.Fatal(err)
	}
	n.background = append(n.background, p)
	n.t.Cleanup(func() {
		n.stop()
		if n.t.Failed() {
			n.t.Logf("end of the log of %s:\n%s", command, p.Tail(shownLines))
		}
	})
	await(n.t, readyLimit, command+" to say that it is ready", func() bool {
		if p.Ended() {
			n.t.Fatalf("%s ended:\n%s", command, p.Tail(shownLines))
		}
		return p.Find("functions are served") != "" || p.Find("partitions run") != ""
	})
}

// compare holds the last lines that were printed against those that are shown. Records of several keys come in any order.
func (n *newcomer) compare(shown string) {
	n.t.Helper()
	want, got := strings.Split(strings.TrimSpace(shown), "\n"), strings.Split(strings.TrimSpace(n.printed), "\n")
	got = got[max(0, len(got)-len(want)):]
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		n.t.Errorf("the commands printed\n%s\nand not\n%s", n.printed, shown)
	}
	n.compared++
}
