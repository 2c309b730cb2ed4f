package embedded

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// registry is where one application registers its metrics. It takes them out again at the end, so that another
// application can have the same ones, and keeps an error that Prometheus would panic with.
type registry struct {
	prometheus.Registerer
	gatherer   prometheus.Gatherer // nil: nobody can ask
	registered []prometheus.Collector
	failures   []error
}

// newRegistry registers with the program's registerer, or with a registry of the application's own.
func newRegistry(id string, given prometheus.Registerer) *registry {
	if given == nil {
		own := prometheus.NewRegistry()
		return &registry{Registerer: own, gatherer: own}
	}
	gatherer, _ := given.(prometheus.Gatherer)
	return &registry{Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"application": id}, given), gatherer: gatherer}
}

// Register is prometheus.Registerer's.
func (r *registry) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.registered = append(r.registered, c)
	}
	return err
}

// MustRegister is prometheus.Registerer's, without its panic.
func (r *registry) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			r.failures = append(r.failures, err)
		}
	}
}

func (r *registry) err(id string) error {
	if err := errors.Join(r.failures...); err != nil {
		return fmt.Errorf("register the metrics of application %s: another one with the same id may have the same Registerer: %w", id, err)
	}
	return nil
}

func (r *registry) close() {
	for _, c := range r.registered {
		r.Unregister(c)
	}
}
