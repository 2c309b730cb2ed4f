package module

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

const defaultBatchRequests = 1000

// endpointV1 reads io.statefun.endpoints.v1/http, which is always called with okhttp.
func (r *reader) endpointV1(o *object) {
	t := okHTTP()
	t.okHTTPTimeouts(o)
	r.endpoint(o, t)
}

// endpointV2 reads io.statefun.endpoints.v2/http, whose transport is chosen.
func (r *reader) endpointV2(o *object) { r.endpoint(o, r.transport(o)) }

func (r *reader) endpoint(o *object, t Transport) {
	o.require("functions", "urlPathTemplate")
	e := Endpoint{Position: o.at, Transport: t}
	e.Functions = read(o, "functions", Pattern{}, ParsePattern)
	e.URLPathTemplate = o.text("urlPathTemplate", "")
	r.addEndpoint(o, e, "functions", "urlPathTemplate")
}

// addEndpoint reads what endpoints of all formats have besides their functions and their URL, which stand under the
// given keys.
func (r *reader) addEndpoint(o *object, e Endpoint, functionsKey, urlKey string) {
	e.MaxNumBatchRequests = int(o.number("maxNumBatchRequests", defaultBatchRequests, span{math.MinInt32, math.MaxInt32}))
	e.MaxAttempts = int(o.number("maxAttempts", 0, span{0, math.MaxInt32}))
	e.OnFailure = o.oneOf("onFailure", FailureRetry, FailureRetry, FailureDeadLetter, FailureSkip)
	if e.URLPathTemplate != "" {
		r.checkURL(o, &e, urlKey)
	}
	if e.Functions == (Pattern{}) {
		return // its problem is noted; without a pattern it would only cause others
	}
	e.Position = o.where(functionsKey)
	r.declareEndpoint(e)
}

// declareEndpoint takes in an endpoint, of a file or of the program.
func (r *reader) declareEndpoint(e Endpoint) {
	for _, other := range r.module.Endpoints {
		if other.Functions == e.Functions {
			r.report(e.Position, fmt.Sprintf("functions %s are served twice, first at %s", e.Functions, other.where()), "keep one of the endpoints")
			return
		}
	}
	r.module.Endpoints = append(r.module.Endpoints, e)
}

// checkURL looks at the template, and blames the key that has it.
func (r *reader) checkURL(o *object, e *Endpoint, key string) {
	if hint, err := e.checkURL(); err != nil {
		o.blame(key, err.Error(), hint)
	}
}

// checkURL tries the template with a name, so that a bad one is found now and not at the first call. The hint may be empty.
func (e *Endpoint) checkURL() (hint string, err error) {
	name := e.Functions.Name
	if e.Functions.Whole() || name == "" {
		name = "name"
	}
	u, err := parseURL(strings.ReplaceAll(e.URLPathTemplate, functionName, name))
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(u.Scheme, "+unix") && e.Transport.Kind == TransportAsync {
		return "set transport.type to " + transportNames[TransportOkHTTP], errors.New("the async transport does not speak to Unix sockets")
	}
	return "", nil
}
