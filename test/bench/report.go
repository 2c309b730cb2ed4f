package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything of one run of the program.
type report struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`
	Kafka   string    `json:"kafka"`
	Results table     `json:"results"`
	Goals   []goal    `json:"goals"`
}

// noise is the share of the processors that others may use before the figures say little.
const noise = 0.1

// others is the highest share that programs outside the benchmark had in any run.
func (t table) others() float64 {
	var most float64
	for _, r := range t {
		most = max(most, r.Others)
	}
	return most
}

// machine describes what the figures were measured on.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// writeJSON writes the report for programs.
func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeText writes the report for people: one table a scenario, then the goals.
func (r *report) writeText(w io.Writer, all []scenario) error {
	fmt.Fprintf(w, "\n%s; Kafka %s on the same machine\n", r.Machine, r.Kafka)
	for _, s := range all {
		if err := r.writeScenario(w, s); err != nil {
			return err
		}
	}
	if others := r.Results.others(); others > noise {
		fmt.Fprintf(w, "\nother programs used up to %.0f %% of the processors during a run: measure again on a quiet machine\n", others*100)
	}
	if len(r.Goals) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "goal\twant\tgot\t")
	for _, g := range r.Goals {
		fmt.Fprintln(t, g)
	}
	return t.Flush()
}

func (r *report) writeScenario(w io.Writer, s scenario) error {
	var rows []result
	for _, row := range r.Results {
		if row.Scenario == s.Name {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s: %s\n", s.Name, s.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, s.view.head+"\t  system\t")
	for _, row := range rows {
		fmt.Fprintln(t, s.view.line(r.Results, &row)+"\t  "+row.Title+"\t  "+verdict(row)+"\t")
	}
	return t.Flush()
}

// verdict says in words whether the outputs were right.
func verdict(r result) string {
	switch {
	case r.Missing != "":
		return "not measured: " + r.Missing
	case len(r.Problems) > 0:
		return "WRONG: " + strings.Join(r.Problems, "; ")
	default:
		return "exact"
	}
}
