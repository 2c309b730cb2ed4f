package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// scalingPartitions go evenly into 1, 2 and 4 workers.
	scalingPartitions = 24
	// scalingLead is left out at the start: connections, first calls, and the first commits, which come late and large
	// and would make a short measurement look better than the ideal.
	scalingLead = 4 * time.Second
	// scalingReserve is what the backlog holds beyond the time that is measured, so that no worker runs out of inputs
	// while the others still have some.
	scalingReserve = 6 * time.Second
	// dryShare: with less than this part of the backlog left at the end a worker may have run dry.
	dryShare = 0.05
)

// scalingCrews are the numbers of workers that are compared.
var scalingCrews = []int{1, 2, 4}

// scalings ask what further workers bring when functions wait and processors do not.
func scalings(o options) []scenario {
	var out []scenario
	for _, n := range scalingCrews {
		title := fmt.Sprintf("steady state of %d workers, functions sleep %v, %d calls of one record in flight a worker", n, o.Sleep, o.InFlight)
		out = append(out, scenario{scalingName(n), title, true, scalingView, func(ctx context.Context, l *lab, s system) (result, error) {
			return measureScaling(ctx, l, s, n, o)
		}})
	}
	return out
}

func scalingName(workers int) string { return fmt.Sprintf("scaling-%d", workers) }

// ideal is how many records a second so many workers could do if nothing but the sleep took time.
func (o options) ideal(workers int) float64 {
	return float64(workers*o.InFlight) / o.Sleep.Seconds()
}

func measureScaling(ctx context.Context, l *lab, s system, workers int, o options) (res result, err error) {
	name := scalingName(workers)
	inputs := int(o.ideal(workers) * (scalingLead + o.SteadyFor + scalingReserve).Seconds())
	// Each its own address: nobody waits for an earlier call of the same.
	w := newWorkload(inputs, inputs)
	in := fmt.Sprintf("bench-in-%s-%d", name, l.runs)
	if err := l.createTopic(ctx, in, scalingPartitions); err != nil {
		return res, err
	}
	f, err := l.newFleet(ctx, s, job{scenario: name, in: in, target: "bench/sleeper", work: w, flags: []string{"--sleep", o.Sleep.String()}},
		fleetPlan{workers: workers, partitions: scalingPartitions, batch: 1, inFlight: o.InFlight, session: o.Session})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	// Only a whole group gets work, so that no worker begins late.
	if err := f.whole(ctx, 0); err != nil {
		return res, err
	}
	if err := w.produceAll(ctx, l.client, in, inputs); err != nil {
		return res, err
	}
	if err := rest(ctx, scalingLead); err != nil {
		return res, err
	}
	if res, err = f.steady(ctx, o.SteadyFor); err != nil {
		return res, err
	}
	if left := inputs - f.reader.progress(); float64(left) < dryShare*float64(inputs) {
		return res, fmt.Errorf("%d of %d inputs are left at the end of the measurement: a worker may have run dry", left, inputs)
	}
	patience := fleetPatience + time.Duration(inputs)*time.Millisecond
	if err := f.await(ctx, fmt.Sprintf("all %d outputs", inputs), f.reader.reached(inputs), patience); err != nil {
		return res, err
	}
	f.reader.finish()
	res.Ideal, res.Problems = o.ideal(workers), f.reader.problems()
	return res, nil
}

// steady measures outputs and costs over a time in which inputs are always there.
func (f *fleet) steady(ctx context.Context, span time.Duration) (res result, err error) {
	before, err := f.ledger()
	if err != nil {
		return res, err
	}
	from, began := f.reader.progress(), time.Now()
	if err := rest(ctx, span); err != nil {
		return res, err
	}
	n, took := f.reader.progress()-from, time.Since(began)
	after, err := f.ledger()
	if err != nil {
		return res, err
	}
	if n == 0 {
		return res, fmt.Errorf("no output in %v\n%s", took, f.tails())
	}
	res = result{Inputs: n, Workers: len(f.crew), PerSecond: float64(n) / took.Seconds()}
	after.enter(&res, before, n, 0)
	return res, nil
}

// rest lets time pass, in which what is measured happens.
func rest(ctx context.Context, span time.Duration) error {
	select {
	case <-time.After(span):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
