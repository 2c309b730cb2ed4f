package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// result is what one system showed on one scenario.
type result struct {
	Scenario string `json:"scenario"`
	System   string `json:"system"`
	Title    string `json:"title"`
	Inputs   int    `json:"inputs"`
	// Inputs a second up to the last committed output. FromStart counts from the start of the process, PerSecond from
	// the end of its start-up as the start scenario measured it, FirstToLast from the first committed output: that
	// one flatters a system whose outputs all come late, so that ratios and goals go by PerSecond.
	PerSecond   float64 `json:"perSecond,omitempty"`
	FirstToLast float64 `json:"firstToLastPerSecond,omitempty"`
	FromStart   float64 `json:"fromStartPerSecond,omitempty"`
	// Processor time per input in microseconds: of the system with its start-up taken off, of the function's process, of the broker.
	CPUMicros      float64 `json:"cpuMicros,omitempty"`
	FunctionMicros float64 `json:"functionCPUMicros,omitempty"`
	BrokerMicros   float64 `json:"brokerCPUMicros,omitempty"`
	PerCall        float64 `json:"invocationsPerCall,omitempty"`
	PeakRSSMiB     float64 `json:"peakRSSMiB,omitempty"`
	FirstOutput    float64 `json:"firstOutputSeconds,omitempty"`
	// Others is the share of the machine's processors that went to programs outside the benchmark meanwhile.
	Others  float64 `json:"othersShare,omitempty"`
	Latency *spread `json:"latency,omitempty"`
	// Busy is the share of the processors that was in use by anybody: near 1 it decides how fast things go.
	Busy float64 `json:"busyShare,omitempty"`
	// Workers is how many shared the work, in the scenarios about that; the peak is then the highest of one.
	Workers     int       `json:"workers,omitempty"`
	Pauses      *pauses   `json:"pauses,omitempty"`
	Timeline    *timeline `json:"timeline,omitempty"`
	Ideal       float64   `json:"idealPerSecond,omitempty"` // what the sleep alone would allow
	Seconds     float64   `json:"seconds,omitempty"`
	PeakEachMiB []float64 `json:"peakEachMiB,omitempty"`
	Pressure    *pressure `json:"pressure,omitempty"`
	// Problems is what the checker found, or why there is no figure; empty when all is right.
	Problems []string `json:"problems,omitempty"`
	// Missing says why the system was not measured at all, for example a toolchain that is not here.
	Missing string `json:"missing,omitempty"`
}

func (r *result) ok() bool { return len(r.Problems) == 0 && r.Missing == "" }

// spread is a distribution of latencies in milliseconds.
type spread struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
	Count int     `json:"count"`
	// Curve holds the quantiles of curveAt, for the plot.
	Curve []float64 `json:"curve"`
}

// curveAt are the quantiles of a spread's curve: dense towards 1, where the waits are.
var curveAt = func() []float64 {
	var at []float64
	for tail := 1.0; tail > 0.9e-3; tail /= math.Pow(10, 0.05) {
		at = append(at, 1-tail)
	}
	return at
}()

// newSpread sorts the latencies and takes its figures from them; nil of none.
func newSpread(all []time.Duration) *spread {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		i := min(int(q*float64(len(all))), len(all)-1)
		return float64(all[i]) / float64(time.Millisecond)
	}
	s := &spread{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1), Count: len(all)}
	for _, q := range curveAt {
		s.Curve = append(s.Curve, at(q))
	}
	return s
}

// median returns the middle one of several results of the same kind, by their main figure, with the problems of all.
func median(all []result) result {
	slices.SortStableFunc(all, func(a, b result) int {
		return cmp.Compare(a.mainFigure(), b.mainFigure())
	})
	middle := all[(len(all)-1)/2]
	var problems []string
	for _, r := range all {
		problems = append(problems, r.Problems...)
	}
	middle.Problems = problems
	return middle
}

func (r *result) mainFigure() float64 {
	switch {
	case r.Pauses != nil:
		return r.Pauses.at(0.99, pause.all)
	case r.PerSecond > 0:
		return r.PerSecond
	case r.Latency != nil:
		return r.Latency.P99
	case r.Pressure != nil && r.Pressure.During != nil:
		return r.Pressure.During.P99
	default:
		return r.FirstOutput
	}
}
