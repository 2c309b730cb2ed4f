package embedded

import (
	"cmp"
	"maps"
	"slices"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// draft is what a program has declared so far, and what is wrong with it.
type draft struct {
	problems
	parts     module.Parts
	functions []statefun.Function
	sources   []*source
	routes    map[protocol.TypeName]ingress.Route
	sinks     map[protocol.TypeName]outbox.Target
}

func newDraft() *draft {
	return &draft{routes: map[protocol.TypeName]ingress.Route{}, sinks: map[protocol.TypeName]outbox.Target{}}
}

// module makes the module of the whole, of files too. All problems are told together.
func (d *draft) module(a *App) (*module.Module, error) {
	o := &a.options
	reads, writes := d.properties(o.Properties, a.at)
	for _, s := range d.sources {
		d.ingress(s, reads)
	}
	for i := range d.parts.Egresses {
		d.parts.Egresses[i].Properties = writes
	}
	d.parts.Application, d.parts.At, d.parts.Problems = o.application(a.at), a.at, d.problems
	brokers := o.Brokers
	if o.DevBroker {
		brokers = []string{cmp.Or(slices.Concat(o.Brokers, []string{freePort})...)}
	}
	return module.Assemble(o.Modules, d.parts, module.Options{
		Getenv: o.getenv(), ApplicationID: a.id, Brokers: brokers, OneCluster: o.DevBroker, Check: kafka.Check,
	})
}

// properties sorts client settings to those that are read by an ingress and those by an egress. What is for both
// is with both; what has no effect anywhere is with one, to be told once.
func (d *draft) properties(given map[string]string, at module.Position) (reads, writes []module.Property) {
	for _, key := range slices.Sorted(maps.Keys(given)) {
		p := module.Property{Key: key, Value: given[key], Position: at}
		list := []module.Property{p}
		reading := len(kafka.Warnings(&module.Module{Ingresses: []module.Ingress{{Properties: list}}})) == 0
		writing := len(kafka.Warnings(&module.Module{Egresses: []module.Egress{{Properties: list}}})) == 0
		if reading || !writing {
			reads = append(reads, p)
		}
		if writing {
			writes = append(writes, p)
		}
	}
	return reads, writes
}
