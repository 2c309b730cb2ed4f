package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// modulePath begins the import path of every room.
const modulePath = "github.com/statefun-kafka/statefun-kafka"

// tree is the module's source as the rules see it.
type tree struct {
	root     string // empty for a tree that is not on disk
	fset     *token.FileSet
	packages []*pkg // by folder
	texts    []text // every text file, Go included, by name
}

// pkg is one folder of Go files. A package and its external test package count as one.
type pkg struct {
	dir   string // relative to the root, slashes
	name  string // without _test
	files []*file
}

type file struct {
	name    string // relative to the root, slashes
	test    bool
	syntax  *ast.File
	lines   int
	imports map[string]string // the name used in this file → import path
}

type text struct {
	name    string
	content []byte
}

// load reads the module at root. Testdata, hidden folders and modules of their own are left out.
func load(root string) (*tree, error) {
	sources := map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if rel != "." && skipped(name, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !readable(entry.Name()) {
			return nil
		}
		content, err := os.ReadFile(name)
		if !bytes.ContainsRune(content, 0) { // a built program has no extension either
			sources[filepath.ToSlash(rel)] = content
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the module at %s: %w", root, err)
	}
	t, err := parse(sources)
	if err != nil {
		return nil, err
	}
	t.root = root
	return t, nil
}

func skipped(name, base string) bool {
	if base == "testdata" || base == "node_modules" || base == "statefun-data" {
		return true
	}
	if strings.HasPrefix(base, ".") && base != ".ci" || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

// readable tells the files that people write from what programs make.
func readable(base string) bool {
	switch path.Ext(base) {
	case ".go", ".md", ".yml", ".yaml", ".sh", ".py", ".java", ".js", ".xml", ".toml", ".txt":
		return true
	case "": // scripts and build files
		return true
	}
	return false
}

// parse builds the tree from sources by file name.
func parse(sources map[string][]byte) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	byDir := map[string]*pkg{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t.texts = append(t.texts, text{name: name, content: sources[name]})
		if path.Ext(name) != ".go" {
			continue
		}
		syntax, err := parser.ParseFile(t.fset, name, sources[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir, name: strings.TrimSuffix(syntax.Name.Name, "_test")}
			t.packages = append(t.packages, byDir[dir])
		}
		byDir[dir].files = append(byDir[dir].files, &file{
			name:    name,
			test:    strings.HasSuffix(name, "_test.go"),
			syntax:  syntax,
			lines:   bytes.Count(sources[name], []byte("\n")),
			imports: imports(syntax),
		})
	}
	return t, nil
}

func imports(syntax *ast.File) map[string]string {
	byName := map[string]string{}
	for _, spec := range syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it already
		}
		byName[importName(spec, target)] = target
	}
	return byName
}

// importName is the name that a file uses for an import: its own, or the last element that is no version.
func importName(spec *ast.ImportSpec, target string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	base := path.Base(target)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(target))
	}
	return base
}

// selected is the import path and name behind a qualified identifier such as time.Now, or "".
func (f *file) selected(e ast.Node) (importPath, name string) {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	x, ok := selector.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return f.imports[x.Name], selector.Sel.Name
}

// line is the line of a position.
func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// each calls visit for every node of every file that keep wants.
func (t *tree) each(keep func(*pkg, *file) bool, visit func(*pkg, *file, ast.Node)) {
	for _, p := range t.packages {
		for _, f := range p.files {
			if !keep(p, f) {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if n != nil {
					visit(p, f, n)
				}
				return true
			})
		}
	}
}

// production are the files that are built into programs; inRooms are those of them that belong to a room.
func production(_ *pkg, f *file) bool { return !f.test }
func inRooms(p *pkg, f *file) bool    { return !f.test && !isFree(p.dir) }

// within tells whether dir is root or lies below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }
