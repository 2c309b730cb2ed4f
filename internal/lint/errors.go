package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
)

// wrappedErrors wants %w for every error that goes into another error: a cause that is printed with %v or by its
// Error method is lost to errors.Is.
func wrappedErrors(t *tree) []Problem {
	exports, err := exportData(t)
	if err != nil {
		return []Problem{{File: "go.mod", Text: err.Error()}}
	}
	lookup := func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no compiled form of %s", path)
		}
		return os.Open(exports[path])
	}
	gc := importer.ForCompiler(t.fset, "gc", lookup)
	var problems []Problem
	for _, p := range t.packages {
		info := typesOf(t, p, gc)
		t.each(func(q *pkg, f *file) bool { return q == p && production(q, f) }, func(_ *pkg, f *file, n ast.Node) {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return
			}
			for _, cause := range lostCauses(f, call, info) {
				problems = append(problems, Problem{File: f.name, Line: t.line(cause.Pos()),
					Text: "an error goes into fmt.Errorf without %w: its cause is lost to errors.Is"})
			}
		})
	}
	return problems
}

// lostCauses are the error arguments of a fmt.Errorf call that another verb than %w prints.
func lostCauses(f *file, call *ast.CallExpr, info *types.Info) []ast.Expr {
	if path, name := f.selected(call.Fun); path != "fmt" || name != "Errorf" || len(call.Args) < 2 {
		return nil
	}
	format := info.Types[call.Args[0]].Value
	if format == nil || format.Kind() != constant.String {
		return nil
	}
	verbs := verbsOf(constant.StringVal(format))
	var lost []ast.Expr
	for i, argument := range call.Args[1:] {
		printed := i >= len(verbs) || verbs[i] == 'v' || verbs[i] == 's' || verbs[i] == 'q'
		if printed && isCause(argument, info) {
			lost = append(lost, argument)
		}
	}
	return lost
}

// verbsOf lists the verb of each argument in order. A star takes an argument too; explicit indexes are not used
// in this project.
func verbsOf(format string) []byte {
	var verbs []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*", format[i]) >= 0; i++ {
			if format[i] == '*' {
				verbs = append(verbs, '*')
			}
		}
		if i < len(format) && format[i] != '%' {
			verbs = append(verbs, format[i])
		}
	}
	return verbs
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// isCause tells an error, and a call of an error's Error method, from other arguments.
func isCause(e ast.Expr, info *types.Info) bool {
	if call, ok := e.(*ast.CallExpr); ok {
		if selector, ok := call.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "Error" && len(call.Args) == 0 {
			e = selector.X
		}
	}
	found := info.TypeOf(e)
	return found != nil && found != types.Typ[types.Invalid] && found != types.Typ[types.UntypedNil] &&
		types.Implements(found, errorType)
}

// typesOf checks the types of a package as far as it compiles; what does not is the compiler's to report.
func typesOf(t *tree, p *pkg, from types.Importer) *types.Info {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	var files []*ast.File
	for _, f := range p.files {
		if !f.test {
			files = append(files, f.syntax)
		}
	}
	config := types.Config{Importer: from, Error: func(error) {}}
	if _, err := config.Check(path.Join(modulePath, p.dir), t.fset, files, info); err != nil {
		return info
	}
	return info
}

// exportData asks the go command for the compiled form of everything that the module imports.
func exportData(t *tree) (map[string]string, error) {
	cmd := exec.Command("go", "list", "-e", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}")
	packages := []string{"./..."}
	if t.root == "" {
		packages = imported(t)
	}
	if len(packages) == 0 {
		return nil, nil
	}
	cmd.Dir, cmd.Args = t.root, append(cmd.Args, packages...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("list the module's imports: %w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("list the module's imports: %w", err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			exports[name] = file
		}
	}
	return exports, nil
}

// imported are the imports of a tree that is not on disk.
func imported(t *tree) []string {
	var paths []string
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, target := range f.imports {
				paths = append(paths, target)
			}
		}
	}
	return paths
}
