package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
)

// insideName is the scenario of messages between functions of one process.
const insideName = "inside"

// ringOptions are about messages between functions of one process: a ring of addresses, and messages that go round it.
type ringOptions struct{ RingAddresses, RingMessages, RingHops int }

func (o *ringOptions) add() {
	flag.IntVar(&o.RingAddresses, "ring-addresses", 1000, "addresses of the ring inside")
	flag.IntVar(&o.RingMessages, "ring-messages", 4, "messages that set out from each of them")
	flag.IntVar(&o.RingHops, "ring-hops", 1500, "addresses that each of these goes to")
}

func (o *ringOptions) check() error {
	if o.RingAddresses < 2 || o.RingMessages < 1 || o.RingHops < 1 {
		return errors.New("--ring-addresses must be at least 2, --ring-messages and --ring-hops at least 1")
	}
	return nil
}

// messages is how many function calls the ring asks for.
func (o *ringOptions) messages() int { return o.RingAddresses * o.RingMessages * o.RingHops }

// inside asks how many messages a second functions in one process send to each other, each with a change of state that
// is committed: records that set out messages on a ring of addresses.
func inside(o options) scenario {
	title := fmt.Sprintf("%s messages between functions in the process, %s under way round a ring of %s addresses, each counted in state",
		plot.Thousands(o.messages()), plot.Thousands(o.RingAddresses*o.RingMessages), plot.Thousands(o.RingAddresses))
	return scenario{insideName, title, false, insideView, func(ctx context.Context, l *lab, s system) (result, error) {
		return measureInside(ctx, l, s, o.ringOptions)
	}}
}

func measureInside(ctx context.Context, l *lab, s system, o ringOptions) (res result, err error) {
	up, _, err := l.startUp(ctx, s)
	if err != nil {
		return res, err
	}
	w := newWorkload(o.RingAddresses, o.RingAddresses)
	for i := range w.rank { // each address says its count once, when it is this
		w.rank[i] = int64(o.RingMessages * o.RingHops)
	}
	in, err := l.backlog(ctx, fmt.Sprintf("%s-%d", insideName, o.RingAddresses), w)
	if err != nil {
		return res, err
	}
	flags := []string{"--ring-addresses", strconv.Itoa(o.RingAddresses), "--ring-messages", strconv.Itoa(o.RingMessages), "--ring-hops", strconv.Itoa(o.RingHops)}
	r, err := l.newRun(ctx, s, job{scenario: insideName, in: in, target: "bench/ring", work: w, partitions: partitions, flags: flags})
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
	if err := r.await(ctx, o.RingAddresses, s.patience); err != nil {
		return res, err
	}
	messages := o.messages()
	if res, err = r.costs(before, messages, up.used.CPU); err != nil {
		return res, err
	}
	r.reader.finish()
	res.Problems = r.reader.problems()
	span := r.reader.last().Sub(r.started) - up.first
	res.Seconds, res.PerSecond = span.Seconds(), float64(messages)/span.Seconds()
	return res, nil
}

var insideView = view{"messages/s\tseconds\tCPU µs\tbroker µs\tMiB\tbusy %\tothers %", func(_ table, r *result) string {
	if r.PerSecond == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f\t%.1f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f", r.PerSecond, r.Seconds, r.CPUMicros, r.BrokerMicros, r.PeakRSSMiB, r.Busy*100, r.Others*100)
}}
