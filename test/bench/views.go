package main

import (
	"fmt"
	"strings"
)

// view is how the results of a scenario are shown: the columns in front of the system, and the cells of one result. A
// result without figures has no cells.
type view struct {
	head  string
	cells func(t table, r *result) string
}

// line is the cells of a result, dashes where it has none.
func (v view) line(t table, r *result) string {
	if cells := v.cells(t, r); cells != "" {
		return cells
	}
	return strings.Repeat("–\t", strings.Count(v.head, "\t")) + "–"
}

var startView = view{"first output s\tMiB", func(_ table, r *result) string {
	if r.FirstOutput == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f\t%.0f", r.FirstOutput, r.PeakRSSMiB)
}}

var drainView = view{
	"records/s\tof bare\tfirst to last\tfrom start\tCPU µs\tof bare\tfunction µs\tbroker µs\tinputs/call\tMiB\tfirst output s\tothers %",
	func(t table, r *result) string {
		if r.PerSecond == 0 {
			return ""
		}
		return fmt.Sprintf("%.0f\t%s\t%.0f\t%.0f\t%.1f\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%.0f", r.PerSecond,
			times(t.ratio(r.Scenario, r.System, perSecond)), r.FirstToLast, r.FromStart, r.CPUMicros,
			times(t.ratio(r.Scenario, r.System, cpuMicros)), r.FunctionMicros, r.BrokerMicros, r.PerCall,
			r.PeakRSSMiB, r.FirstOutput, r.Others*100)
	},
}

var latencyView = view{"p50 ms\tp90 ms\tp99 ms\tmax ms\tCPU µs\tMiB\tothers %", func(_ table, r *result) string {
	l := r.Latency
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f", l.P50, l.P90, l.P99, l.Max, r.CPUMicros, r.PeakRSSMiB, r.Others*100)
}}

// pausesView has seconds: p50/p99/max over the rounds, or the longest of all.
var pausesView = view{
	"rounds\tfirst served s\tall served s\tlongest gap s\tlongest wait s\tof others\ton return\tbefore\tbroker has it\tMiB\tbusy %\tothers %",
	func(_ table, r *result) string {
		p := r.Pauses
		if p == nil {
			return ""
		}
		three := func(figure func(pause) float64) string {
			return fmt.Sprintf("%.2f/%.2f/%.2f", p.at(0.5, figure), p.at(0.99, figure), p.at(1, figure))
		}
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f", len(p.Rounds), three(pause.first), three(pause.all),
			three(pause.gap), three(pause.wait), p.at(1, pause.others), p.at(1, pause.back), p.at(1, pause.before), p.at(1, pause.ack),
			r.PeakRSSMiB, r.Busy*100, r.Others*100)
	},
}

var scalingView = view{
	"workers\trecords/s\tof linear\tof ideal\tCPU µs\tfunction µs\tbroker µs\tMiB\tbusy %\tothers %",
	func(t table, r *result) string {
		if r.PerSecond == 0 {
			return ""
		}
		return fmt.Sprintf("%d\t%.0f\t%s\t%.2f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f", r.Workers, r.PerSecond, times(t.linear(r.Workers)),
			r.PerSecond/r.Ideal, r.CPUMicros, r.FunctionMicros, r.BrokerMicros, r.PeakRSSMiB, r.Busy*100, r.Others*100)
	},
}

var stormView = view{"messages/s\tseconds\tfirst output s\tCPU µs\tfunction µs\tbroker µs\tMiB of each\tbusy %\tothers %", func(_ table, r *result) string {
	if r.PerSecond == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f", r.PerSecond, r.Seconds, r.FirstOutput, r.CPUMicros,
		r.FunctionMicros, r.BrokerMicros, r.PeakEachMiB, r.Busy*100, r.Others*100)
}}

// times writes a ratio, or a dash where there is none.
func times(ratio float64) string {
	if ratio == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ratio)
}
