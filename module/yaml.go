package module

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A document is one YAML document of a file and the number of lines before it.
type document struct {
	text        []byte
	linesBefore int
}

// splitDocuments cuts a stream at its --- and ... lines. YAML forbids these at the start of a line in any
// other place, so no content is cut. Each document is parsed by itself because one with a syntax error
// must not hide the problems of the others, and because the parser drops what follows two markers in a row.
func splitDocuments(text []byte) []document {
	var documents []document
	current := document{}
	marked := false // a --- line stands before the current document
	end := func(next int) {
		if marked || !isBlank(current.text) {
			documents = append(documents, current)
		}
		current = document{linesBefore: next}
	}
	line := 0
	for rest := text; len(rest) > 0; line++ {
		var one []byte
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			one, rest = rest[:i+1], rest[i+1:]
		} else {
			one, rest = rest, nil
		}
		switch {
		case isMarker(one, "---"):
			end(line)
			marked = true
			// Spaces instead of the marker keep the columns of what stands behind it.
			current.text = append([]byte("   "), one[3:]...)
		case isMarker(one, "..."):
			end(line + 1)
			marked = false
		case bytes.HasPrefix(one, []byte("%")) && !marked && isBlank(current.text):
			current.text = append(current.text, '\n') // a directive; it has no meaning here
		default:
			current.text = append(current.text, one...)
		}
	}
	end(line)
	return documents
}

func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\n\r"), rune(rest[0])))
}

// isBlank reports whether the text holds nothing but comments and spaces.
func isBlank(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// parse returns the root of a document, false for a null document and for one that is not YAML.
func (r *reader) parse(file string, d document) (root node, ok bool) {
	if isBlank(d.text) {
		return node{}, false
	}
	at := Position{File: file, Line: d.linesBefore + 1, Column: 1}
	tree, err := parseYAML(d.text)
	if err != nil {
		var problem yaml.Error
		message := err.Error()
		if errors.As(err, &problem) {
			message = problem.GetMessage()
			if t := problem.GetToken(); t != nil && t.Position != nil {
				at.Line, at.Column = d.linesBefore+t.Position.Line, t.Position.Column
			}
		}
		r.report(at, "not YAML: "+message, "")
		return node{}, false
	}
	if len(tree.Docs) == 0 {
		return node{}, false
	}
	source := &source{file: file, linesBefore: d.linesBefore, anchors: map[string]ast.Node{}}
	ast.Walk(source, tree.Docs[0].Body)
	root = node{r: r, source: source, at: at, yaml: source.resolve(tree.Docs[0].Body)}
	root.at = source.position(root.yaml, at)
	return root, !root.isNull()
}

// parseYAML shields the caller from a panic of the parser, which would be one bad file stopping `validate`.
func parseYAML(text []byte) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

// A source is where the nodes of one document come from.
type source struct {
	file        string
	linesBefore int
	anchors     map[string]ast.Node
}

// Visit collects the anchors; it makes a source an ast.Visitor.
func (s *source) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil && a.Name.GetToken() != nil {
		s.anchors[a.Name.GetToken().Value] = a.Value
	}
	return s
}

// maxIndirection bounds aliases of aliases, so that one that points to itself ends.
const maxIndirection = 16

// resolve looks through anchors, aliases and tags; nil stands for an alias without an anchor and for null.
func (s *source) resolve(n ast.Node) ast.Node {
	for range maxIndirection {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		case *ast.MappingKeyNode:
			n = v.Value
		case *ast.AliasNode:
			if v.Value == nil || v.Value.GetToken() == nil {
				return nil
			}
			n = s.anchors[v.Value.GetToken().Value]
		default:
			return n
		}
	}
	return nil
}

// position returns where a node begins, and the given place when that is not known.
func (s *source) position(n ast.Node, otherwise Position) Position {
	// The token of a mapping is its first colon; its first key is where people look.
	switch v := n.(type) {
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			n = v.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = v.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return otherwise
	}
	p := n.GetToken().Position
	return Position{File: s.file, Line: s.linesBefore + p.Line, Column: p.Column}
}
