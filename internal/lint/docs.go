package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// forbiddenNames say nothing about what is inside.
var forbiddenNames = []string{
	"util", "utils", "common", "types", "helper", "helpers", "base", "misc", "shared", "lib", "pkg", "core", "models",
	"manager", "handler", "processor", "engine", "service", "data", "info", "item", "impl", "context", "metrics",
}

// packageNames refuses names that a stranger could not guess the content from.
func packageNames(t *tree) []Problem {
	var problems []Problem
	for _, p := range t.packages {
		for _, part := range append(strings.Split(p.dir, "/"), p.name) {
			if slices.Contains(forbiddenNames, part) {
				problems = append(problems, Problem{File: p.dir,
					Text: fmt.Sprintf("the name %q says nothing: name the package by the one thing it does", part)})
				break
			}
		}
	}
	return problems
}

// packageDocs asks every package for a comment whose first sentence is the package's job.
func packageDocs(t *tree) []Problem {
	var problems []Problem
	for _, p := range t.packages {
		opening := "Package " + p.name + " "
		if p.name == "main" {
			opening = "Command "
		}
		documented := slices.ContainsFunc(p.files, func(f *file) bool {
			return f.syntax.Doc != nil && strings.HasPrefix(f.syntax.Doc.Text(), opening)
		})
		if !documented {
			problems = append(problems, Problem{File: p.dir,
				Text: fmt.Sprintf("has no package comment that begins with %q", strings.TrimSpace(opening))})
		}
	}
	return problems
}

// exportedDocs asks every exported type, function, method, constant and variable for a comment that begins with
// its name. A commented group covers its constants and variables.
func exportedDocs(t *tree) []Problem {
	var problems []Problem
	for _, p := range t.packages {
		for _, f := range p.files {
			if !f.test && p.name != "main" {
				problems = append(problems, undocumentedIn(t, f)...)
			}
		}
	}
	return problems
}

func undocumentedIn(t *tree, f *file) []Problem {
	var problems []Problem
	for _, d := range f.syntax.Decls {
		problems = append(problems, undocumented(t, f, d)...)
	}
	return problems
}

func undocumented(t *tree, f *file, d ast.Decl) []Problem {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) {
			return wantDoc(t, f, d.Name, d.Doc)
		}
	case *ast.GenDecl:
		return undocumentedSpecs(t, f, d)
	}
	return nil
}

func undocumentedSpecs(t *tree, f *file, d *ast.GenDecl) []Problem {
	var problems []Problem
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil && !d.Lparen.IsValid() {
				doc = d.Doc
			}
			if spec.Name.IsExported() {
				problems = append(problems, wantDoc(t, f, spec.Name, doc)...)
			}
		case *ast.ValueSpec:
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && spec.Names[0].IsExported() {
				problems = append(problems, missing(t, f, spec.Names[0]))
			}
		}
	}
	return problems
}

func wantDoc(t *tree, f *file, name *ast.Ident, doc *ast.CommentGroup) []Problem {
	if doc == nil {
		return []Problem{missing(t, f, name)}
	}
	words := strings.Fields(doc.Text())
	if len(words) > 2 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if len(words) == 0 || strings.Trim(words[0], ",.:;'s") != strings.Trim(name.Name, ",.:;'s") {
		return []Problem{{File: f.name, Line: t.line(name.Pos()), Text: "the comment of " + name.Name + " does not begin with its name"}}
	}
	return nil
}

func missing(t *tree, f *file, name *ast.Ident) Problem {
	return Problem{File: f.name, Line: t.line(name.Pos()), Text: "exported " + name.Name + " has no comment"}
}

// exportedReceiver tells whether a function is seen from outside: it has no receiver, or an exported type's.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && token.IsExported(id.Name) {
			exported = true
		}
		return true
	})
	return exported
}
