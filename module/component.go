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

// insteadOfKinesis is the way out for users of Kinesis.
const insteadOfKinesis = "let Kafka Connect copy the Kinesis streams to Kafka topics and back, and use the Kafka kinds"

// unknownKind says what is wrong with a kind, and the way out.
func unknownKind(name string, known []string) (message, hint string) {
	list := "; known kinds are " + choice(known)
	switch {
	case strings.HasPrefix(name, "io.statefun.kinesis"), strings.HasPrefix(name, "statefun.kinesis.io"):
		return fmt.Sprintf("%q is not supported: records come from Kafka and go to Kafka only", name) + list, insteadOfKinesis
	case strings.HasPrefix(name, "io.statefun.playground"):
		return fmt.Sprintf("%q is not supported: it belongs to StateFun's playground image", name) + list, ""
	}
	return fmt.Sprintf("%q is not a kind", name) + list, didYouMean(name, known)
}
