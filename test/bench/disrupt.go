package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

const (
	// disrupted is how many workers share the work, and disruptedPartitions what they share.
	disrupted           = 3
	disruptedPartitions = 12
	// longestRound bounds what a round may take on average, for the size of the workload.
	longestRound = time.Minute
	// beforehand is how far a disruption reaches back: to the inputs that were on their way.
	beforehand = time.Second
)

// disruption is what happens to the workers of a fleet, one after the other, while records come.
type disruption struct {
	name, title string
	signal      syscall.Signal
	wipe        bool // its folder, before it starts again
	stays       bool // away until the others serve its addresses
	rolling     bool // the next follows once the worker says that it is ready; otherwise once the group is whole
	standbys    int
}

// disruptions are the scenarios of what comes in between.
func disruptions(o options) []scenario {
	var out []scenario
	all := []disruption{
		{name: "failover-warm", title: "kill -9, the worker starts again at once on its own folder", signal: syscall.SIGKILL},
		{name: "failover-cold", title: "kill -9, the worker starts again at once with an empty folder", signal: syscall.SIGKILL, wipe: true},
		{name: "failover-dead", title: "kill -9, the worker stays away until the others serve its addresses", signal: syscall.SIGKILL, stays: true},
		{name: "failover-standby", title: "the same with standbyReplicas: 1", signal: syscall.SIGKILL, stays: true, standbys: 1},
		{name: "planned-stop", title: "SIGTERM, the worker stays away until the others serve its addresses", signal: syscall.SIGTERM, stays: true},
		{name: "planned-stop-standby", title: "the same with standbyReplicas: 1", signal: syscall.SIGTERM, stays: true, standbys: 1},
		{name: "rolling", title: "rolling restart: SIGTERM, start, ready, the next", signal: syscall.SIGTERM, rolling: true},
		{name: "rolling-standby", title: "the same with standbyReplicas: 1", signal: syscall.SIGTERM, rolling: true, standbys: 1},
	}
	for _, d := range all {
		title := fmt.Sprintf("%s; %d workers, %s addresses, %s records/s", d.title, disrupted, plot.Thousands(o.Addresses), plot.Thousands(o.Rate))
		out = append(out, scenario{d.name, title, true, pausesView, func(ctx context.Context, l *lab, s system) (result, error) {
			return d.measure(ctx, l, s, o)
		}})
	}
	return out
}

func (d disruption) rounds(o options) int {
	if d.rolling {
		return disrupted
	}
	return o.Kills
}

// trial is one disruption under way.
type trial struct {
	disruption
	*fleet
	o      options
	load   *load
	rounds []round
}

// round is one worker's end and return, as it was seen from outside.
type round struct {
	worker string
	owned  []int32
	rested time.Time           // nothing waited, and the group was whole, from here on
	at     time.Time           // of the signal
	serves map[int32]time.Time // first output for an input that was due after the process had ended, by partition
	served time.Time           // the last of them
	back   time.Time           // the process was started again
	over   time.Time           // the group was whole again and nothing waited; with rolling the next one's turn
}

func (d disruption) measure(ctx context.Context, l *lab, s system, o options) (res result, err error) {
	seconds := int(time.Duration(d.rounds(o)) * (longestRound + o.Rest) / time.Second)
	w := newFilled(o.Addresses, o.Rate*seconds)
	in := fmt.Sprintf("bench-in-%s-%d", d.name, l.runs)
	if err := l.createTopic(ctx, in, disruptedPartitions); err != nil {
		return res, err
	}
	f, err := l.newFleet(ctx, s, job{scenario: d.name, in: in, target: "bench/counter", work: w},
		fleetPlan{workers: disrupted, partitions: disruptedPartitions, batch: manyInputs, standbys: d.standbys, session: o.Session})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	t := &trial{disruption: d, fleet: f, o: o}
	if err := t.fill(ctx); err != nil {
		return res, err
	}
	before, err := f.ledger()
	if err != nil {
		return res, err
	}
	t.load = startLoad(ctx, l.client, in, w, o.Addresses, o.Rate)
	defer func() {
		if stopped := t.load.stop(); err != nil {
			err = errors.Join(err, stopped)
		}
	}()
	if err := t.disrupt(ctx); err != nil {
		return res, err
	}
	after, err := f.ledger()
	if err != nil {
		return res, err
	}
	if err := t.load.stop(); err != nil {
		return res, err
	}
	sent := t.load.sent()
	if err := f.await(ctx, fmt.Sprintf("all %d outputs", sent), f.reader.reached(sent), fleetPatience); err != nil {
		return res, err
	}
	f.reader.finish()
	f.reader.check.expect(sent)
	seen := outputs{load: t.load, latency: f.reader.latency, partition: func(seq int) int32 { return t.partition(record.ID(w.ids[seq])) }}
	res = result{Inputs: sent, Workers: disrupted, Problems: f.reader.problems()}
	res.Pauses, res.Timeline = t.judge(seen), t.timeline(seen)
	after.enter(&res, before, sent-o.Addresses, 0)
	return res, nil
}

// fill gives every address its state.
func (t *trial) fill(ctx context.Context) error {
	if err := t.whole(ctx, t.lag()); err != nil {
		return err
	}
	n := t.o.Addresses
	if err := t.work.produceAll(ctx, t.lab.client, t.in, n); err != nil {
		return err
	}
	patience := fleetPatience + time.Duration(n)*time.Millisecond
	return t.await(ctx, fmt.Sprintf("the first output of all %d addresses", n), t.reader.reached(n), patience)
}

// lag is how many rows standbys may be behind to count as following: what a second brings, three rows a record.
func (t *trial) lag() int { return 3 * t.o.Rate }

// partition is where an id is at home.
func (t *trial) partition(id string) int32 { return router.Partition(id, disruptedPartitions) }

func (t *trial) disrupt(ctx context.Context) error {
	var rested time.Time
	var err error
	for n := range t.disruption.rounds(t.o) {
		if n == 0 || !t.rolling {
			if rested, err = t.calm(ctx); err != nil {
				return err
			}
		}
		if err := t.round(ctx, t.crew[n%len(t.crew)], rested); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	_, err = t.calm(ctx)
	return err
}

// calm waits until the group is whole and what was sent is answered, and then lets the load run on for a while, to see
// how long an output takes when nothing happens. It returns when that while began.
func (t *trial) calm(ctx context.Context) (time.Time, error) {
	if err := t.whole(ctx, t.lag()); err != nil {
		return time.Time{}, err
	}
	if err := t.await(ctx, "the backlog to be worked off", t.reader.reached(t.load.sent()), fleetPatience); err != nil {
		return time.Time{}, err
	}
	rested := time.Now()
	if n := len(t.rounds); n > 0 {
		t.rounds[n-1].over = rested
	}
	select {
	case <-t.load.ended:
		return rested, errors.New("the load ended")
	default:
		return rested, rest(ctx, t.o.Rest)
	}
}

func (t *trial) round(ctx context.Context, w *worker, rested time.Time) error {
	held, _, err := t.owned(ctx)
	if err != nil {
		return err
	}
	r := round{worker: w.name, owned: held[w.name], rested: rested, at: time.Now()}
	if len(r.owned) == 0 {
		return fmt.Errorf("%s owns nothing that could be missed", w.name)
	}
	if n := len(t.rounds); n > 0 && t.rolling {
		t.rounds[n-1].over = r.at
	}
	if err := t.halt(w, t.signal); err != nil {
		return err
	}
	seen := t.reader.served(r.owned, time.Now(), t.partition)
	if t.wipe {
		if err := os.RemoveAll(w.dir); err != nil {
			return fmt.Errorf("wipe the folder of %s: %w", w.name, err)
		}
	}
	if !t.stays {
		if r.back, err = t.again(w); err != nil {
			return err
		}
	}
	if err := t.await(ctx, fmt.Sprintf("partitions %v of %s to be served again", r.owned, w.name), seen.done, fleetPatience); err != nil {
		return err
	}
	r.serves = seen.serves
	for _, at := range r.serves {
		r.served = latest(r.served, at)
	}
	if t.stays {
		if r.back, err = t.again(w); err != nil {
			return err
		}
	}
	t.rounds = append(t.rounds, r)
	if !t.rolling {
		return nil
	}
	return t.until(ctx, w.name+" to be ready", fleetPatience, func() (string, error) { return t.unready(ctx, w), nil })
}

// again starts a worker once more and returns when.
func (t *trial) again(w *worker) (time.Time, error) {
	now := time.Now()
	return now, t.start(w)
}
