package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is what the suite prints in the end.
type report struct {
	Seed    uint64         `json:"seed"`
	Runs    []outcome      `json:"runs"`
	Faults  map[string]int `json:"faults"`
	Brokers map[string]int `json:"runsByBroker"`
	Totals  figures        `json:"totals"`
	Bad     int            `json:"badRuns"`

	given string
}

func newReport(from options, runs []outcome) report {
	r := report{Seed: from.Seed, given: from.given, Runs: runs, Faults: map[string]int{}, Brokers: map[string]int{}}
	for i := range runs {
		o := &runs[i]
		r.Brokers[o.Broker]++
		r.Totals.add(o.Figures)
		if !o.good() {
			r.Bad++
		}
		for _, f := range o.Plan.Faults {
			r.Faults[f.Kind]++
		}
		for kind, n := range o.Missed {
			r.Faults[kind] -= n
		}
	}
	return r
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

const mostShown = 8 // violations of one run in the text

func (r report) writeText(w io.Writer) error {
	for i := range r.Runs {
		r.Runs[i].writeBad(w, r.given)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nFAULT\tINJECTED\t")
	total := 0
	for _, k := range catalogue {
		if n := r.Faults[k.name]; n > 0 {
			total += n
			fmt.Fprintf(t, "%s\t%d\t%s\n", k.name, n, k.text)
		}
	}
	fmt.Fprintf(t, "all\t%d\t\n\nCHECKED\t\t\n", total)
	f := r.Totals
	for _, line := range []struct {
		what string
		n    int
	}{
		{"inputs, each with its effects exactly once", f.Inputs},
		{"pairs of messages of one sender and target in order", f.Orders},
		{"cancelled messages that stayed away", f.Cancelled},
		{"cancellations too late to tell", f.Undecided},
		{"appends that were told to be durable, among the inputs", f.Appended},
		{"appends of which nobody knows, there or not", f.Doubtful},
		{"appends that were refused, and stayed away", f.Refused},
		{"deliveries to the sink, each entry in order and under one id", f.Delivered},
		{"deliveries that came again", f.Again},
		{"kills of workers", f.Kills},
		{"changelog records", f.Rows},
		{"states in the changelog against functions", f.States},
		{"partitions on disks against the changelog", f.Stores},
		{"rows on disks against the changelog", f.Stored},
		{"changes of leader of the application's partitions", f.Moved},
		{"changes of leader of Kafka's own partitions", f.Internal},
	} {
		fmt.Fprintf(t, "%s\t%d\t\n", line.what, line.n)
	}
	fmt.Fprintln(t, "\nBROKER\tRUNS\t")
	for _, name := range kindNames() {
		if n := r.Brokers[name]; n > 0 {
			fmt.Fprintf(t, "%s\t%d\t\n", name, n)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d runs from seed %d: %d good, %d bad\n", len(r.Runs), r.Seed, len(r.Runs)-r.Bad, r.Bad)
	return err
}

func (o *outcome) writeBad(w io.Writer, given string) {
	if o.good() {
		return
	}
	fmt.Fprintf(w, "\nseed %d on Kafka %s: %s\n  repeat: %s\n  logs: %s\n", o.Plan.Seed, o.Broker, o.Plan, repeat(o, given), o.Folder)
	if o.Error != "" {
		fmt.Fprintf(w, "  could not run: %s\n", o.Error)
	}
	for i, v := range o.Violations {
		if i == mostShown {
			fmt.Fprintf(w, "  … and %d more\n", len(o.Violations)-mostShown)
			break
		}
		fmt.Fprintf(w, "  %s: %s\n", v.Rule, v.Text)
	}
}

// repeat is the command line of the same run.
func repeat(o *outcome, given string) string {
	return fmt.Sprintf("go run ./test/chaos --seed %d --runs 1 --brokers %s%s", o.Plan.Seed, o.Broker, given)
}
