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
	switch {
	case strings.HasPrefix(s.Name, "latency"):
		fmt.Fprintln(t, "p50 ms\tp90 ms\tp99 ms\tmax ms\tCPU µs\tMiB\tothers %\t  system\t")
	case s.Name == "start":
		fmt.Fprintln(t, "first output s\tMiB\t  system\t")
	default:
		fmt.Fprintln(t, "records/s\tof bare\tfirst to last\tfrom start\tCPU µs\tof bare\tfunction µs\tbroker µs\tinputs/call\tMiB\tfirst output s\tothers %\t  system\t")
	}
	for _, row := range rows {
		fmt.Fprintln(t, r.cells(s.Name, row)+"\t  "+row.Title+"\t  "+verdict(row)+"\t")
	}
	return t.Flush()
}

func (r *report) cells(scenario string, row result) string {
	switch {
	case strings.HasPrefix(scenario, "latency"):
		if row.Latency == nil {
			return "–\t–\t–\t–\t–\t–\t–"
		}
		l := row.Latency
		return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f", l.P50, l.P90, l.P99, l.Max, row.CPUMicros, row.PeakRSSMiB, row.Others*100)
	case scenario == "start":
		if row.FirstOutput == 0 {
			return "–\t–"
		}
		return fmt.Sprintf("%.2f\t%.0f", row.FirstOutput, row.PeakRSSMiB)
	case row.PerSecond == 0:
		return "–\t–\t–\t–\t–\t–\t–\t–\t–\t–\t–\t–"
	default:
		return fmt.Sprintf("%.0f\t%s\t%.0f\t%.0f\t%.1f\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.2f\t%.0f", row.PerSecond,
			times(r.Results.ratio(scenario, row.System, perSecond)), row.FirstToLast, row.FromStart, row.CPUMicros,
			times(r.Results.ratio(scenario, row.System, cpuMicros)), row.FunctionMicros, row.BrokerMicros, row.PerCall,
			row.PeakRSSMiB, row.FirstOutput, row.Others*100)
	}
}

// times writes a ratio, or a dash where there is none.
func times(ratio float64) string {
	if ratio == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ratio)
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
