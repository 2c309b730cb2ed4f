package main

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// defaultSession is the worker's session time-out when no flag gives another.
const defaultSession = 6 * time.Second

// pause is what one round of a disruption did to those who wait for outputs, in seconds. A wait is that of one input,
// from the time it was due to its committed output: nobody's key stood still for longer.
type pause struct {
	Worker     string `json:"worker"`
	Partitions int    `json:"partitions"`
	// First and All: from the signal to the first output for an input that was due after the worker's end, in the
	// earliest and in the last of its partitions.
	First float64 `json:"first"`
	All   float64 `json:"all"`
	// Gap is the longest time between two outputs of one of its partitions.
	Gap float64 `json:"gap"`
	// Wait and Others are the longest waits in its partitions and in all others, up to its return.
	Wait   float64 `json:"wait"`
	Others float64 `json:"others"`
	// Return is the longest wait of all after its start, where it stayed away until then.
	Return float64 `json:"return,omitempty"`
	// Before is the longest wait of all while nothing happened.
	Before float64 `json:"before"`
	// Ack is the longest time in the whole round until the broker had an input: not the workers' doing.
	Ack float64 `json:"ack"`
}

// pauses are all rounds of a disruption.
type pauses struct {
	Session float64 `json:"sessionTimeout"`
	Rounds  []pause `json:"rounds"`
}

// at is a quantile of a figure over the rounds.
func (p *pauses) at(q float64, figure func(pause) float64) float64 {
	var all []float64
	for _, r := range p.Rounds {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

func (p pause) first() float64  { return p.First }
func (p pause) all() float64    { return p.All }
func (p pause) gap() float64    { return p.Gap }
func (p pause) wait() float64   { return p.Wait }
func (p pause) others() float64 { return p.Others }
func (p pause) back() float64   { return p.Return }
func (p pause) before() float64 { return p.Before }
func (p pause) ack() float64    { return p.Ack }

// longest is the longest wait of anybody up to a worker's return.
func (p pause) longest() float64 { return max(p.Wait, p.Others) }

// outputs tell when the output of each input came.
type outputs struct {
	load      *load
	latency   []time.Duration // by number of the input
	partition func(seq int) int32
}

// each calls visit for the inputs that were due from one time to another.
func (o outputs) each(from, to time.Time, visit func(seq int, partition int32)) {
	for seq := o.load.at(from); seq < o.load.at(to); seq++ {
		visit(seq, o.partition(seq))
	}
}

// waits are the longest waits of inputs that were due in a time: in the partitions asked for, and in all others.
func (o outputs) waits(from, to time.Time, of []int32) (own, others time.Duration) {
	o.each(from, to, func(seq int, partition int32) {
		if slices.Contains(of, partition) {
			own = max(own, o.latency[seq])
		} else {
			others = max(others, o.latency[seq])
		}
	})
	return own, others
}

// gap is the longest time between two outputs of the same of the partitions asked for.
func (o outputs) gap(from, to time.Time, of []int32) (longest time.Duration) {
	came := map[int32][]time.Time{}
	o.each(from, to, func(seq int, partition int32) {
		if slices.Contains(of, partition) {
			came[partition] = append(came[partition], o.load.due(seq).Add(o.latency[seq]))
		}
	})
	for _, times := range came {
		slices.SortFunc(times, time.Time.Compare)
		for n := 1; n < len(times); n++ {
			longest = max(longest, times[n].Sub(times[n-1]))
		}
	}
	return longest
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// judge works out what the rounds did.
func (t *trial) judge(seen outputs) *pauses {
	all := &pauses{Session: cmp.Or(t.o.Session, defaultSession).Seconds()}
	for _, r := range t.rounds {
		all.Rounds = append(all.Rounds, r.judge(seen, t.stays))
	}
	return all
}

func (r round) judge(seen outputs, stays bool) pause {
	p := pause{Worker: r.worker, Partitions: len(r.owned), First: math.Inf(1)}
	for _, at := range r.serves {
		p.First = min(p.First, at.Sub(r.at).Seconds())
	}
	p.All = r.served.Sub(r.at).Seconds()
	end := r.over
	if stays {
		end = r.back
		_, back := seen.waits(r.back, r.over, nil)
		p.Return = back.Seconds()
	}
	own, others := seen.waits(r.at.Add(-beforehand), end, r.owned)
	_, before := seen.waits(r.rested, r.at.Add(-beforehand), nil)
	p.Wait, p.Others, p.Before = own.Seconds(), others.Seconds(), before.Seconds()
	seen.each(r.rested, r.over, func(seq int, _ int32) { p.Ack = max(p.Ack, seen.load.acks[seq].Seconds()) })
	p.Gap = seen.gap(r.at.Add(-beforehand), latest(end, r.served.Add(beforehand)), r.owned).Seconds()
	return p
}

const (
	timelineStep = 100 * time.Millisecond
	// timelineLead and timelineTail are what a timeline shows before the signal and after the end.
	timelineLead = 2 * time.Second
	timelineTail = 3 * time.Second
)

// timeline is the longest wait of the inputs that were due in each step around a disruption.
type timeline struct {
	From   float64   `json:"from"` // seconds, 0: the first signal
	Step   float64   `json:"step"`
	Waits  []float64 `json:"waits"` // milliseconds, in the partitions of the worker that ended; rolling: of all
	Others []float64 `json:"others"`
	Marks  []float64 `json:"marks"` // seconds of each signal
}

// timeline shows the middle round by the time until all was served, in the partitions of the worker that ended; of a
// rolling restart it shows everything.
func (t *trial) timeline(seen outputs) *timeline {
	middle := slices.Clone(t.rounds)
	slices.SortFunc(middle, func(a, b round) int { return cmp.Compare(a.served.Sub(a.at), b.served.Sub(b.at)) })
	r := middle[(len(middle)-1)/2]
	zero, until, marks := r.at, r.served.Add(timelineTail), []float64{0}
	if t.rolling {
		zero, until, marks = t.rounds[0].at, t.rounds[len(t.rounds)-1].over.Add(timelineTail), nil
		for _, r := range t.rounds {
			marks = append(marks, r.at.Sub(zero).Seconds())
		}
	}
	line := &timeline{From: -timelineLead.Seconds(), Step: timelineStep.Seconds(), Marks: marks}
	for from := zero.Add(-timelineLead); from.Before(until); from = from.Add(timelineStep) {
		own, others := seen.waits(from, from.Add(timelineStep), r.owned)
		if t.rolling {
			own = max(own, others)
		}
		line.Waits = append(line.Waits, float64(own)/float64(time.Millisecond))
		line.Others = append(line.Others, float64(others)/float64(time.Millisecond))
	}
	return line
}
