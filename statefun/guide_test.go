package statefun_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheProgramOfTheGuideCompiles builds the first program of docs/go-sdk.md as it stands there.
func TestTheProgramOfTheGuideCompiles(t *testing.T) {
	guide, err := os.ReadFile("../docs/go-sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```go\n")
	program, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the guide has no program")
	}
	folder := t.TempDir()
	source := filepath.Join(folder, "main.go")
	if err := os.WriteFile(source, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(folder, "program"), source).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
