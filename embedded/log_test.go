package embedded_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// journal keeps a log for a test to look at.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newLog() *journal { return &journal{} }

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(j, nil)) }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// lines are the lines so far.
func (j *journal) lines() (lines []map[string]any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, text := range bytes.Split(j.text.Bytes(), []byte("\n")) {
		var line map[string]any
		if json.Unmarshal(text, &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

// attribute is the last text that was logged under a name.
func (j *journal) attribute(name string) (last string) {
	for _, line := range j.lines() {
		if text, ok := line[name].(string); ok {
			last = text
		}
	}
	return last
}

// write makes a file.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// list is what a folder holds.
func list(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
