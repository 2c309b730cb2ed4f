package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The kinds of component documents.
const (
	kindApplication = "statefun-kafka.v1/application"
	kindEndpointV1  = "io.statefun.endpoints.v1/http"
	kindEndpointV2  = "io.statefun.endpoints.v2/http"
	kindIngress     = "io.statefun.kafka.v1/ingress"
	kindEgress      = "io.statefun.kafka.v1/egress"
)

// kinds says who reads the spec of each kind.
var kinds = map[string]func(*reader, *object){
	kindApplication: (*reader).application,
	kindEndpointV1:  (*reader).endpointV1,
	kindEndpointV2:  (*reader).endpointV2,
	kindIngress:     (*reader).ingress,
	kindEgress:      (*reader).egress,
}

// component reads one {kind, spec} document.
func (r *reader) component(root node) {
	document := root.object()
	if !isMap(root.yaml) {
		return // its problem is noted
	}
	if _, ok := document.fields["version"]; ok {
		r.wrongVersion(document)
		return
	}
	document.require("kind", "spec")
	kind, hasKind := document.lookup("kind")
	spec, hasSpec := document.lookup("spec")
	document.done()
	if !hasKind {
		return
	}
	name, ok := kind.text()
	if !ok {
		return
	}
	read, ok := kinds[name]
	if !ok {
		kind.report(unknownKind(name, knownKinds()))
		return
	}
	if hasSpec {
		r.spec(spec, read)
	}
}

// spec hands a spec to its reader; a spec that is not a map has one problem, not one for each of its keys.
func (r *reader) spec(spec node, read func(*reader, *object)) {
	if !isMap(spec.yaml) {
		spec.report("must be a map of keys and values, found "+spec.kind(), "")
		return
	}
	o := spec.object()
	read(r, o)
	o.done()
}

func knownKinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// unknownKind says what is wrong with a kind, and the way out.
func unknownKind(name string, known []string) (message, hint string) {
	list := "; known kinds are " + choice(known)
	switch {
	case strings.HasPrefix(name, "io.statefun.kinesis"):
		return fmt.Sprintf("%q is not supported: records come from Kafka and go to Kafka only", name) + list, ""
	case strings.HasPrefix(name, "io.statefun.playground"):
		return fmt.Sprintf("%q is not supported: it belongs to StateFun's playground image", name) + list, ""
	}
	return fmt.Sprintf("%q is not a kind", name) + list, didYouMean(name, known)
}

// legacyVersion is the one version of the legacy format that StateFun 3 reads.
const legacyVersion = "3.0"

// isLegacy reports whether the document is in the legacy format: one map with a textual version of 3.0.
func (n node) isLegacy() bool {
	if !isMap(n.yaml) {
		return false
	}
	quiet := node{r: &reader{opt: n.r.opt, module: &Module{}}, source: n.source, at: n.at, yaml: n.yaml}
	version, ok := quiet.object().lookup("version")
	if !ok || !version.isText() {
		return false
	}
	text, _ := version.text()
	return text == legacyVersion
}

// wrongVersion explains a document with a version that is not in the legacy format.
func (r *reader) wrongVersion(document *object) {
	version, ok := document.lookup("version")
	if !ok {
		version = document.fields["version"].node
	}
	switch text, _ := version.text(); {
	case !version.isText() && (text == "3" || text == legacyVersion):
		version.report("is a number", `write version: "3.0"`)
	case text == legacyVersion:
		version.report("a file of the legacy format holds one document only", "take out the further --- lines, or write each part as a kind and a spec")
	default:
		version.report(fmt.Sprintf("%q is not a version this program reads", text),
			`use the component format (kind and spec) or the legacy format with version: "3.0"`)
	}
}

// legacyKinds turns the kinds of the legacy format into those of the component format.
var legacyKinds = map[string]string{
	"http":                      kindEndpointV1,
	"io.statefun.kafka/ingress": kindIngress,
	"io.statefun.kafka/egress":  kindEgress,
}

// legacy reads a document of version "3.0".
func (r *reader) legacy(root node) {
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
	for _, section := range []struct{ list, entry, kindKey string }{
		{"endpoints", "endpoint", "kind"},
		{"ingresses", "ingress", "type"},
		{"egresses", "egress", "type"},
	} {
		for _, n := range spec.children(section.list) {
			r.legacyEntry(n.object(), section.entry, section.kindKey)
		}
	}
	spec.done()
}

// legacyEntry reads one endpoint, ingress or egress: its meta says the kind and the id, its spec is today's.
func (r *reader) legacyEntry(outer *object, name, kindKey string) {
	outer.require(name)
	entry := outer.child(name)
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
	meta.require(kindKey)
	id, hasID := meta.lookup("id")
	name = meta.text(kindKey, "")
	meta.done()
	kind, ok := legacyKinds[name]
	if !ok {
		kind = name
	}
	read, ok := kinds[kind]
	if !ok && name != "" {
		message, hint := unknownKind(name, slices.Sorted(maps.Keys(legacyKinds)))
		meta.blame(kindKey, message, hint)
	}
	if !ok || !hasSpec {
		return
	}
	r.spec(spec, func(r *reader, o *object) {
		if hasID && kind != kindEndpointV1 {
			o.fields["id"] = field{node: id, key: "id", at: id.at}
		}
		read(r, o)
	})
}
