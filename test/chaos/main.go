// Command chaos runs workers on a real Kafka, of one broker or of three, under random load, lets faults fall on workers,
// disks, functions, network and brokers, and holds everything that is left against a model.
//
// The workers of a run are processes of the command, or programs on package embedded: the same application with some functions
// in the process and the others remote, an ingress that the programs fill themselves, and a sink. What a program appended and
// what its sink got it writes to files that outlive it.
//
// Everything random follows from a seed, which is printed; the same seed gives the same load and the same faults at the
// same times, as far as processes repeat.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// options are the command's flags.
type options struct {
	Seed                uint64
	Fleet               string
	Runs, Rate          int
	Load                time.Duration
	Faults, Brokers     string
	Worker, Dir, Output string
	LogLevel            string
	Settings            []string
	Keep, List          bool

	kinds []kind
	given string // the flags that a repetition of a run needs
	noBox error  // why this machine has no small disks
}

const usage = `Usage: go run ./test/chaos [flags]

Each run starts workers on a real Kafka, gives them random trees of commands over aligned and unaligned ingress topics,
lets 2 to 4 faults fall on them, waits until everything is done, and then checks that every effect happened exactly once
and in order, that functions, changelog and disks agree on every state, and that nothing is left open. Where workers are
embedded programs, also that each record that was told to be durable by Append came out once, and that the sink got every
entry, in order and under one id.

  go run ./test/chaos                                        30 runs on all brokers: about 35 minutes
  go run ./test/chaos --runs 5 --brokers 4.1.0 --seed 7
  go run ./test/chaos --runs 7 --brokers 4.1.0x3             on three brokers, with faults that need them
  go run ./test/chaos --runs 4 --faults stall,net-cut
  go run ./test/chaos --fleet embedded                       programs on package embedded as workers
  go run ./test/chaos --list                                 the kinds of faults

It needs Go, Java and Maven, and gets Kafka by itself. Exit codes: 0 all runs are good, 1 one is not, 2 wrong usage.

Flags:
`

func parseFlags(arguments []string) (o options, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.Uint64Var(&o.Seed, "seed", 0, "seed of the first run, the next ones have the next numbers; 0 takes one from the clock")
	flags.IntVar(&o.Runs, "runs", 30, "how many runs, spread over the brokers")
	flags.IntVar(&o.Rate, "rate", 100, "ingress records a second; each leads to some three inputs")
	flags.DurationVar(&o.Load, "load", 18*time.Second, "how long the load of a run lasts")
	flags.StringVar(&o.Faults, "faults", "", "only these kinds of faults, as a list with commas")
	flags.StringVar(&o.Brokers, "brokers", strings.Join(kindNames(), ","), "brokers to run on; tv1 means transaction.version 1, x3 a cluster of three")
	flags.StringVar(&o.Fleet, "fleet", fleetBoth, "what workers are: command, embedded (programs with Go functions, an ingress from Go and a sink), or both, run by run")
	flags.StringVar(&o.Worker, "worker", "", "the worker's program; default: built from this repository")
	flags.StringVar(&o.Dir, "dir", "", "where to make the folder of logs and data; default: the system's")
	flags.StringVar(&o.Output, "output", "text", "text or json; progress goes to standard error")
	flags.StringVar(&o.LogLevel, "log-level", "info", "of the workers")
	flags.BoolVar(&o.Keep, "keep", false, "keep the logs of good runs too")
	flags.BoolVar(&o.List, "list", false, "list the kinds of faults")
	flags.Func("setting", "line of the module's application document, like commitInterval: 50ms; may be repeated; without any some runs have a standby", func(s string) error {
		o.Settings = append(o.Settings, s)
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q; see --help", flags.Arg(0))
	}
	if o.Runs < 1 || o.Rate < 1 || o.Load < time.Second {
		return o, errors.New("--runs and --rate must be at least 1, --load at least 1s")
	}
	if !slices.Contains([]string{fleetCommand, fleetEmbedded, fleetBoth}, o.Fleet) {
		return o, fmt.Errorf("--fleet is %q, want %s, %s or %s", o.Fleet, fleetCommand, fleetEmbedded, fleetBoth)
	}
	if o.Output != "text" && o.Output != "json" {
		return o, fmt.Errorf("--output is %q, want text or json", o.Output)
	}
	for _, name := range strings.Split(o.Brokers, ",") {
		k, err := findKind(strings.TrimSpace(name))
		if err != nil {
			return o, fmt.Errorf("--brokers: %w", err)
		}
		o.kinds = append(o.kinds, k)
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixMilli())
	}
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains([]string{"load", "rate", "faults", "fleet"}, f.Name) {
			o.given += fmt.Sprintf(" --%s %s", f.Name, f.Value)
		}
	})
	for _, s := range o.Settings {
		o.given += fmt.Sprintf(" --setting %q", s)
	}
	return o, nil
}

// The exit codes.
const (
	exitGood = iota
	exitBad
	exitUsage
)

func main() {
	serveIfAsked()
	os.Exit(chaos(os.Args[1:]))
}

// The suite starts its own program as other processes of a run too.
const (
	modeFunctions = "functions"
	modeProgram   = "program"
)

// serveIfAsked is the whole life of such a process, by its first argument.
func serveIfAsked() {
	if len(os.Args) < 2 {
		return
	}
	serve, is := map[string]func([]string) error{modeFunctions: serveFunctions, modeProgram: serveProgram}[os.Args[1]]
	if !is {
		return
	}
	if err := serve(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(exitBad)
	}
	os.Exit(exitGood)
}

func chaos(arguments []string) int {
	o, err := parseFlags(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return exitGood
	}
	faults, faultsErr := chooseFaults(o.Faults)
	if err = errors.Join(err, faultsErr); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return exitUsage
	}
	if o.List {
		list()
		return exitGood
	}
	for _, k := range o.kinds {
		if len(fitting(faults, k.brokers)) == 0 {
			fmt.Fprintf(os.Stderr, "chaos: none of --faults %s can fall on %s, which is %d broker\n", o.Faults, k.name, k.brokers)
			return exitUsage
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	r, err := play(ctx, o, faults)
	if err == nil || len(r.Runs) > 0 {
		write := r.writeText
		if o.Output == "json" {
			write = r.writeJSON
		}
		err = errors.Join(err, write(os.Stdout))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || r.Bad > 0 {
		return exitBad
	}
	return exitGood
}

// play makes all runs in a folder that stays when one of them is bad.
func play(ctx context.Context, o options, faults []fault) (report, error) {
	if o.noBox = boxes(); o.noBox != nil {
		fmt.Fprintln(os.Stderr, "chaos: without disk-full, this machine has no small disks for everyone:", o.noBox)
	}
	dir, err := os.MkdirTemp(o.Dir, "statefun-chaos-")
	if err != nil {
		return report{}, fmt.Errorf("make a folder for the runs: %w", err)
	}
	fmt.Fprintf(os.Stderr, "seed %d, %d runs, logs in %s\n", o.Seed, o.Runs, dir)
	s := suite{options: o, faults: faults, progress: os.Stderr, dir: dir, worker: o.Worker}
	runs, err := s.play(ctx)
	r := newReport(o, runs)
	if err == nil && r.Bad == 0 && !o.Keep {
		err = os.RemoveAll(dir)
	}
	return r, err
}

func list() {
	t := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, f := range catalogue {
		fmt.Fprintf(t, "%s\t%s\n", f.name, f.text)
	}
	_ = t.Flush()
}
