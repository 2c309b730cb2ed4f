package planted

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// bug is one mistake in one file of the worker, and the test that must find it.
type bug struct {
	file     string // below worker/
	old, new string
	test     string
	args     []string // of the test
	finds    string   // what the test says then, a regular expression
}

// Each of the four breaks one rule of the design by which nothing is lost or doubled.
var bugs = map[string]bug{
	// Kafka has the position, the effects are visible, and the state that goes with them is in no changelog.
	"offsets are committed without state": {
		file: "commit.go",
		old:  "		for j := range records {\n",
		new:  "		for j := range records {\n			if rows := tx.parts[i].rows; rows[j].Key[0] == state.KindValue && rows[len(rows)-1].Key[0] == state.KindProgress {\n				continue\n			}\n",
		test: "TestSimulation", args: simulation("1", "2"),
		finds: `address \d+ processed \S+ and \S+ as number|the store has .* the changelog|the states have \d+ inputs`,
	},
	// The new owner of a partition begins at the first record that is left in the mailbox, whatever is done of it.
	"the mailbox is read twice after a take-over": {
		file: "abort.go",
		old:  "		source := task.NewSource(s.topic, s.partition, w.topicID(s.topic), progress)\n",
		new:  "		if s.topic == w.names.mailbox {\n			progress.Position, progress.Finished = 0, nil\n		}\n		source := task.NewSource(s.topic, s.partition, w.topicID(s.topic), progress)\n",
		test: "TestSimulation", args: simulation("27", "2"), // no world with a topic of its own: what is done is deleted there, and a reader ends
		finds: `egress has input \S+ twice`,
	},
	// Its source has moved on, and the copy of the input is gone.
	"a pending row is lost": {
		file: "commit.go",
		old:  "		changes = append(changes, state.Change{Partition: part.id, Rows: part.rows, Position: state.Position{\n",
		new:  "		kept := part.rows[:0:0]\n		for _, row := range part.rows {\n			if row.Key[0] != state.KindPending {\n				kept = append(kept, row)\n			}\n		}\n		changes = append(changes, state.Change{Partition: part.id, Rows: kept, Position: state.Position{\n",
		test: "TestSimulation", args: simulation("1", "2"),
		finds: `input \S+ of address \d+ was lost|\d+ pending inputs of \S+ are not in the store`,
	},
	// A worker that the group had given up has joined again, and commits what it did before as the member that it is now.
	"the commit of a zombie is accepted": {
		file:  "commit.go",
		old:   `if member == "" || generation < 0 || w.group.token(w.group.client) != tx.captured {`,
		new:   `if member == "" || generation < 0 {`,
		test:  "TestH1AZombiesCommitIsNotAccepted/taker_stays_false/v4.1",
		finds: `outputs of \S+ are \[1:r0 2:r1 3:r2 2:r1`,
	},
}

// simulation runs the worker's simulation over seeds, of which one suffices; the second is a reserve, because a seed
// repeats a run only in kind.
func simulation(first, runs string) []string {
	return []string{"-sim.first", first, "-sim.runs", runs, "-sim.settle", "5s"}
}

func TestThePlantedBugsAreFound(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range bugs {
		t.Run(name, func(t *testing.T) {
			said, failed := b.run(t, root)
			switch {
			case !failed:
				t.Errorf("%s passes with the bug in %s", b.test, b.file)
			case !regexp.MustCompile(b.finds).MatchString(said):
				t.Errorf("%s fails, but not by %q:\n%s", b.test, b.finds, strings.Join(regexp.MustCompile(`(?m)^.*_test\.go:.*$`).FindAllString(said, 40), "\n"))
			default:
				t.Logf("found: %s", regexp.MustCompile(`(?m)^.*(`+b.finds+`).*$`).FindString(said))
			}
		})
	}
}

// run gives what the test says with the bug in, and whether it failed.
func (b bug) run(t *testing.T, root string) (said string, failed bool) {
	args := []string{"test", "-count=1", "-timeout=3m", "-overlay", b.plant(t, root), "-run", "^" + b.test, "./worker"}
	command := exec.CommandContext(t.Context(), "go", append(args, b.args...)...)
	command.Dir = root
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "[setup failed]") {
		t.Fatalf("the bug in %s does not compile:\n%s", b.file, last(string(out), 40))
	}
	if strings.Contains(string(out), "no tests to run") {
		t.Fatalf("there is no test %s", b.test)
	}
	return string(out), err != nil
}

// plant writes the file with the bug, and the overlay that puts it into the place of the right one.
func (b bug) plant(t *testing.T, root string) (overlay string) {
	path := filepath.Join(root, "worker", b.file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		t.Fatalf("the patch is stale: %s has this text %d times, want once; plant the bug anew:\n%s", path, n, b.old)
	}
	folder := t.TempDir()
	wrong := filepath.Join(folder, b.file)
	if err := os.WriteFile(wrong, []byte(strings.Replace(string(text), b.old, b.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {path: wrong}})
	if err != nil {
		t.Fatal(err)
	}
	overlay = filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

func last(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
