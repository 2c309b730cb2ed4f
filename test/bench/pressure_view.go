package main

import "fmt"

// pressure is what a scenario about trouble showed; each has its own part of it.
type pressure struct {
	Before *spread `json:"before,omitempty"`
	During *spread `json:"during,omitempty"`
	After  *spread `json:"after,omitempty"`
	// Samples are taken each second.
	Samples []moment `json:"samples,omitempty"`
	// Recovered is the time from the function's return to the first output that was due after it, Drained to the last
	// output of what had waited.
	Recovered float64 `json:"recoveredSeconds,omitempty"`
	Drained   float64 `json:"drainedSeconds,omitempty"`
	// Attempts to connect, and requests, during the outage; Connections the server saw in all.
	Attempts    float64 `json:"connectionAttempts,omitempty"`
	Connections int64   `json:"connections,omitempty"`
	Calls       int64   `json:"calls,omitempty"`
	DeadLetters int     `json:"deadLetters"`
	Poisoned    int64   `json:"poisonedCalls,omitempty"`
}

// moment is what the worker said of itself at one time.
type moment struct {
	Second   float64 `json:"second"`
	RSSMiB   float64 `json:"rssMiB"`
	InFlight float64 `json:"inFlight"`
	Held     float64 `json:"heldMiB"`
	Pending  float64 `json:"pendingInputs"`
	Parked   float64 `json:"parkedAddresses"`
	Outputs  int     `json:"outputs"`
}

// most is the largest of a figure over all samples.
func (p *pressure) most(figure func(moment) float64) (most float64) {
	for _, s := range p.Samples {
		most = max(most, figure(s))
	}
	return most
}

var slowView = view{"records/s\tdrain s\tcalls\tin flight most\tconnections\tMiB at a tenth/half/end/most\tbudget MiB most\tpending most", func(_ table, r *result) string {
	p := r.Pressure
	if p == nil || len(p.Samples) == 0 {
		return ""
	}
	at := func(share float64) float64 { return p.Samples[int(share*float64(len(p.Samples)-1))].RSSMiB }
	return fmt.Sprintf("%.0f\t%.0f\t%d\t%.0f\t%d\t%.0f/%.0f/%.0f/%.0f\t%.1f\t%.0f", r.PerSecond, r.Seconds, p.Calls,
		p.most(func(s moment) float64 { return s.InFlight }), p.Connections, at(0.1), at(0.5), at(1), r.PeakRSSMiB,
		p.most(func(s moment) float64 { return s.Held }), p.most(func(s moment) float64 { return s.Pending }))
}}

var outageView = view{"attempts to connect\tfirst output s\tdrained s\tp99 ms before/after\tpending most\tparked most\tMiB", func(_ table, r *result) string {
	p := r.Pressure
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%.0f\t%.2f\t%.1f\t%s/%s\t%.0f\t%.0f\t%.0f", p.Attempts, p.Recovered, p.Drained, p.Before.p99(), p.After.p99(),
		p.most(func(s moment) float64 { return s.Pending }), p.most(func(s moment) float64 { return s.Parked }), r.PeakRSSMiB)
}}

var phasesView = view{"p50 ms before/during/after\tp99 ms before/during/after\tin flight most\tMiB", func(_ table, r *result) string {
	p := r.Pressure
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s/%s/%s\t%s/%s/%s\t%.0f\t%.0f", p.Before.p50(), p.During.p50(), p.After.p50(), p.Before.p99(), p.During.p99(), p.After.p99(),
		p.most(func(s moment) float64 { return s.InFlight }), r.PeakRSSMiB)
}}

var poisonView = view{"p99 ms before/during/after\tmax ms during\tcalls of the poisoned\tdead letters\tparked most\tpending most", func(_ table, r *result) string {
	p := r.Pressure
	if p == nil || p.During == nil {
		return ""
	}
	return fmt.Sprintf("%s/%s/%s\t%.0f\t%d\t%d\t%.0f\t%.0f", p.Before.p99(), p.During.p99(), p.After.p99(), p.During.Max, p.Poisoned, p.DeadLetters,
		p.most(func(s moment) float64 { return s.Parked }), p.most(func(s moment) float64 { return s.Pending }))
}}

func (s *spread) p50() string {
	if s == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", s.P50)
}

func (s *spread) p99() string {
	if s == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", s.P99)
}
