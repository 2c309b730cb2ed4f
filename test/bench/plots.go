package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/test/bench/plot"
)

// writePlots draws what was measured into dir: throughput.svg, cpu.svg, one plot for each latency and one for each kind
// of disruption.
func (r *report) writePlots(dir string, asked []scenario) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the plots' folder: %w", err)
	}
	files := map[string]string{}
	if g := r.groups(asked, perSecond); len(g) > 0 {
		files["throughput.svg"] = plot.Bars("Records a second from a backlog", r.where()+"; longer is better", g)
	}
	if g := r.groups(asked, cpuMicros); len(g) > 0 {
		files["cpu.svg"] = plot.Bars("Processor time per record in microseconds", r.where()+"; start-up and function left out; shorter is better", g)
	}
	for _, s := range asked {
		if lines := r.lines(s.Name); len(lines) > 0 {
			files[s.Name+".svg"] = plot.Quantiles(strings.ToUpper(s.Title[:1])+s.Title[1:], r.where(), "ms", lines)
		}
	}
	for _, family := range []string{"failover", "planned-stop", "rolling"} {
		if lines := r.timelines(family, asked); len(lines) > 0 {
			files[family+".svg"] = plot.Timeline("Longest wait for an output around a "+strings.ReplaceAll(family, "-", " "), r.where(), "ms", lines)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the plot %s: %w", name, err)
		}
	}
	return nil
}

// where is the line under each title.
func (r *report) where() string {
	return fmt.Sprintf("%s; Kafka %s on the same machine", r.Machine, r.Kafka)
}

// color is the same number for a system in every plot.
func color(name string) int {
	for i, s := range systems() {
		if s.Name == name {
			return i
		}
	}
	return len(systems())
}

// groups are the bars of a figure, one group for each drain.
func (r *report) groups(asked []scenario, figure func(*result) float64) []plot.Group {
	var out []plot.Group
	for _, s := range asked {
		g := plot.Group{Name: s.Title}
		for i := range r.Results {
			row := &r.Results[i]
			if row.Scenario != s.Name || !row.ok() || row.PerSecond == 0 || s.Fleet {
				continue
			}
			b := plot.Bar{Label: row.Title, Color: color(row.System), Value: figure(row)}
			if ratio := r.Results.ratio(s.Name, row.System, figure); ratio > 0 && row.System != plain {
				b.Note = fmt.Sprintf("%.2g × bare", ratio)
			}
			g.Bars = append(g.Bars, b)
		}
		if len(g.Bars) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// lines are the latency curves of a scenario.
func (r *report) lines(scenario string) []plot.Series {
	var out []plot.Series
	for _, row := range r.Results {
		if row.Scenario == scenario && row.ok() && row.Latency != nil {
			out = append(out, plot.Series{Label: row.Title, Color: color(row.System), At: curveAt, Y: row.Latency.Curve})
		}
	}
	return out
}

// timelines are the waits around the disruptions of a family, the signals marked.
func (r *report) timelines(family string, asked []scenario) []plot.Track {
	var out []plot.Track
	for _, s := range asked {
		row := r.Results.find(s.Name, "worker")
		if !strings.HasPrefix(s.Name, family) || row == nil || row.Timeline == nil {
			continue
		}
		t := row.Timeline
		out = append(out, plot.Track{Label: s.Name, Color: len(out), From: t.From, Step: t.Step, Y: t.Waits, Marks: t.Marks})
	}
	return out
}
