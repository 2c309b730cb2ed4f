package module

import (
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Parts are what a program declares itself, beside module files or in place of them. Their positions are those of the
// calls that made them, so that a problem names a line of the program.
type Parts struct {
	// Application, when not nil, is what an application document would say. A limit that is 0 has its default.
	Application *Application
	Endpoints   []Endpoint
	Ingresses   []Ingress
	Egresses    []Egress
	Sinks       []Sink
	// At is the line that the application as a whole is made on.
	At Position
	// Problems are what the program has found wrong itself. LostEndpoints and LostIngresses say that something is not among
	// the parts for one of them, so that nobody is told that it is missing.
	Problems                     []Problem
	LostEndpoints, LostIngresses bool
}

// A Sink is an egress that ends in the program's own code.
type Sink struct {
	ID protocol.TypeName
	Position
}

// Assemble is Load for a program: the files, of which there may be none, and the parts are checked as one module. The
// error is of type Errors and holds all problems of both.
func Assemble(files []string, parts Parts, opt Options) (*Module, error) {
	r := newReader(opt)
	r.readAll(files)
	r.take(parts)
	return r.finish()
}

// DefaultLimits are the limits of a worker when nobody gives any.
func DefaultLimits() Limits { return defaultLimits }

// DefaultTransport is a transport of one of the kinds as it is when a module file gives nothing but its type. In process a
// call has the budget of the async transport.
func DefaultTransport(kind string) Transport {
	switch kind {
	case TransportOkHTTP:
		return okHTTP()
	case TransportAsync:
		return async()
	}
	return Transport{Kind: kind, Call: async().Call}
}

// DefaultEndpoint is what an endpoint is without a key besides its functions and its URL.
func DefaultEndpoint() Endpoint {
	return Endpoint{MaxNumBatchRequests: defaultBatchRequests, OnFailure: FailureRetry, Transport: async()}
}

// DefaultIngressTopic is what a topic of an ingress is without a key besides its name, type and targets.
func DefaultIngressTopic() IngressTopic { return IngressTopic{Invalid: defaultInvalid} }
