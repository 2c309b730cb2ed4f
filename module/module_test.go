package module

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The documents that make a module whole; a case writes its own before them.
const (
	tailEndpoint = "---\nkind: io.statefun.endpoints.v2/http\nspec: {functions: tail/*, urlPathTemplate: http://tail}\n"
	tailIngress  = "---\nkind: io.statefun.kafka.v1/ingress\nspec:\n  id: tail/in\n  address: kafka:9092\n  consumerGroupId: app\n" +
		"  topics: [{topic: tail, valueType: tail/v, targets: [tail/f]}]\n"
	tail = tailEndpoint + tailIngress
)

// loadText loads one module.yaml with this text.
func loadText(t *testing.T, text string, opt Options) (*Module, error) {
	t.Helper()
	return loadFiles(t, map[string]string{"module.yaml": text}, []string{"module.yaml"}, opt)
}

// loadFiles writes files into a fresh working folder, so that problems name short paths, and loads some of them.
func loadFiles(t *testing.T, files map[string]string, paths []string, opt Options) (*Module, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if opt.Now == nil {
		opt.Now = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	}
	return Load(paths, opt)
}

func mustLoad(t *testing.T, text string) *Module {
	t.Helper()
	m, err := loadText(t, text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lines writes problems one a line, as validate does.
func lines(problems []Problem) string { return Errors(problems).Error() }

func problemLines(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("error is of type %T, not Errors: %v", err, err)
	}
	return lines(all)
}
