package main

import "fmt"

// goal is one thing that the worker is to reach, read from the results.
type goal struct {
	Name string  `json:"name"`
	Want float64 `json:"want"`
	// AtLeast: the figure must not be below Want; otherwise it must not be above.
	AtLeast bool    `json:"atLeast"`
	Got     float64 `json:"got"`
	Met     bool    `json:"met"`
	// Busy: a result behind it was measured while other programs had the processors, so that it proves nothing.
	Busy bool `json:"busyMachine,omitempty"`
	unit string
}

// table finds results by scenario and system.
type table []result

func (t table) find(scenario, system string) *result {
	for i := range t {
		if r := &t[i]; r.Scenario == scenario && r.System == system && r.ok() {
			return r
		}
	}
	return nil
}

// ratio divides a figure of the system by that of the bare loop; 0 when one of them is missing.
func (t table) ratio(scenario, system string, figure func(*result) float64) float64 {
	floor, r := t.find(scenario, plain), t.find(scenario, system)
	if floor == nil || r == nil || figure(floor) == 0 {
		return 0
	}
	return figure(r) / figure(floor)
}

func perSecond(r *result) float64 { return r.PerSecond }
func cpuMicros(r *result) float64 { return r.CPUMicros }

// busy tells whether other programs had more of the processors than noise while the worker, with functions outside or
// inside, or the bare loop that it is compared with, was measured on the scenario.
func (t table) busy(scenario string) bool {
	for _, name := range []string{plain, "worker", inProcess} {
		if r := t.find(scenario, name); r != nil && r.Others > noise {
			return true
		}
	}
	return false
}

// goals holds the worker's results against the project's goals; those whose scenario was not run are left out.
func (t table) goals() []goal {
	var out []goal
	add := func(scenario, name, unit string, want, got float64, atLeast bool) {
		if got > 0 {
			met := got <= want
			if atLeast {
				met = got >= want
			}
			out = append(out, goal{
				Name: name, Want: want, AtLeast: atLeast, Got: got, Met: met, Busy: t.busy(scenario), unit: unit,
			})
		}
	}
	for _, g := range []struct {
		scenario  string
		rate, cpu float64
	}{{"drain", 3, 0.5}, {"distinct", 0.75, 1.5}, {"hops", 2.5, 0}} {
		add(g.scenario, g.scenario+": records/s", "× bare", g.rate, t.ratio(g.scenario, "worker", perSecond), true)
		if g.cpu > 0 {
			add(g.scenario, g.scenario+": processor time", "× bare", g.cpu, t.ratio(g.scenario, "worker", cpuMicros), false)
		}
	}
	for _, g := range []struct {
		scenario string
		p50, p99 float64
	}{{"latency-2000", 12, 40}, {"latency-200", 5, 12}} {
		if r := t.find(g.scenario, "worker"); r != nil && r.Latency != nil {
			add(g.scenario, g.scenario+": p50", "ms", g.p50, r.Latency.P50, false)
			add(g.scenario, g.scenario+": p99", "ms", g.p99, r.Latency.P99, false)
		}
	}
	if r := t.find("start", "worker"); r != nil {
		add("start", "start to first committed record", "s", 1.5, r.FirstOutput, false)
	}
	t.inProcessGoals(add)
	t.fleetGoals(add)
	t.troubleGoals(add)
	var peak float64
	for _, r := range t {
		if r.System == "worker" && r.Workers == 0 {
			peak = max(peak, r.PeakRSSMiB)
		}
	}
	add("", "resident memory, highest of all", "MiB", 350, peak, false)
	return out
}

// linear is what a number of workers reached of as many times what one did; 0 when one of the two is missing.
func (t table) linear(workers int) float64 {
	one, all := t.find(scalingName(1), "worker"), t.find(scalingName(workers), "worker")
	if one == nil || all == nil || workers == 1 || one.PerSecond == 0 {
		return 0
	}
	return all.PerSecond / one.PerSecond / float64(workers)
}

// inProcessGoals are those of functions in the worker's process.
func (t table) inProcessGoals(add func(scenario, name, unit string, want, got float64, atLeast bool)) {
	add("drain", "drain, functions in process: records/s", "× bare", 4.5, t.ratio("drain", inProcess, perSecond), true)
	if streams, r := t.find("drain", "streams"), t.find("drain", inProcess); streams != nil && r != nil {
		add("drain", "drain, functions in process: records/s", "× Kafka Streams", 1.5, r.PerSecond/streams.PerSecond, true)
	}
	if r := t.find(insideName, inProcess); r != nil {
		add(insideName, "messages between functions in process", "a second", 300_000, r.PerSecond, true)
	}
}

// fleetGoals are those of several workers of one application.
func (t table) fleetGoals(add func(scenario, name, unit string, want, got float64, atLeast bool)) {
	if r := t.find("failover-standby", "worker"); r != nil {
		add("failover-standby", "failover with a standby: p99 until all is served", "s", r.Pauses.Session+1, r.Pauses.at(0.99, pause.all), false)
	}
	if r := t.find("planned-stop-standby", "worker"); r != nil {
		add("planned-stop-standby", "planned stop with a standby: longest wait", "s", 0.5, r.Pauses.at(1, pause.longest), false)
	}
	if r := t.find("rolling-standby", "worker"); r != nil {
		add("rolling-standby", "rolling restart with standbys: longest wait", "s", 1, r.Pauses.at(1, pause.longest), false)
	}
	for _, n := range scalingCrews[1:] {
		add(scalingName(n), fmt.Sprintf("scaling to %d workers", n), "× linear", 0.9, t.linear(n), true)
	}
}

// unmoved is how far the latency of healthy functions may rise while others are in trouble: what two minutes without
// any trouble differ by.
const unmoved = 1.25

// troubleGoals are about the others while a function is in trouble.
func (t table) troubleGoals(add func(scenario, name, unit string, want, got float64, atLeast bool)) {
	for _, scenario := range []string{"hang", "poison-retry", "poison-dead-letter", "poison-skip"} {
		r := t.find(scenario, "worker")
		if r == nil || r.Pressure == nil || r.Pressure.Before == nil || r.Pressure.During == nil {
			continue
		}
		before, during := r.Pressure.Before, r.Pressure.During
		add(scenario, scenario+": p50 of the others", "× before", unmoved, during.P50/before.P50, false)
		add(scenario, scenario+": p99 of the others", "× before", unmoved, during.P99/before.P99, false)
	}
}

func (g goal) String() string {
	sign, verdict := "≤", "missed"
	if g.AtLeast {
		sign = "≥"
	}
	if g.Met {
		verdict = "met"
	}
	if g.Busy {
		verdict = "not proven: busy machine (" + verdict + ")"
	}
	return fmt.Sprintf("%s\t%s %.4g %s\t%.3g\t%s", g.Name, sign, g.Want, g.unit, g.Got, verdict)
}
