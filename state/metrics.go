package state

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pressure is how a store keeps up with its writes.
type Pressure struct {
	UnflushedRows, UnflushedBytes int64 // what a crash now would make the next start replay
	Stalled                       bool  // writes wait for flushes or compactions
	Err                           error // why the store can not go on
}

// Pressure returns how the store keeps up with its writes.
func (s *Store) Pressure() Pressure {
	rows, bytes := s.debt.unflushed()
	return Pressure{UnflushedRows: rows, UnflushedBytes: bytes, Stalled: s.metrics.stallStart.Load() != 0, Err: s.Err()}
}

// metrics are the instruments of one store.
type metrics struct {
	registerer prometheus.Registerer // nil: not registered
	registered []prometheus.Collector

	flushes      prometheus.Counter
	stalls       prometheus.Counter
	stallSeconds prometheus.Counter
	stallStart   atomic.Int64 // in nanoseconds since 1970; 0: writes do not wait
}

func newMetrics() *metrics {
	return &metrics{
		flushes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "statefun_state_flushes_total", Help: "Flushes of state from memory to disk."}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "statefun_state_write_stalls_total", Help: "Times that state writes had to wait for the disk."}),
		stallSeconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "statefun_state_write_stall_seconds_total", Help: "Time that state writes waited for the disk."}),
	}
}

func (m *metrics) stallBegan() {
	m.stalls.Inc()
	m.stallStart.Store(time.Now().UnixNano())
}

func (m *metrics) stallEnded() {
	if start := m.stallStart.Swap(0); start != 0 {
		m.stallSeconds.Add(max(0, time.Since(time.Unix(0, start)).Seconds()))
	}
}

func (m *metrics) register(s *Store) error {
	if m.registerer == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.flushes, m.stalls, m.stallSeconds, storeCollector{s}} {
		if err := m.registerer.Register(c); err != nil {
			return fmt.Errorf("register the metrics of the state store: %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
}

// storeCollector asks the store for its figures when they are collected.
type storeCollector struct{ store *Store }

var (
	descRows = prometheus.NewDesc("statefun_state_unflushed_rows",
		"Rows that a crash now would make the next start replay from the changelog.", nil, nil)
	descBytes = prometheus.NewDesc("statefun_state_unflushed_bytes",
		"Bytes that a crash now would make the next start replay from the changelog.", nil, nil)
	descDisk = prometheus.NewDesc("statefun_state_disk_bytes",
		"Size of the state on disk.", nil, nil)
	descCache = prometheus.NewDesc("statefun_state_cache_bytes",
		"Size of the blocks in the cache.", nil, nil)
	descHits = prometheus.NewDesc("statefun_state_cache_hits_total",
		"Blocks of state found in the cache.", nil, nil)
	descMisses = prometheus.NewDesc("statefun_state_cache_misses_total",
		"Blocks of state read from disk.", nil, nil)
	descDebt = prometheus.NewDesc("statefun_state_compaction_debt_bytes",
		"Bytes that compactions still have to move.", nil, nil)
)

// Describe is for Prometheus.
func (storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRows, descBytes, descDisk, descCache, descHits, descMisses, descDebt} {
		ch <- d
	}
}

// Collect is for Prometheus. Of a store that failed it gives only what needs none of Pebble's locks.
func (c storeCollector) Collect(ch chan<- prometheus.Metric) {
	if c.store.enter() != nil {
		return
	}
	defer c.store.leave()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	rows, bytes := c.store.debt.unflushed()
	gauge(descRows, float64(rows))
	gauge(descBytes, float64(bytes))
	if c.store.Err() != nil {
		return
	}
	m := c.store.db.Metrics()
	gauge(descDisk, float64(m.DiskSpaceUsage()))
	gauge(descCache, float64(m.BlockCache.Size))
	counter(descHits, float64(m.BlockCache.Hits))
	counter(descMisses, float64(m.BlockCache.Misses))
	gauge(descDebt, float64(m.Compact.EstimatedDebt))
}
