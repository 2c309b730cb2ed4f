package invoker

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the measurements of all callers of a worker.
type Metrics struct {
	latency  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	opened   *prometheus.CounterVec
	idle     *prometheus.GaugeVec
	dials    *prometheus.CounterVec
	circuits *prometheus.GaugeVec
	openings *prometheus.CounterVec
}

// poolMetrics are those of one endpoint, looked up once.
type poolMetrics struct {
	opened prometheus.Counter
	idle   prometheus.Gauge
}

// NewMetrics returns the measurements, registered with reg. With nil they are kept and nobody sees them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "statefun_invoker_attempt_duration_seconds",
			Help:    "Time of one attempt of a call to a function, failed ones included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"function"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statefun_invoker_failures_total",
			Help: "Failed attempts of calls to functions, by the kind of failure.",
		}, []string{"function", "kind"}),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statefun_invoker_connections_opened_total",
			Help: "Connections opened to the servers of an endpoint.",
		}, []string{"endpoint"}),
		idle: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "statefun_invoker_connections_idle",
			Help: "Open connections of an endpoint that no call uses.",
		}, []string{"endpoint"}),
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statefun_invoker_connection_attempts_total",
			Help: "Attempts to connect to the servers of an endpoint, failed ones included.",
		}, []string{"endpoint"}),
		circuits: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "statefun_invoker_circuit_state",
			Help: "1 for the state that the circuit of an endpoint is in: closed, open (it is down for everybody) or ramping (it is coming back).",
		}, []string{"endpoint", "state"}),
		openings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statefun_invoker_circuit_openings_total",
			Help: "Times that the circuit of an endpoint opened.",
		}, []string{"endpoint"}),
	}
	if reg != nil {
		reg.MustRegister(m.latency, m.failures, m.opened, m.idle, m.dials, m.circuits, m.openings)
	}
	return m
}

func (m *Metrics) pool(endpoint string) poolMetrics {
	return poolMetrics{opened: m.opened.WithLabelValues(endpoint), idle: m.idle.WithLabelValues(endpoint)}
}

// circuit shows the state of an endpoint's circuit.
func (m *Metrics) circuit(endpoint string, is CircuitState) {
	for _, s := range []CircuitState{CircuitClosed, CircuitOpen, CircuitRamping} {
		value := 0.0
		if s == is {
			value = 1
		}
		m.circuits.WithLabelValues(endpoint, s.String()).Set(value)
	}
	opened := 0.0
	if is == CircuitOpen {
		opened = 1
	}
	m.openings.WithLabelValues(endpoint).Add(opened)
}
