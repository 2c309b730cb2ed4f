package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// pressureOptions are about functions that are slow, down, hanging or poisoned.
type pressureOptions struct {
	SlowRecords, SlowIDs      int
	SlowSleep                 time.Duration
	HangIDs                   int
	OutageFor, HangFor, Aside time.Duration
	PressureRate              int
	PoisonAmong               int
}

func (o *pressureOptions) add() {
	flag.IntVar(&o.SlowRecords, "slow-records", 500_000, "records that wait for the slow function")
	flag.IntVar(&o.SlowIDs, "slow-ids", 100_000, "ids that they are spread over")
	flag.DurationVar(&o.SlowSleep, "slow-sleep", time.Second, "how long the slow function sleeps in each call")
	flag.DurationVar(&o.OutageFor, "outage-for", 2*time.Minute, "how long the function is down")
	flag.DurationVar(&o.HangFor, "hang-for", time.Minute, "how long the endpoint hangs")
	flag.IntVar(&o.HangIDs, "hang-ids", 5000, "ids on which it hangs")
	flag.DurationVar(&o.Aside, "aside", time.Minute, "how long is measured before and after")
	flag.IntVar(&o.PressureRate, "pressure-rate", 1000, "records a second meanwhile")
	flag.IntVar(&o.PoisonAmong, "poison-among", 100_000, "good records around the poisoned one")
}

func (o *pressureOptions) check() error {
	if o.SlowRecords < o.SlowIDs || o.SlowIDs < 1 || o.HangIDs < 1 || o.PressureRate < 1 || o.PoisonAmong < 1 {
		return errors.New("--slow-ids, --hang-ids, --pressure-rate and --poison-among must be at least 1, --slow-records at least --slow-ids")
	}
	if min(o.SlowSleep, o.OutageFor, o.HangFor, o.Aside) <= 0 {
		return errors.New("--slow-sleep, --outage-for, --hang-for and --aside must be above 0")
	}
	return nil
}

// pressures ask what functions in trouble do to the worker and to others.
func pressures(o options) []scenario {
	all := []scenario{
		{"slow", fmt.Sprintf("%s records over %s ids wait, each call sleeps %v", plot.Thousands(o.SlowRecords), plot.Thousands(o.SlowIDs), o.SlowSleep),
			true, slowView, func(ctx context.Context, l *lab, s system) (result, error) { return measureSlow(ctx, l, s, o) }},
		{"outage", fmt.Sprintf("%d records/s, the function is down for %v", o.PressureRate, o.OutageFor),
			true, outageView, func(ctx context.Context, l *lab, s system) (result, error) { return measureOutage(ctx, l, s, o) }},
		{"hang", fmt.Sprintf("%d records/s, another endpoint hangs for %v on %s ids", o.PressureRate, o.HangFor, plot.Thousands(o.HangIDs)),
			true, phasesView, func(ctx context.Context, l *lab, s system) (result, error) { return measureHang(ctx, l, s, o) }},
	}
	for _, policy := range []string{"none", "retry", "dead-letter", "skip"} {
		title := fmt.Sprintf("%d records/s, one poisoned message and %d behind it among %s, onFailure %s", o.PressureRate, poisonBehind, plot.Thousands(o.PoisonAmong), policy)
		if policy == "none" {
			title = fmt.Sprintf("%d records/s, %s records, no poisoned message", o.PressureRate, plot.Thousands(o.PoisonAmong))
		}
		all = append(all, scenario{"poison-" + policy, title, true, poisonView, func(ctx context.Context, l *lab, s system) (result, error) {
			return measurePoison(ctx, l, s, policy, o)
		}})
	}
	return all
}

func measureSlow(ctx context.Context, l *lab, s system, o options) (res result, err error) {
	work := newWorkload(o.SlowRecords, o.SlowIDs)
	in, err := l.backlog(ctx, "slow", work)
	if err != nil {
		return res, err
	}
	w, err := l.newWard(ctx, s, job{scenario: "slow", in: in, target: "bench/sleeper", work: work}, o.SlowSleep, "", "")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	patience := fleetPatience + time.Duration(o.SlowRecords)*time.Millisecond + time.Duration(o.SlowIDs)*o.SlowSleep/50
	if err := w.await(ctx, "all outputs", w.reader.reached(o.SlowRecords), patience); err != nil {
		return res, err
	}
	res = w.finish(o.SlowRecords)
	took := w.reader.last().Sub(w.began)
	res.Seconds, res.PerSecond, res.Pressure.Calls = took.Seconds(), float64(o.SlowRecords)/took.Seconds(), w.calls.Load()
	res.Pressure.Connections = w.conns.Load()
	return res, nil
}

func measureOutage(ctx context.Context, l *lab, s system, o options) (res result, err error) {
	inputs := int((o.Aside + o.OutageFor + o.Aside).Seconds() * float64(o.PressureRate))
	work := newWorkload(inputs, min(o.IDs, inputs))
	in := fmt.Sprintf("bench-in-outage-%d", l.runs)
	if err := l.createTopic(ctx, in, partitions); err != nil {
		return res, err
	}
	w, err := l.newWard(ctx, s, job{scenario: "outage", in: in, target: "bench/counter", work: work}, 0, "", "")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	produced := make(chan error, 1)
	go func() { produced <- work.producePaced(ctx, l.client, in, 0, inputs, o.PressureRate) }()
	if err := rest(ctx, o.Aside); err != nil {
		return res, err
	}
	attempts := func() float64 {
		_, text := w.get(ctx, w.crew[0], "/metrics")
		n, _ := metric(text, "statefun_invoker_connection_attempts_total")
		return n
	}
	w.down()
	before := attempts()
	if err := rest(ctx, o.OutageFor); err != nil {
		return res, err
	}
	w.pressure.Attempts = attempts() - before
	seen := w.reader.progress()
	if err := w.up(); err != nil {
		return res, err
	}
	back := time.Now()
	if err := w.await(ctx, "a first output", w.reader.reached(seen+1), fleetPatience); err != nil {
		return res, err
	}
	w.pressure.Recovered = time.Since(back).Seconds()
	waited := int((o.Aside + o.OutageFor).Seconds() * float64(o.PressureRate))
	if err := w.await(ctx, "the outputs of what waited", w.reader.reached(min(waited, inputs)), fleetPatience); err != nil {
		return res, err
	}
	w.pressure.Drained = time.Since(back).Seconds()
	if err := <-produced; err != nil {
		return res, err
	}
	if err := w.await(ctx, "all outputs", w.reader.reached(inputs), fleetPatience); err != nil {
		return res, err
	}
	res = w.finish(inputs)
	w.phases(0, inputs, o.PressureRate, o.Aside, o.OutageFor)
	return res, nil
}

// hangingIngress is the ingress of the functions that hang.
const hangingIngress = `kind: io.statefun.kafka.v1/ingress
spec:
  id: bench/hanging
  address: BROKERS
  consumerGroupId: APP
  startupPosition:
    type: earliest
  topics:
    - topic: IN-hanging
      valueType: bench/record
      targets:
        - bench/hang
---
`

func measureHang(ctx context.Context, l *lab, s system, o options) (res result, err error) {
	healthy := int((o.Aside + o.HangFor + o.Aside).Seconds() * float64(o.PressureRate))
	ids := min(o.IDs, healthy)
	work := newWorkload(healthy, ids)
	for i := range o.HangIDs { // each with one message, of ids of their own
		work.ids, work.rank = append(work.ids, uint32(ids+i)), append(work.rank, 1)
	}
	in := fmt.Sprintf("bench-in-hang-%d", l.runs)
	if err := errors.Join(l.createTopic(ctx, in, partitions), l.createTopic(ctx, in+"-hanging", partitions)); err != nil {
		return res, err
	}
	second := strings.NewReplacer("FUNCTION", "bench/hang", "SETTINGS", "").Replace(endpointText) +
		hangingIngress
	w, err := l.newWard(ctx, s, job{scenario: "hang", in: in, target: "bench/counter", work: work}, 0, "", second)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	produced := make(chan error, 1)
	go func() { produced <- work.producePaced(ctx, l.client, in, 0, healthy, o.PressureRate) }()
	if err := rest(ctx, o.Aside); err != nil {
		return res, err
	}
	now := time.Now()
	for seq := healthy; seq < len(work.ids); seq++ {
		l.client.Produce(ctx, work.record(in+"-hanging", seq, now), nil)
	}
	if err := l.client.Flush(ctx); err != nil {
		return res, fmt.Errorf("write to %s-hanging: %w", in, err)
	}
	if err := rest(ctx, o.HangFor); err != nil {
		return res, err
	}
	w.release()
	if err := <-produced; err != nil {
		return res, err
	}
	if err := w.await(ctx, "all outputs", w.reader.reached(len(work.ids)), fleetPatience); err != nil {
		return res, err
	}
	res = w.finish(len(work.ids))
	w.phases(0, healthy, o.PressureRate, o.Aside, o.HangFor)
	return res, nil
}

func measurePoison(ctx context.Context, l *lab, s system, policy string, o options) (res result, err error) {
	work := newWorkload(o.PoisonAmong, min(o.IDs, o.PoisonAmong))
	in := fmt.Sprintf("bench-in-poison-%d", l.runs)
	if err := l.createTopic(ctx, in, partitions); err != nil {
		return res, err
	}
	settings := "  maxAttempts: 3\n"
	if policy != "none" {
		settings += "  onFailure: " + policy + "\n"
	}
	w, err := l.newWard(ctx, s, job{scenario: "poison", in: in, target: "bench/counter", work: work}, 0, settings, "")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	produced := make(chan error, 1)
	go func() { produced <- work.producePaced(ctx, l.client, in, 0, o.PoisonAmong, o.PressureRate) }()
	third := time.Duration(o.PoisonAmong/3) * time.Second / time.Duration(o.PressureRate)
	if err := rest(ctx, third); err != nil {
		return res, err
	}
	if policy != "none" {
		for seq := range 1 + poisonBehind {
			l.client.Produce(ctx, &kgo.Record{Topic: in, Key: []byte(poisonID), Value: record.New(uint64(seq), time.Now())}, nil)
		}
	}
	if err := <-produced; err != nil {
		return res, err
	}
	if err := w.await(ctx, "all outputs", w.reader.reached(o.PoisonAmong), fleetPatience); err != nil {
		return res, err
	}
	w.pressure.Poisoned = w.poisoned.Load()
	w.mended.Store(true)
	left := func() (string, error) { // a parked address resumes by itself
		if s := w.look(ctx); s.Parked+s.Pending > 0 {
			return fmt.Sprintf("%.0f addresses parked, %.0f inputs pending", s.Parked, s.Pending), nil
		}
		return "", nil
	}
	lack := w.until(ctx, "nothing to be parked", fleetPatience, left)
	if w.pressure.DeadLetters, err = l.count(ctx, w.name+"-dead-letter"); err != nil {
		return res, err
	}
	res = w.finish(o.PoisonAmong)
	w.phases(0, o.PoisonAmong, o.PressureRate, third, third)
	if want := map[string]int{"dead-letter": 1}[policy]; w.pressure.DeadLetters != want {
		res.Problems = append(res.Problems, fmt.Sprintf("%d dead letters, want %d", w.pressure.DeadLetters, want))
	}
	if lack != nil {
		res.Problems = append(res.Problems, lack.Error())
	}
	return res, nil
}
