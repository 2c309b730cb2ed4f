package statefun_test

import (
	"go/ast"
	godoc "go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryTypeHasAnExample holds the documentation to its promise: each exported type that has something to show has a
// runnable example, under its own name, that of a function that makes it, or that of a method.
func TestEveryTypeHasAnExample(t *testing.T) {
	for path, without := range map[string]string{
		".":            "Simple State EgressRecord", // names for what other types are
		"statefuntest": "TB",
	} {
		p := documentation(t, path)
		for _, typ := range p.Types {
			name, shown := p.Name+"."+typ.Name, examples(typ)
			if len(shown) == 0 && !slices.Contains(strings.Fields(without), typ.Name) {
				t.Errorf("%s has no example", name)
			}
			if slices.ContainsFunc(shown, func(e *godoc.Example) bool { return e.Output == "" }) {
				t.Errorf("an example of %s has no output, so that it is not run", name)
			}
		}
	}
}

// examples are those of a type, of the functions that make one, and of its methods.
func examples(typ *godoc.Type) []*godoc.Example {
	all := typ.Examples
	for _, f := range append(append([]*godoc.Func{}, typ.Funcs...), typ.Methods...) {
		all = append(all, f.Examples...)
	}
	return all
}

// documentation is what go doc shows of a package.
func documentation(t *testing.T, folder string) *godoc.Package {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	p, err := godoc.NewFromFiles(files, parsed, "github.com/statefun-kafka/statefun-kafka/statefun")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
