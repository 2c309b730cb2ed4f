package module

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// httpFunction reads a function of kind http of the 2.x formats: one function behind one URL, with its states.
func (r *reader) httpFunction(o *object) {
	o.require("type", "endpoint")
	e := Endpoint{Position: o.at, Transport: okHTTP(), Generation: protocol.Generation2}
	e.Functions = Pattern(read(o, "type", protocol.TypeName{}, r.parseFunction))
	e.URLPathTemplate = read(o, "endpoint", "", parseFunctionURL)
	e.Transport.bound(o, callKeys{call: "timeout", connect: "connectTimeout", read: "readTimeout", write: "writeTimeout"})
	e.States = r.states(o)
	r.addEndpoint(o, e, "type", "endpoint")
}

// parseFunction reads the name of one function; a pattern is something that only 3.x has.
func (r *reader) parseFunction(s string) (protocol.TypeName, error) {
	fn, err := r.parseName(s)
	if err == nil && strings.Contains(s, "*") {
		err = fmt.Errorf("%q is a pattern: a 2.x module names each function, patterns are for kind %s", s, kindEndpointV2)
	}
	return fn, err
}

// parseFunctionURL refuses the placeholder of 3.x, which 2.x takes for a part of the path.
func parseFunctionURL(s string) (string, error) {
	if strings.Contains(s, functionName) {
		return "", fmt.Errorf("%s has no meaning in a 2.x module: write the URL of this one function", functionName)
	}
	_, err := parseURL(s)
	return s, err
}

// grpcFunction refuses a kind that StateFun loads although the first call of the function stops the application.
func (r *reader) grpcFunction(o *object) {
	for _, key := range o.order {
		o.lookup(key)
	}
	o.report("kind grpc is not supported: StateFun 2.x has no client for it either", "serve the function over HTTP, with kind: http and spec.endpoint")
}

// states reads the states of a function: their names in version 1.0, in 2.0 also when they expire.
func (r *reader) states(o *object) []protocol.StateSpec {
	var specs []protocol.StateSpec
	for _, n := range o.children("states") {
		spec, ok := r.state(n)
		if !ok {
			continue
		}
		if slices.ContainsFunc(specs, func(s protocol.StateSpec) bool { return s.Name == spec.Name }) {
			n.report(fmt.Sprintf("state %q is declared twice", spec.Name), "keep one of them")
			continue
		}
		specs = append(specs, spec)
	}
	return specs
}

func (r *reader) state(n node) (spec protocol.StateSpec, ok bool) {
	if r.version == version1 {
		if isMap(n.yaml) {
			n.report("must be text, found a map", `write the name alone, or version: "2.0", whose states have this form`)
			return spec, false
		}
		spec.Name, ok = n.text()
		return spec, ok
	}
	if !isMap(n.yaml) {
		n.report("must be a map of keys and values, found "+n.kind(), "write - name: and the name")
		return spec, false
	}
	o := n.object()
	o.require("name")
	spec.Name = o.text("name", "")
	mode := o.oneOf("expireMode", "after-invoke", "after-invoke", "after-write")
	if _, expires := o.lookup("expireAfter"); expires {
		spec.ExpireAfter = o.positive("expireAfter", 0)
		spec.Mode = map[string]protocol.ExpireMode{"after-invoke": protocol.ExpireAfterInvoke, "after-write": protocol.ExpireAfterWrite}[mode]
	} else {
		o.noEffect("expireMode", "a state without expireAfter never expires")
	}
	o.done()
	return spec, spec.Name != ""
}
