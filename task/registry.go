package task

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Registry knows the states that functions have asked for. It starts empty with each process, as StateFun's
// does: a function's first call carries no state and its answer names what is missing. The states of a 2.x function
// are declared by the module, once and for all. Only the worker's loop touches it.
type Registry struct {
	functions map[protocol.TypeName][]protocol.StateSpec
}

// NewRegistry gives an empty registry.
func NewRegistry() *Registry {
	return &Registry{functions: map[protocol.TypeName][]protocol.StateSpec{}}
}

// Declare gives a function all states that it has.
func (r *Registry) Declare(fn protocol.TypeName, states []protocol.StateSpec) {
	r.functions[fn] = states
}

// States are the registered states of a function. The slice is never written again.
func (r *Registry) States(fn protocol.TypeName) []protocol.StateSpec { return r.functions[fn] }

func (r *Registry) find(fn protocol.TypeName, name string) *protocol.StateSpec {
	return specNamed(r.functions[fn], name)
}

func specNamed(specs []protocol.StateSpec, name string) *protocol.StateSpec {
	for i := range specs {
		if specs[i].Name == name {
			return &specs[i]
		}
	}
	return nil
}

// Register adds the states that an answer called missing and returns how many were new. A known name keeps its
// expiration until the next start; another type under a known name is an error.
func (r *Registry) Register(fn protocol.TypeName, missing []protocol.StateSpec) (int, error) {
	specs := append([]protocol.StateSpec(nil), r.functions[fn]...)
	known := len(specs)
	for _, spec := range missing {
		old := specNamed(specs, spec.Name) // an answer may name a state twice
		if old != nil && old.Type != spec.Type {
			return 0, fmt.Errorf("state %q of %s is registered with type %s, the function now asks for %s: give the state a new name",
				spec.Name, fn, old.Type, spec.Type)
		}
		if old == nil {
			specs = append(specs, spec)
		}
	}
	r.functions[fn] = specs
	return len(specs) - known, nil
}
