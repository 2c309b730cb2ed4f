// Command bench measures the worker's binary on a real Kafka against a bare loop in the same run, and on request
// against what a user would run instead.
//
// Every figure stands beside the bare loop's (test/bench/floor), because a machine's speed is its own; every output
// is checked, because a fast wrong answer is worth nothing. Run it by `make bench` and `make bench-peers`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	Brokers, Kafka, Dir, Worker string
	Embedded, Profile           string
	Systems, Scenarios, Peers   string
	Output, Plots               string
	Records, IDs, HopRecords    int
	Repeat                      int
	LatencyFor                  time.Duration
	Strict, Keep                bool
	ringOptions
	fleetOptions
	pressureOptions
}

// fleetOptions are about several workers of one application.
type fleetOptions struct {
	Addresses, Rate, Kills int
	Rest, Session          time.Duration
	InFlight, FanOut       int
	Sleep, SteadyFor       time.Duration
}

func (o *fleetOptions) add() {
	flag.IntVar(&o.Addresses, "addresses", 1_000_000, "addresses with state when workers are killed or restarted")
	flag.IntVar(&o.Rate, "rate", 2000, "records a second meanwhile")
	flag.IntVar(&o.Kills, "kills", 10, "kills, or planned stops, of each kind")
	flag.DurationVar(&o.Rest, "rest", 4*time.Second, "how long nothing happens between two of them; at least 2s")
	flag.DurationVar(&o.Session, "session-timeout", 0, "session.timeout.ms of the workers (default theirs)")
	flag.IntVar(&o.InFlight, "in-flight", 64, "calls in flight of each worker when scaling")
	// 5 ms would make 12,800 records/s a worker: four of them are more than a small machine can carry, which would
	// measure its processors.
	flag.DurationVar(&o.Sleep, "sleep", 50*time.Millisecond, "how long the function sleeps in each call when scaling")
	flag.DurationVar(&o.SteadyFor, "steady-for", 15*time.Second, "how long the steady state is measured when scaling")
	flag.IntVar(&o.FanOut, "fan-out", 1000, "messages that each call of the storm sends; their square is the whole")
}

func (o *fleetOptions) check() error {
	if o.Addresses < 1 || o.Rate < 1 || o.Kills < 1 || o.InFlight < 1 || o.FanOut < 1 {
		return errors.New("--addresses, --rate, --kills, --in-flight and --fan-out must be at least 1")
	}
	if o.Rest < 2*time.Second || o.Sleep <= 0 || o.SteadyFor <= 0 || o.Session < 0 {
		return errors.New("--rest must be at least 2s, --sleep and --steady-for above 0")
	}
	return nil
}

// families are the names that stand for several scenarios.
var families = strings.NewReplacer(
	"failover-all", "failover-warm,failover-cold,failover-dead,failover-standby",
	"planned-stop-all", "planned-stop,planned-stop-standby",
	"rolling-all", "rolling,rolling-standby",
	"pressure-all", "slow,outage,hang,poison-none,poison-retry,poison-dead-letter,poison-skip",
	"scaling-all", "scaling-1,scaling-2,scaling-4")

func parseFlags() (options, error) {
	var o options
	flag.StringVar(&o.Brokers, "brokers", "", "use this broker and start none")
	flag.StringVar(&o.Kafka, "kafka", "", "Kafka version to start (default the newest that the tests use)")
	flag.StringVar(&o.Dir, "dir", "", "where to make the temporary folder (default the system's)")
	flag.StringVar(&o.Worker, "worker", "", "the worker's binary (default built from the repository)")
	flag.StringVar(&o.Embedded, "embedded", "", "the binary of the process with functions inside (default built from the repository)")
	flag.StringVar(&o.Profile, "profile", "", "folder for profiles of that process; empty for none")
	flag.StringVar(&o.Systems, "systems", "floor,floor-10k,floor-100k,worker,embedded", "what to measure")
	flag.StringVar(&o.Peers, "peers", "", "peers to measure too: any of statefun,streams,restate")
	flag.StringVar(&o.Scenarios, "scenarios", "start,drain,distinct,hops,inside,latency-2000,latency-200", "what to ask")
	flag.StringVar(&o.Output, "output", "text", "text or json")
	flag.StringVar(&o.Plots, "plots", "docs/plots", "folder for the plots; empty for none")
	flag.IntVar(&o.Records, "records", 300_000, "records of a drain")
	flag.IntVar(&o.IDs, "ids", 10_000, "ids that they are spread over")
	flag.IntVar(&o.HopRecords, "hop-records", 100_000, "records of the drain through three hops")
	flag.IntVar(&o.Repeat, "repeat", 1, "runs of each; the middle one counts")
	flag.DurationVar(&o.LatencyFor, "latency-for", 20*time.Second, "how long each latency is measured, after the warm-up")
	flag.BoolVar(&o.Keep, "keep", false, "leave the temporary folder with all logs, and say where it is")
	flag.BoolVar(&o.Strict, "strict", false, "exit 1 when a goal is missed, or not proven because the machine was busy")
	o.ringOptions.add()
	o.fleetOptions.add()
	o.pressureOptions.add()
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flag.Arg(0))
	}
	if o.Output != "text" && o.Output != "json" {
		return o, fmt.Errorf("--output is %q, want text or json", o.Output)
	}
	if o.Records < 1 || o.HopRecords < 1 || o.IDs < 1 || o.Repeat < 1 {
		return o, errors.New("--records, --hop-records, --ids and --repeat must be at least 1")
	}
	if o.IDs > min(o.Records, o.HopRecords) {
		return o, fmt.Errorf("--ids %d is more than the records", o.IDs)
	}
	return o, errors.Join(o.ringOptions.check(), o.fleetOptions.check(), o.pressureOptions.check())
}

// wants tells whether the system of this name is to be measured.
func (o options) wants(name string) bool {
	return slices.Contains(split(o.Systems), name) || slices.Contains(split(o.Peers), name)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// choose picks the entries of all that the lists name, in the order of all; a name that nobody has is an error.
func choose[T any](all []T, name func(T) string, flagName string, lists ...string) ([]T, error) {
	var out []T
	wanted := split(strings.Join(lists, ","))
	for _, e := range all {
		if slices.Contains(wanted, name(e)) {
			out = append(out, e)
			wanted = slices.DeleteFunc(wanted, func(w string) bool { return w == name(e) })
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("--%s: nothing is called %q", flagName, wanted[0])
	}
	return out, nil
}

func main() {
	o, err := parseFlags()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	good, err := bench(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// bench measures everything asked for and prints it. It is false when an output was wrong, or with --strict a goal missed.
func bench(ctx context.Context, o options) (good bool, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	asked, err := choose(scenarios(o), func(s scenario) string { return s.Name }, "scenarios", families.Replace(o.Scenarios))
	if err != nil {
		return false, err
	}
	measured, err := choose(systems(), func(s system) string { return s.Name }, "systems", o.Systems, o.Peers)
	if err != nil {
		return false, err
	}
	l, err := openLab(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	rep := report{Time: time.Now().UTC(), Machine: machine(), Kafka: l.version}
	missing := buildPeers(ctx, log, measured)
	if err := l.warm(ctx); err != nil {
		return false, err
	}
	for _, q := range asked {
		for _, s := range measured {
			if !s.runs(q) {
				continue
			}
			res := measure(ctx, l, q, s, missing[s.Name], o.Repeat)
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			log.Info("measured", "scenario", q.Name, "system", s.Name, "outcome", verdict(res))
			rep.Results = append(rep.Results, res)
		}
	}
	rep.Goals = rep.Results.goals()
	if err := rep.write(o, asked); err != nil {
		return false, err
	}
	return rep.good(o.Strict), nil
}

// measure asks one system one question, as often as repeat says. What goes wrong is in the result, so that the rest goes on.
func measure(ctx context.Context, l *lab, q scenario, s system, missing string, repeat int) result {
	named := func(r result) result {
		r.Scenario, r.System, r.Title = q.Name, s.Name, s.Title
		return r
	}
	if missing != "" {
		return named(result{Missing: missing})
	}
	var all []result
	for range repeat {
		res, err := q.measure(ctx, l, s)
		if err != nil {
			return named(result{Problems: []string{err.Error()}})
		}
		all = append(all, res)
	}
	return named(median(all))
}

func (r *report) write(o options, asked []scenario) error {
	if o.Plots != "" {
		if err := r.writePlots(o.Plots, asked); err != nil {
			return err
		}
	}
	if o.Output == "json" {
		return r.writeJSON(os.Stdout)
	}
	return r.writeText(os.Stdout, asked)
}

// good tells whether every output was right, and with strict whether every goal was met.
func (r *report) good(strict bool) bool {
	for _, res := range r.Results {
		if len(res.Problems) > 0 {
			return false
		}
	}
	return !strict || !slices.ContainsFunc(r.Goals, func(g goal) bool { return !g.Met || g.Busy })
}
