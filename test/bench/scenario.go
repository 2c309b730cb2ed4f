package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
)

const (
	// startInputs wait in the topic of the start scenario: few, so that the time is the start and not the work.
	startInputs = 100
	// startRuns: a start is short and varies, so the middle one of three counts.
	startRuns = 3
	// warmUp is dropped from every latency.
	warmUp = 2 * time.Second
	// startPatience bounds the wait for a first output; Flink takes ten seconds.
	startPatience = 90 * time.Second
)

// scenario is one question put to every system.
type scenario struct {
	Name  string
	Title string
	// Fleet: it is about several workers of one application.
	Fleet   bool
	view    view
	measure func(context.Context, *lab, system) (result, error)
}

// scenarios are all questions, in the order of the tables.
func scenarios(o options) []scenario {
	records, hops, ids := plot.Thousands(o.Records), plot.Thousands(o.HopRecords), plot.Thousands(o.IDs)
	one := []scenario{
		{"start", "start to first committed record", false, startView, measureStart},
		{"drain", fmt.Sprintf("drain of %s records over %s ids", records, ids), false, drainView, drain("drain", "bench/counter", o.Records, o.IDs)},
		{"distinct", fmt.Sprintf("drain of %s records, each with an id of its own", records), false, drainView, drain("distinct", "bench/counter", o.Records, o.Records)},
		{"hops", fmt.Sprintf("drain of %s records over %s ids through three hops between functions", hops, ids), false, drainView, drain("hops", "bench/hop0", o.HopRecords, o.IDs)},
		{"latency-2000", "record in to committed record out at 2,000/s", false, latencyView, latency("latency-2000", 2000, o)},
		{"latency-200", "record in to committed record out at 200/s", false, latencyView, latency("latency-200", 200, o)},
	}
	return slices.Concat(one, disruptions(o), scalings(o), []scenario{storm(o), inside(o)}, pressures(o))
}

// startUp is what a system costs before its first output.
type startUp struct {
	first time.Duration
	used  usage
}

func measureStart(ctx context.Context, l *lab, s system) (result, error) {
	up, problems, err := l.startUp(ctx, s)
	if err != nil {
		return result{}, err
	}
	return result{
		Inputs: startInputs, FirstOutput: up.first.Seconds(), Problems: problems,
		PeakRSSMiB: float64(up.used.PeakRSS) / (1 << 20),
	}, nil
}

// startUp measures the start of s, or returns what an earlier call measured.
func (l *lab) startUp(ctx context.Context, s system) (startUp, []string, error) {
	if up, ok := l.startUps[s.Name]; ok {
		return up.startUp, up.problems, nil
	}
	w := newWorkload(startInputs, startInputs)
	in, err := l.backlog(ctx, "start", w)
	if err != nil {
		return startUp{}, nil, err
	}
	var problems []string
	var all []startUp
	for range startRuns {
		up, wrong, err := l.oneStart(ctx, s, in, w)
		if err != nil {
			return startUp{}, nil, err
		}
		all = append(all, up)
		problems = append(problems, wrong...)
	}
	slices.SortFunc(all, func(a, b startUp) int { return cmp.Compare(a.first, b.first) })
	up := all[len(all)/2]
	l.startUps[s.Name] = measuredStart{up, problems}
	return up, problems, nil
}

func (l *lab) oneStart(ctx context.Context, s system, in string, w *workload) (up startUp, problems []string, err error) {
	r, err := l.newRun(ctx, s, job{scenario: "start", in: in, target: "bench/counter", work: w, partitions: partitions})
	if err != nil {
		return up, nil, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.start(); err != nil {
		return up, nil, err
	}
	if err := r.await(ctx, len(w.ids), startPatience); err != nil {
		return up, nil, err
	}
	if up.used, err = r.process.usage(); err != nil {
		return up, nil, err
	}
	r.reader.finish()
	up.first = r.reader.first().Sub(r.started)
	return up, r.reader.problems(), nil
}

// drain measures how fast a system works off inputs that wait.
func drain(name, target string, inputs, ids int) func(context.Context, *lab, system) (result, error) {
	return func(ctx context.Context, l *lab, s system) (res result, err error) {
		up, _, err := l.startUp(ctx, s)
		if err != nil {
			return res, err
		}
		inputs := inputs
		if s.most > 0 {
			inputs = min(inputs, s.most)
		}
		w := newWorkload(inputs, ids)
		in, err := l.backlog(ctx, fmt.Sprintf("%s-%d", name, inputs), w)
		if err != nil {
			return res, err
		}
		r, err := l.newRun(ctx, s, job{scenario: name, in: in, target: target, work: w, partitions: partitions})
		if err != nil {
			return res, err
		}
		defer func() { err = errors.Join(err, r.end()) }()
		before, err := r.ledger()
		if err != nil {
			return res, err
		}
		if err := r.start(); err != nil {
			return res, err
		}
		if err := r.await(ctx, inputs, s.patience); err != nil {
			return res, err
		}
		if res, err = r.costs(before, inputs, up.used.CPU); err != nil {
			return res, err
		}
		r.reader.finish()
		res.Problems = r.reader.problems()
		first, span := r.reader.first().Sub(r.started), r.reader.last().Sub(r.started)
		res.FirstOutput = first.Seconds()
		res.FromStart = float64(inputs) / span.Seconds()
		// A start may be quicker than the median of its scenario: up at the first output at the latest.
		res.PerSecond = float64(inputs) / (span - min(up.first, first)).Seconds()
		res.FirstToLast = r.reader.rate()
		return res, nil
	}
}

// latency measures how long one record takes when records come at a steady pace.
func latency(name string, perSecond int, o options) func(context.Context, *lab, system) (result, error) {
	return func(ctx context.Context, l *lab, s system) (res result, err error) {
		inputs := 1 + int(float64(perSecond)*(warmUp+o.LatencyFor).Seconds())
		w := newWorkload(inputs, o.IDs)
		in := fmt.Sprintf("bench-in-%s-%s-%d", name, s.Name, l.runs)
		if err := l.createTopic(ctx, in, partitions); err != nil {
			return res, err
		}
		r, err := l.newRun(ctx, s, job{scenario: name, in: in, target: "bench/counter", perSecond: perSecond, work: w, partitions: partitions})
		if err != nil {
			return res, err
		}
		defer func() { err = errors.Join(err, r.end()) }()
		if err := r.start(); err != nil {
			return res, err
		}
		// The first input shows that the system runs; only then the pace begins.
		if err := w.producePaced(ctx, l.client, in, 0, 1, perSecond); err != nil {
			return res, err
		}
		if err := r.await(ctx, 1, startPatience); err != nil {
			return res, err
		}
		before, err := r.ledger()
		if err != nil {
			return res, err
		}
		if err := w.producePaced(ctx, l.client, in, 1, inputs, perSecond); err != nil {
			return res, err
		}
		if err := r.await(ctx, inputs, startPatience); err != nil {
			return res, err
		}
		if res, err = r.costs(before, inputs, 0); err != nil {
			return res, err
		}
		r.reader.finish()
		res.Problems = r.reader.problems()
		res.Latency = newSpread(r.reader.latency[1+int(float64(perSecond)*warmUp.Seconds()):])
		return res, nil
	}
}

// costs begins the result of n inputs with what they have cost since before.
func (r *run) costs(before ledger, n int, startUp time.Duration) (result, error) {
	res := result{Inputs: n}
	after, err := r.ledger()
	if err != nil {
		return res, err
	}
	after.enter(&res, before, n, startUp)
	calls, invocations, err := r.meter()
	if err != nil {
		return res, err
	}
	res.PerCall = float64(invocations) / float64(max(1, calls))
	return res, nil
}
