package worker

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// metrics are the worker's instruments.
type metrics struct {
	records, invalid, aborts                      *prometheus.CounterVec
	crossings, mailboxSent, deadLetters           prometheus.Counter
	unknown, losses, restored, pathsLeft          prometheus.Counter
	phases                                        *prometheus.HistogramVec
	commits, effects                              prometheus.Histogram
	collectedBytes, answerBytes, pausedSources    prometheus.Gauge
	held, heldLimit, inFlight, collected          prometheus.Gauge
	partitions, pending, stored, window           *prometheus.GaugeVec
	parkedAddresses, unserved, standbyLag         *prometheus.GaugeVec
	entries                                       *prometheus.GaugeVec
	ingressWaits                                  *prometheus.GaugeVec
	invocations, inputs, failures, sent, egressed *prometheus.CounterVec
	duration                                      *prometheus.HistogramVec
	functionFlight, functionBacklog               *prometheus.GaugeVec
	endpointReady, endpointLimit                  *prometheus.GaugeVec

	functions map[protocol.TypeName]*functionMetrics // touched by the loop only
	others    *functionMetrics                       // of the functions beyond mostFunctions; nil while there are none
}

// invocationBuckets reach from a call on the same machine to the longest that endpoints are given.
var invocationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}

// functionMetrics are the instruments of one function, looked up once.
type functionMetrics struct {
	invocations, inputs, failures         prometheus.Counter
	sentLocal, sentThroughMailbox, egress prometheus.Counter
	duration                              prometheus.Observer
	flight, backlog                       prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := factory{r}
	return &metrics{
		records:         f.counters("statefun_worker_records_total", "Records read, by topic.", "topic"),
		invalid:         f.counters("statefun_worker_invalid_records_total", "Records that could not become a message.", "topic", "reason", "handling"),
		aborts:          f.counters("statefun_worker_transactions_aborted_total", "Transactions that were not committed.", "reason"),
		crossings:       f.counter("statefun_worker_crossings_total", "Messages of ingress records that belong to another partition than the record."),
		mailboxSent:     f.counter("statefun_worker_mailbox_records_total", "Messages written to the mailbox topic."),
		deadLetters:     f.counter("statefun_worker_dead_letters_total", "Records written to the dead-letter topic."),
		unknown:         f.counter("statefun_worker_transactions_unknown_total", "Transactions whose end was not acknowledged and whose outcome was looked up."),
		losses:          f.counter("statefun_worker_losses_total", "Times that all partitions were lost."),
		restored:        f.counter("statefun_worker_restored_rows_total", "Changelog rows replayed."),
		pathsLeft:       f.counter("statefun_worker_paths_left_total", "Switches to local delivery that a cut ended."),
		commits:         f.histogram("statefun_worker_commit_duration_seconds", "Time from cut to store.", prometheus.ExponentialBuckets(0.0005, 2, 16)),
		phases:          f.histograms("statefun_worker_commit_phase_duration_seconds", "Time of a commit by phase: produce, offsets, end, store.", prometheus.ExponentialBuckets(0.0002, 2, 16), "phase"),
		effects:         f.histogram("statefun_worker_transaction_effects", "Rows and records of one transaction.", prometheus.ExponentialBuckets(1, 2, 18)),
		held:            f.gauge("statefun_worker_read_budget_used_bytes", "Heap that waiting inputs hold."),
		heldLimit:       f.gauge("statefun_worker_read_budget_limit_bytes", "Heap at which reading of ingresses waits."),
		inFlight:        f.gauge("statefun_worker_in_flight_calls", "Calls in flight."),
		collected:       f.gauge("statefun_worker_collected_effects", "Effects that wait for the next transaction."),
		collectedBytes:  f.gauge("statefun_worker_collected_bytes", "Size of the effects that wait for the next transaction."),
		answerBytes:     f.gauge("statefun_worker_answer_bytes", "Size of the answers that are read, or were read and are not applied."),
		pausedSources:   f.gauge("statefun_worker_paused_sources", "Source partitions that are not fetched because their window, or what waits behind it, is at its limit."),
		partitions:      f.gauges("statefun_worker_partitions", "Partitions owned, by stage.", "stage"),
		pending:         f.gauges("statefun_worker_pending_inputs", "Inputs copied into the changelog, by partition.", "partition"),
		stored:          f.gauges("statefun_worker_pending_bytes", "Bytes of inputs copied into the changelog, by partition.", "partition"),
		window:          f.gauges("statefun_worker_window_records", "Records read above the position, the largest source of a partition.", "partition"),
		parkedAddresses: f.gauges("statefun_worker_parked_addresses", "Addresses whose last call failed: they wait to be tried again, or are being tried, by partition.", "partition"),
		entries:         f.gauges("statefun_worker_waiting_addresses", "Addresses with an entry in memory: their inputs wait, be it on disk, or are in a call, by partition.", "partition"),
		unserved:        f.gauges("statefun_worker_unserved_addresses", "Addresses of functions that the module does not serve, whose inputs are kept, by partition.", "partition"),
		standbyLag:      f.gauges("statefun_standby_lag_rows", "Changelog offsets that a followed partition lacks, by partition.", "partition"),
		ingressWaits:    f.gauges("statefun_worker_ingress_waits", "1 while an ingress of another cluster waits for that cluster.", "ingress"),
		invocations:     f.counters("statefun_function_invocations_total", "Calls that were answered.", "function"),
		inputs:          f.counters("statefun_function_inputs_total", "Inputs in answered calls.", "function"),
		failures:        f.counters("statefun_function_failures_total", "Calls that failed.", "function"),
		functionFlight:  f.gauges("statefun_function_in_flight_calls", "Calls in flight, by function.", "function"),
		functionBacklog: f.gauges("statefun_function_backlog_inputs", "Inputs that wait for a call, in memory and on disk, by function.", "function"),
		duration:        f.histograms("statefun_function_invocation_duration_seconds", "Time of an answered call from its start to its checked answer, repeated attempts included.", invocationBuckets, "function"),
		sent:            f.counters("statefun_function_messages_sent_total", "Messages that a function sent to functions, not those with a delay, by their way: local or mailbox.", "function", "path"),
		egressed:        f.counters("statefun_function_egress_records_total", "Records that a function sent to egresses.", "function"),
		endpointReady:   f.gauges("statefun_endpoint_ready_addresses", "Addresses that wait for a call, by endpoint.", "endpoint"),
		endpointLimit:   f.gauges("statefun_endpoint_in_flight_limit_calls", "Calls that an endpoint may have in flight.", "endpoint"),
		functions:       map[protocol.TypeName]*functionMetrics{},
	}
}

// factory makes and registers instruments.
type factory struct{ prometheus.Registerer }

func (f factory) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	f.MustRegister(c)
	return c
}

func (f factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	f.MustRegister(c)
	return c
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	f.MustRegister(g)
	return g
}

func (f factory) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	f.MustRegister(g)
	return g
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	f.MustRegister(h)
	return h
}

func (f factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	f.MustRegister(h)
	return h
}

func (m *metrics) function(fn protocol.TypeName) *functionMetrics {
	if f := m.functions[fn]; f != nil {
		return f
	}
	name := fn.String()
	if len(m.functions) < mostFunctions && len(name) <= longestFunction {
		f := m.named(name)
		m.functions[fn] = f
		return f
	}
	if m.others == nil {
		m.others = m.named("other")
	}
	return m.others
}

// An endpoint of a whole namespace serves whatever function a message names. mostFunctions of them are measured by their
// names, unless these are longer than longestFunction, the rest together.
const (
	mostFunctions   = 1024
	longestFunction = 512
)

func (m *metrics) named(name string) *functionMetrics {
	return &functionMetrics{
		invocations: m.invocations.WithLabelValues(name), inputs: m.inputs.WithLabelValues(name),
		failures: m.failures.WithLabelValues(name), egress: m.egressed.WithLabelValues(name),
		sentLocal: m.sent.WithLabelValues(name, "local"), sentThroughMailbox: m.sent.WithLabelValues(name, "mailbox"),
		duration: m.duration.WithLabelValues(name),
		flight:   m.functionFlight.WithLabelValues(name), backlog: m.functionBacklog.WithLabelValues(name),
	}
}

// forget removes the gauges of a partition that is somebody else's now.
func (m *metrics) forget(partition string) {
	for _, g := range []*prometheus.GaugeVec{m.pending, m.stored, m.window, m.parkedAddresses, m.unserved, m.entries} {
		g.DeleteLabelValues(partition)
	}
}

func (m *metrics) called(c *call) { m.function(c.Target.Type).flight.Inc() }

func (m *metrics) answered(a *answer) {
	f := m.function(a.Target.Type)
	f.flight.Dec()
	if a.err != nil {
		f.failures.Inc()
		return
	}
	f.invocations.Inc()
	if !a.asked { // else the same inputs are sent once more
		f.inputs.Add(float64(a.Inputs()))
	}
	f.duration.Observe(a.ended.Sub(a.Started).Seconds())
}

// backlogs sets the backlog of every function: what is not done and in no call.
func (m *metrics) backlogs(partitions map[int32]*partition, calls *flight) {
	waiting := map[protocol.TypeName]int{}
	for _, p := range partitions {
		if p.stage == running {
			m.entries.WithLabelValues(strconv.Itoa(int(p.id))).Set(float64(p.task.Addresses()))
			p.task.Backlog(func(fn protocol.TypeName, inputs int) { waiting[fn] += inputs })
		}
	}
	for c := calls.first; c != nil; c = c.next {
		if p := partitions[c.task.Partition]; p != nil && p.task == c.task && p.stage == running && c.task.Current(c.Call) {
			waiting[c.Target.Type] -= c.Inputs()
		}
	}
	sums := make(map[*functionMetrics]int, len(waiting))
	for fn, inputs := range waiting {
		sums[m.function(fn)] += inputs
	}
	for _, f := range m.functions {
		f.backlog.Set(float64(sums[f]))
	}
	if m.others != nil {
		m.others.backlog.Set(float64(sums[m.others]))
	}
}
