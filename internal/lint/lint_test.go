package lint

import (
	"path/filepath"
	"testing"
)

// This is the check itself: it reads the module around this folder.
func TestModuleKeepsTheRules(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	byRule := map[string][]Problem{}
	for _, p := range problems {
		byRule[p.Rule] = append(byRule[p.Rule], p)
	}
	for _, name := range Rules() {
		t.Run(name, func(t *testing.T) {
			for _, p := range byRule[name] {
				t.Error(p)
			}
		})
	}
}
