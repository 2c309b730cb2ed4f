package module

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The versions of the legacy format: one document with lists of functions or endpoints, routers, ingresses, egresses.
const (
	version1 = "1.0"
	version2 = "2.0"
	version3 = "3.0"
)

// A section is one of the lists of a legacy document.
type section struct {
	list, entry string
	kindKey     string // of an entry's meta
	nameKey     string // of an entry's meta, copied into its spec under the same name; empty: there is none
	kinds       map[string]func(*reader, *object)
	listed      []string // of the kinds, what is told as known
	fold        bool     // case does not count in the kind
}

func newSection(list, entry, kindKey, nameKey string, kinds map[string]func(*reader, *object)) section {
	return section{list: list, entry: entry, kindKey: kindKey, nameKey: nameKey, kinds: kinds, listed: slices.Sorted(maps.Keys(kinds))}
}

// The kinds of the 2.x formats that 3.0 still had.
const (
	kindProtobufIngress = "statefun.kafka.io/protobuf-ingress"
	kindProtobufRouter  = "org.apache.flink.statefun.sdk/protobuf-router"
)

// sections lists what a legacy document of a version consists of.
func sections(version string) []section {
	routers := newSection("routers", "router", "type", "", map[string]func(*reader, *object){kindProtobufRouter: (*reader).router})
	routers.fold = true
	if version == version3 {
		return []section{
			sectionOf3("endpoints", "endpoint", "kind", ""),
			routers,
			sectionOf3("ingresses", "ingress", "type", "id"),
			sectionOf3("egresses", "egress", "type", "id"),
		}
	}
	functions := newSection("functions", "function", "kind", "type", map[string]func(*reader, *object){
		"http": (*reader).httpFunction, "grpc": (*reader).grpcFunction,
	})
	functions.fold, functions.listed = true, []string{"http"}
	return []section{
		functions,
		routers,
		newSection("ingresses", "ingress", "type", "id", map[string]func(*reader, *object){
			"statefun.kafka.io/routable-protobuf-ingress": (*reader).ingress,
			kindProtobufIngress:                           (*reader).protobufIngress,
		}),
		newSection("egresses", "egress", "type", "id", map[string]func(*reader, *object){
			"statefun.kafka.io/generic-egress": (*reader).egress,
		}),
	}
}

// kindsOf3 are the kinds that documents of version 3.0 have besides those of the component format.
var kindsOf3 = map[string]func(*reader, *object){
	"http":                      (*reader).endpointV1,
	"io.statefun.kafka/ingress": (*reader).ingress,
	"io.statefun.kafka/egress":  (*reader).egress,
}

// sectionOf3 is a section of version 3.0, which takes every kind in every list, as StateFun does.
func sectionOf3(list, entry, kindKey, nameKey string) section {
	all := maps.Clone(kinds)
	maps.Copy(all, kindsOf3)
	all[kindProtobufIngress] = (*reader).protobufIngress
	s := newSection(list, entry, kindKey, nameKey, all)
	s.listed = slices.Sorted(maps.Keys(kindsOf3))
	return s
}

// legacyVersion returns the version of a document in the legacy format: a map with one of the versions as text.
func (n node) legacyVersion() (version string, ok bool) {
	if !isMap(n.yaml) {
		return "", false
	}
	quiet := node{r: &reader{opt: n.r.opt, module: &Module{}}, source: n.source, at: n.at, yaml: n.yaml}
	v, ok := quiet.object().lookup("version")
	if !ok || !v.isText() {
		return "", false
	}
	text, _ := v.text()
	return text, isVersion(text)
}

func isVersion(text string) bool { return text == version1 || text == version2 || text == version3 }

// wrongVersion explains a document with a version that is not in the legacy format.
func (r *reader) wrongVersion(document *object) {
	version, ok := document.lookup("version")
	if !ok {
		version = document.fields["version"].node
	}
	text, _ := version.text()
	if whole := text + ".0"; isVersion(whole) && !version.isText() {
		text = whole
	}
	switch {
	case isVersion(text) && !version.isText():
		version.report("is a number", fmt.Sprintf("write version: %q", text))
	case isVersion(text):
		version.report("a file of the legacy format holds one document only", "take out the further --- lines, or write each part as a kind and a spec")
	default:
		version.report(fmt.Sprintf("%q is not a version this program reads", text),
			`use the component format (kind and spec) or the legacy format with version: "1.0", "2.0" or "3.0"`)
	}
}

// legacy reads a document of the legacy format.
func (r *reader) legacy(root node, version string) {
	r.version = version
	defer func() { r.version = "" }()
	document := root.object()
	document.lookup("version")
	document.require("module")
	module := document.child("module")
	document.done()
	if module == nil {
		return
	}
	module.require("meta", "spec")
	if meta := module.child("meta"); meta != nil {
		meta.require("type")
		if kind := meta.text("type", "remote"); !strings.EqualFold(kind, "remote") {
			meta.blame("type", fmt.Sprintf("%q is unknown: use remote", kind), "")
		}
		meta.done()
	}
	spec := module.child("spec")
	module.done()
	if spec == nil {
		return
	}
	for _, s := range sections(version) {
		for _, n := range spec.children(s.list) {
			r.legacyEntry(n.object(), &s)
		}
	}
	spec.done()
}

// legacyEntry reads one entry of a section: its meta says the kind and the name, its spec is read as that kind has it.
func (r *reader) legacyEntry(outer *object, s *section) {
	outer.require(s.entry)
	entry := outer.child(s.entry)
	outer.done()
	if entry == nil {
		return
	}
	entry.require("meta", "spec")
	meta := entry.child("meta")
	spec, hasSpec := entry.lookup("spec")
	entry.done()
	if meta == nil {
		return
	}
	meta.require(s.kindKey)
	name, hasName := meta.lookup(cmp.Or(s.nameKey, "id")) // an id that is of no use does no harm
	kind := meta.text(s.kindKey, "")
	meta.done()
	read, ok := s.kinds[kind]
	if s.fold {
		read, ok = s.kinds[strings.ToLower(kind)]
	}
	if !ok && kind != "" {
		message, hint := unknownKind(kind, s.listed)
		meta.blame(s.kindKey, message, hint)
	}
	if !ok || !hasSpec {
		return
	}
	r.spec(spec, func(r *reader, o *object) {
		if hasName && s.nameKey != "" {
			o.fields[s.nameKey] = field{node: name, key: s.nameKey, at: name.at}
		}
		read(r, o)
	})
}

// parseName reads a name of namespace/name. The 2.x formats split it at its last slash and want both parts.
func (r *reader) parseName(s string) (protocol.TypeName, error) {
	if r.version != version1 && r.version != version2 {
		return protocol.ParseTypeName(s)
	}
	slash := strings.LastIndexByte(s, '/')
	if slash <= 0 || slash == len(s)-1 {
		return protocol.TypeName{}, fmt.Errorf("%q is not of the form namespace/name", s)
	}
	return protocol.TypeName{Namespace: s[:slash], Name: s[slash+1:]}, nil
}
