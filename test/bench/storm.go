package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

const (
	stormWorkers    = 2
	stormPartitions = 12
	// pendingMetric says how many inputs a worker has copied into the changelog.
	pendingMetric = "statefun_worker_pending_inputs"
)

// storm asks what one record does that becomes a million messages (H10).
func storm(o options) scenario {
	n := o.FanOut * o.FanOut
	title := fmt.Sprintf("one record, each call sends %s messages, two levels: %s messages at addresses of their own; %d workers",
		plot.Thousands(o.FanOut), plot.Thousands(n), stormWorkers)
	return scenario{"storm", title, true, stormView, func(ctx context.Context, l *lab, s system) (result, error) {
		return measureStorm(ctx, l, s, o)
	}}
}

func measureStorm(ctx context.Context, l *lab, s system, o options) (res result, err error) {
	leaves := o.FanOut * o.FanOut
	w := newWorkload(leaves, leaves) // what the leaves write, each once
	in := fmt.Sprintf("bench-in-storm-%d", l.runs)
	if err := l.createTopic(ctx, in, stormPartitions); err != nil {
		return res, err
	}
	f, err := l.newFleet(ctx, s, job{scenario: "storm", in: in, target: "bench/storm0", work: w, flags: []string{"--fan-out", strconv.Itoa(o.FanOut)}},
		fleetPlan{workers: stormWorkers, partitions: stormPartitions, batch: manyInputs, session: o.Session})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if err := f.whole(ctx, 0); err != nil {
		return res, err
	}
	before, err := f.ledger()
	if err != nil {
		return res, err
	}
	began := time.Now()
	spark := &kgo.Record{Topic: in, Key: []byte(record.ID(0)), Value: record.New(0, began)}
	if err := l.client.ProduceSync(ctx, spark).FirstErr(); err != nil {
		return res, fmt.Errorf("write to %s: %w", in, err)
	}
	patience := fleetPatience + time.Duration(leaves)*time.Millisecond
	if err := f.await(ctx, fmt.Sprintf("the outputs of all %d leaves", leaves), f.reader.reached(leaves), patience); err != nil {
		return res, err
	}
	after, err := f.ledger()
	if err != nil {
		return res, err
	}
	pending := f.until(ctx, "no pending row to be left", fleetPatience, func() (string, error) { return f.pending(ctx), nil })
	f.reader.finish()
	took := f.reader.last().Sub(began)
	res = result{Inputs: leaves, Workers: stormWorkers, Seconds: took.Seconds(), PerSecond: float64(leaves) / took.Seconds(),
		FirstOutput: f.reader.first().Sub(began).Seconds(), Problems: f.reader.problems()}
	after.enter(&res, before, leaves, 0)
	for _, w := range f.crew {
		res.PeakEachMiB = append(res.PeakEachMiB, float64(f.look(w).PeakRSS)/(1<<20))
	}
	if pending != nil {
		res.Problems = append(res.Problems, pending.Error())
	}
	return res, nil
}

// pending tells how many pending rows are left on the workers together; empty: none.
func (f *fleet) pending(ctx context.Context) string {
	rows := 0.0
	for _, w := range f.crew {
		_, text := f.get(ctx, w, "/metrics")
		n, series := metric(text, pendingMetric)
		if series == 0 {
			return w.name + " does not show " + pendingMetric
		}
		rows += n
	}
	if rows > 0 {
		return fmt.Sprintf("%.0f pending rows", rows)
	}
	return ""
}
