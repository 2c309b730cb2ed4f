// Package router says where a message goes: which endpoint serves its function, which partition owns its
// address, and how it travels through the mailbox topic when that partition is another worker's.
package router

import (
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Partition returns the one of n partitions that owns all addresses with this id. It is where Kafka's default
// partitioner puts records with the id as key, so an ingress topic keyed by id needs no crossing.
// Function types are left out on purpose: messages between the functions of one id stay local.
func Partition(id string, n int32) int32 { return int32(protocol.KeyHash(id) % uint32(n)) }

// A Router finds the endpoint of a function type. It never changes, so it is safe for concurrent use.
type Router struct {
	exact      map[protocol.TypeName]*module.Endpoint
	namespaces map[string]*module.Endpoint
}

// New returns the router of the module's endpoints. Endpoints are not copied: m must not change any more.
func New(m *module.Module) *Router {
	r := &Router{
		exact:      make(map[protocol.TypeName]*module.Endpoint),
		namespaces: make(map[string]*module.Endpoint),
	}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		if e.Functions.Whole() {
			r.namespaces[e.Functions.Namespace] = e
		} else {
			r.exact[protocol.TypeName(e.Functions)] = e
		}
	}
	return r
}

// Endpoint returns the endpoint that serves fn: the one that names it, else the one of its whole namespace.
func (r *Router) Endpoint(fn protocol.TypeName) (*module.Endpoint, bool) {
	if e, ok := r.exact[fn]; ok {
		return e, true
	}
	e, ok := r.namespaces[fn.Namespace]
	return e, ok
}

// Known reports whether any endpoint serves fn.
func (r *Router) Known(fn protocol.TypeName) bool {
	_, ok := r.Endpoint(fn)
	return ok
}
