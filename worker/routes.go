package worker

import (
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// checkRoutes holds the module against the routes: an ingress without its route would drop all its records.
func (c *Config) checkRoutes() error {
	var problems []error
	routed := map[protocol.TypeName]bool{}
	for i := range c.Module.Ingresses {
		in := &c.Module.Ingresses[i]
		if !in.Routed {
			continue
		}
		routed[in.ID] = true
		if c.Routes[in.ID] == nil {
			problems = append(problems, fmt.Errorf("ingress %s is routed by the program: give its route", in.ID))
		}
	}
	for id := range c.Routes {
		if !routed[id] {
			problems = append(problems, fmt.Errorf("a route is given for %s, which is no ingress that is routed by the program", id))
		}
	}
	return errors.Join(problems...)
}

// decoder makes messages of the records of a topic.
func (w *Worker) decoder(in *module.Ingress, t *module.IngressTopic) *ingress.Decoder {
	served := func(fn protocol.TypeName) bool { _, is := w.router.Endpoint(fn); return is }
	d := ingress.NewDecoder(in, t, served, w.names.maxRecordBytes)
	if in.Routed {
		d.RouteBy(w.Routes[in.ID])
	}
	return d
}
