package outbox

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the instruments of all lanes of a worker.
type Metrics struct {
	delivered, failures, refused *prometheus.CounterVec
	// Rows, Bytes and Age are of what waits, by target; the worker sets them.
	Rows, Bytes, Age *prometheus.GaugeVec
}

// NewMetrics makes and registers the instruments.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"target"}, labels...))
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"target"})
		r.MustRegister(g)
		return g
	}
	return &Metrics{
		delivered: counter("statefun_outbox_delivered_rows_total", "Rows that their target has taken; a row that is delivered again counts again."),
		failures:  counter("statefun_outbox_failures_total", "Deliveries that failed and are tried again."),
		refused:   counter("statefun_outbox_refused_rows_total", "Rows that their target will never take and that went to the dead-letter topic.", "reason"),
		Rows:      gauge("statefun_outbox_waiting_rows", "Rows that are not delivered, or whose removal is not committed."),
		Bytes:     gauge("statefun_outbox_waiting_bytes", "Bytes of the rows that are not delivered, or whose removal is not committed."),
		Age:       gauge("statefun_outbox_oldest_row_age_seconds", "How long the oldest row waits that is not delivered; 0 when none does."),
	}
}
