package module

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A node is a value of a module file with its place and its path from the document's root.
// Its methods note a problem when the value is not what the caller asks for.
type node struct {
	r      *reader
	source *source
	path   string // e.g. spec.topics[0].targets; empty for the root
	at     Position
	yaml   ast.Node // aliases and tags are resolved
}

// isNull reports whether nothing is given; a null counts as a missing key, as in StateFun.
func (n node) isNull() bool {
	if n.yaml == nil {
		return true
	}
	_, null := n.yaml.(*ast.NullNode)
	return null
}

// report notes a problem of this value.
func (n node) report(message, hint string) { n.r.report(n.at, n.named(message), hint) }

func (n node) named(message string) string {
	if n.path == "" {
		return message
	}
	return n.path + ": " + message
}

// kind says in words what the value is.
func (n node) kind() string {
	switch n.yaml.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	}
	return "text"
}

// isText reports whether the value is text in the file, not a number or the like.
func (n node) isText() bool { return n.kind() == "text" }

// text returns a scalar as text, with its placeholders filled in.
func (n node) text() (string, bool) {
	switch v := n.yaml.(type) {
	case *ast.StringNode:
		return n.fill(v.Value)
	case *ast.LiteralNode:
		if v.Value == nil {
			return "", true
		}
		return n.fill(v.Value.Value)
	case *ast.IntegerNode:
		return fmt.Sprint(v.Value), true
	case *ast.BoolNode:
		return fmt.Sprint(v.Value), true
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.yaml.GetToken().Value, true
	}
	n.report("must be text, found "+n.kind(), "")
	return "", false
}

// list returns the elements of a list.
func (n node) list() []node {
	s, ok := n.yaml.(*ast.SequenceNode)
	if !ok {
		n.report("must be a list, found "+n.kind(), "write its elements as lines that begin with -")
		return nil
	}
	elements := make([]node, 0, len(s.Values))
	for i, v := range s.Values {
		e := node{r: n.r, source: n.source, path: fmt.Sprintf("%s[%d]", n.path, i), yaml: n.source.resolve(v)}
		e.at = n.source.position(v, n.at)
		if _, alias := v.(*ast.AliasNode); !alias {
			e.at = n.source.position(e.yaml, e.at)
		}
		elements = append(elements, e)
	}
	return elements
}

// object returns the value as a map; an empty one when it is something else.
func (n node) object() *object {
	o := &object{node: n, fields: map[string]field{}}
	if !o.add(n.yaml, 0) {
		n.report("must be a map of keys and values, found "+n.kind(), "")
	}
	return o
}

// add takes in the fields of a map in the order of the file; false when it is no map.
func (o *object) add(value ast.Node, depth int) bool {
	var pairs []*ast.MappingValueNode
	switch v := value.(type) {
	case *ast.MappingNode:
		pairs = v.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{v}
	default:
		return false
	}
	for _, pair := range pairs {
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge {
			o.merge(pair, depth)
			continue
		}
		o.put(pair, depth)
	}
	return true
}

// merge takes in the keys of another map (<<: *anchor); keys of the map itself go before them.
func (o *object) merge(pair *ast.MappingValueNode, depth int) {
	if depth >= maxIndirection || !o.add(o.source.resolve(pair.Value), depth+1) {
		at := o.source.position(pair.Key, o.at)
		o.r.report(at, o.named("<< needs a map with an anchor"), "")
	}
}

// put takes in one key. A key given twice in one map is refused: which one counts would be a guess.
func (o *object) put(pair *ast.MappingValueNode, depth int) {
	key := keyText(o.source.resolve(pair.Key))
	f := field{key: key, depth: depth, at: o.source.position(o.source.resolve(pair.Key), o.at)}
	f.node = node{r: o.r, source: o.source, path: join(o.path, key), yaml: o.source.resolve(pair.Value)}
	f.node.at = f.at
	switch pair.Value.(type) {
	case *ast.AliasNode, nil:
	default:
		if !isCollection(f.node.yaml) && !f.isNull() {
			f.node.at = o.source.position(f.node.yaml, f.at)
		}
	}
	before, twice := o.fields[key]
	if twice && before.depth == depth {
		message := fmt.Sprintf("key %q is given twice, first on line %d", key, before.at.Line)
		o.r.unknown(f.at, o.named(message), "keep one of them")
	}
	if twice && before.depth < depth {
		return
	}
	if !twice {
		o.order = append(o.order, key)
	}
	o.fields[key] = f
}

func isMap(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func isCollection(n ast.Node) bool {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		return true
	}
	return false
}

func keyText(n ast.Node) string {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value
	}
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return strings.Join([]string{path, key}, ".")
}
