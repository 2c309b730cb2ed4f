package task

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Registry knows the states that functions have asked for. It starts empty with each process, as StateFun's
// does: a function's first call carries no state and its answer names what is missing. The states of a 2.x function
// are declared by the module, once and for all. Only the worker's loop touches it.
type Registry struct {
	functions map[protocol.TypeName]*registered
}

// registered is the states of a function type. A function may have thousands, and an answer may write them all, so a
// name is found without a look at the others: the loop that does it is everybody's.
type registered struct {
	specs []protocol.StateSpec
	index map[string]int // into specs, by name
}

// statesOfAFunction is how many states a function may have. All are in each of its requests, so a function that makes up a
// name for each input would else grow them without an end.
const statesOfAFunction = 20_000

// NewRegistry gives an empty registry.
func NewRegistry() *Registry {
	return &Registry{functions: map[protocol.TypeName]*registered{}}
}

// Declare gives a function all states that it has.
func (r *Registry) Declare(fn protocol.TypeName, states []protocol.StateSpec) {
	of := &registered{specs: states, index: make(map[string]int, len(states))}
	for i := range states {
		of.index[states[i].Name] = i
	}
	r.functions[fn] = of
}

// States are the registered states of a function. The slice is never written again.
func (r *Registry) States(fn protocol.TypeName) []protocol.StateSpec {
	if of := r.functions[fn]; of != nil {
		return of.specs
	}
	return nil
}

func (r *Registry) find(fn protocol.TypeName, name string) *protocol.StateSpec {
	_, spec := r.numbered(fn, name)
	return spec
}

// numbered is a state of a function and its place among them; nil when there is none of that name.
func (r *Registry) numbered(fn protocol.TypeName, name string) (int, *protocol.StateSpec) {
	of := r.functions[fn]
	if of == nil {
		return 0, nil
	}
	i, known := of.index[name]
	if !known {
		return 0, nil
	}
	return i, &of.specs[i]
}

// Register adds the states that an answer called missing and returns how many were new. A known name keeps its
// expiration until the next start; another type under a known name is an error, and nothing is added then.
func (r *Registry) Register(fn protocol.TypeName, missing []protocol.StateSpec) (int, error) {
	var fresh []protocol.StateSpec
	named := make(map[string]int, len(missing)) // an answer may name a state twice
	for _, spec := range missing {
		old := r.find(fn, spec.Name)
		if i, is := named[spec.Name]; is {
			old = &fresh[i]
		}
		if old != nil && old.Type != spec.Type {
			return 0, fmt.Errorf("state %q of %s is registered with type %s, the function now asks for %s: give the state a new name",
				spec.Name, fn, old.Type, spec.Type)
		}
		if old == nil {
			named[spec.Name] = len(fresh)
			fresh = append(fresh, spec)
		}
	}
	if len(fresh) == 0 {
		return 0, nil
	}
	of := r.functions[fn]
	if of == nil {
		of = &registered{index: map[string]int{}}
		r.functions[fn] = of
	}
	if n := len(of.specs) + len(fresh); n > statesOfAFunction {
		return 0, fmt.Errorf("%s asks for %d states, a function may have %d: keep many values in one state, or under ids of their own", fn, n, statesOfAFunction)
	}
	for i := range fresh {
		of.index[fresh[i].Name] = len(of.specs) + i
	}
	of.specs = append(of.specs[:len(of.specs):len(of.specs)], fresh...) // a call may hold the old slice
	return len(fresh), nil
}
