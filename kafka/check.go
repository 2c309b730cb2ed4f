package kafka

import (
	"fmt"
	"slices"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// Check returns what is wrong with the properties of a module, without opening a file or a connection.
func Check(m *module.Module) []module.Problem {
	a := assemble(m)
	problems := a.problems
	for _, list := range a.lists() {
		problems = append(problems, check(list).problems...)
	}
	module.SortProblems(problems)
	return slices.Compact(problems) // a security property is in both lists
}

// Warnings returns which properties of a module have no effect, and why.
func Warnings(m *module.Module) []module.Problem {
	a := assemble(m)
	warnings := a.warnings
	for _, list := range a.lists() {
		warnings = append(warnings, check(list).warnings...)
	}
	module.SortProblems(warnings)
	return slices.Compact(warnings)
}

func check(list []module.Property) *draft {
	d := newDraft(list)
	d.properties(list)
	d.security()
	return d
}

// ForModule returns the settings of the clients that read the ingresses of the application's cluster and of those that
// write its egresses. Security properties hold for all of them, wherever in the module they stand; those of an ingress or
// egress of another cluster hold for it alone.
func ForModule(m *module.Module, brokers []string) (reads, writes Settings, err error) {
	if problems := Check(m); len(problems) > 0 {
		return reads, writes, module.Errors(problems)
	}
	a := assemble(m)
	if reads, err = NewSettings(brokers, a.reads); err != nil {
		return reads, writes, err
	}
	if writes, err = NewSettings(brokers, a.writes); err != nil {
		return reads, writes, err
	}
	reads.warnings = Warnings(m) // of both, so that one list tells all
	writes.warnings = nil
	return reads, writes, nil
}

// ForIngress returns the settings of the client that reads an ingress of another cluster.
func ForIngress(in *module.Ingress) (Settings, error) {
	own, _ := alone(in.Properties, reading)
	return NewSettings(in.Elsewhere, own)
}

// ForEgress returns the settings of the client that writes an egress of another cluster.
func ForEgress(e *module.Egress) (Settings, error) {
	own, _ := alone(e.Properties, writing)
	return NewSettings(e.Elsewhere, own)
}

// WithoutSecurity returns a copy of the module that names no security, for a broker inside the same process.
func WithoutSecurity(m *module.Module) *module.Module {
	plain := *m
	isSecurity := func(p module.Property) bool { return rules[p.Key].side == security }
	plain.Ingresses = slices.Clone(m.Ingresses)
	for i := range plain.Ingresses {
		in := &plain.Ingresses[i]
		in.Properties = slices.DeleteFunc(slices.Clone(in.Properties), isSecurity)
	}
	plain.Egresses = slices.Clone(m.Egresses)
	for i := range plain.Egresses {
		e := &plain.Egresses[i]
		e.Properties = slices.DeleteFunc(slices.Clone(e.Properties), isSecurity)
	}
	return &plain
}

// An assembly is the properties of a whole module, sorted to the clients they are for.
type assembly struct {
	reads, writes      []module.Property
	elsewhere          [][]module.Property // of each ingress and egress of another cluster
	problems, warnings []module.Problem
}

// lists are the properties of each kind of client.
func (a *assembly) lists() [][]module.Property {
	return append([][]module.Property{a.reads, a.writes}, a.elsewhere...)
}

func assemble(m *module.Module) *assembly {
	a := &assembly{}
	for _, in := range m.Ingresses {
		if in.Elsewhere != nil {
			a.apart(in.Properties, reading)
			continue
		}
		for _, p := range in.Properties {
			a.add(p, reading, &a.reads)
		}
	}
	for _, e := range m.Egresses {
		if e.Elsewhere != nil {
			a.apart(e.Properties, writing)
			continue
		}
		for _, p := range e.Properties {
			a.add(p, writing, &a.writes)
		}
	}
	return a
}

// alone sorts the properties of an ingress or egress that has a client of its own from those of another kind of client.
func alone(list []module.Property, from side) (own, strange []module.Property) {
	for _, p := range list {
		if r, known := ruleOf(p.Key); known && r.side != security && r.side != 0 && r.side&from == 0 {
			strange = append(strange, p)
			continue
		}
		own = append(own, p)
	}
	return own, strange
}

func (a *assembly) apart(list []module.Property, from side) {
	own, strange := alone(list, from)
	a.elsewhere = append(a.elsewhere, own)
	for _, p := range strange {
		r, _ := ruleOf(p.Key)
		a.noEffect(p, r.side)
	}
}

func (a *assembly) noEffect(p module.Property, of side) {
	client := map[side]string{reading: "a consumer", writing: "a producer"}[of]
	a.warnings = append(a.warnings, module.Problem{Position: p.Position,
		Message: fmt.Sprintf("property %s has no effect here: it is one of %s", p.Key, client)})
}

// add sorts in one property. A tuning that another ingress or egress has set before stays as it is, because one
// client serves them all; security that differs is refused, because one of the two would be wrong.
func (a *assembly) add(p module.Property, from side, own *[]module.Property) {
	r, known := ruleOf(p.Key)
	switch {
	case r.side == security:
		if before, ok := find(a.reads, p.Key); ok && before.Value != p.Value {
			a.problems = append(a.problems, module.Problem{Position: p.Position,
				Message: fmt.Sprintf("property %s differs from the one at %s:%d: all clients connect to one cluster in one way", p.Key, before.File, before.Line),
				Hint:    "give the same value everywhere, or give it once"})
			return
		}
		a.reads = keep(a.reads, p)
		a.writes = keep(a.writes, p)
	case known && r.side != 0 && r.side&from == 0:
		a.noEffect(p, r.side)
	default:
		before, ok := find(*own, p.Key)
		if ok && before.Value != p.Value && r.ignored == "" && p.Key != "group.id" && p.Key != "bootstrap.servers" {
			a.warnings = append(a.warnings, module.Problem{Position: p.Position,
				Message: fmt.Sprintf("property %s has no effect: one client serves all, and %s:%d gave it first", p.Key, before.File, before.Line)})
		}
		*own = keep(*own, p)
	}
}

func find(list []module.Property, key string) (module.Property, bool) {
	i := slices.IndexFunc(list, func(p module.Property) bool { return p.Key == key })
	if i < 0 {
		return module.Property{}, false
	}
	return list[i], true
}

// keep adds a property unless one of its name is there.
func keep(list []module.Property, p module.Property) []module.Property {
	if _, ok := find(list, p.Key); ok {
		return list
	}
	return append(list, p)
}
