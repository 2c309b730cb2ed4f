package lint

import (
	"fmt"
	"go/ast"
)

// The sizes that keep a part of the program readable in one go.
const (
	maxFileLines     = 500
	maxFunctionLines = 70
	maxNesting       = 3
)

// sizes measures files, functions and their nesting, tests included.
func sizes(t *tree) []Problem {
	var problems []Problem
	everything := func(*pkg, *file) bool { return true }
	t.each(everything, func(_ *pkg, f *file, n ast.Node) {
		switch n := n.(type) {
		case *ast.File:
			if f.lines > maxFileLines {
				problems = append(problems, Problem{File: f.name,
					Text: fmt.Sprintf("has %d lines, %d are allowed: a file holds one noun", f.lines, maxFileLines)})
			}
		case *ast.FuncDecl:
			if n.Body != nil {
				problems = append(problems, measure(t, f, n)...)
			}
		}
	})
	return problems
}

func measure(t *tree, f *file, function *ast.FuncDecl) []Problem {
	var problems []Problem
	first, last := t.line(function.Pos()), t.line(function.End())
	if lines := last - first + 1; lines > maxFunctionLines {
		problems = append(problems, Problem{File: f.name, Line: first,
			Text: fmt.Sprintf("%s has %d lines, %d are allowed", function.Name.Name, lines, maxFunctionLines)})
	}
	for _, deep := range tooDeep(function.Body, 0) {
		problems = append(problems, Problem{File: f.name, Line: t.line(deep.Pos()),
			Text: fmt.Sprintf("%s nests more than %d blocks: return early or name the inner part", function.Name.Name, maxNesting)})
	}
	return problems
}

// tooDeep finds the blocks below maxNesting others. A function literal is a function of its own and starts anew;
// an else-if is as deep as its if.
func tooDeep(n ast.Node, depth int) []ast.Node {
	var found []ast.Node
	ast.Inspect(n, func(child ast.Node) bool {
		if child == n || child == nil {
			return true
		}
		switch child := child.(type) {
		case *ast.FuncLit:
			found = append(found, tooDeep(child.Body, 0)...)
			return false
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			next := depth + 1
			if parent, ok := n.(*ast.IfStmt); ok && parent.Else == child {
				next = depth
			}
			if next > maxNesting {
				found = append(found, child)
				return false
			}
			found = append(found, tooDeep(child, next)...)
			return false
		}
		return true
	})
	return found
}
