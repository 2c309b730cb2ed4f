package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// suite is many runs on several brokers.
type suite struct {
	options  options
	faults   []fault
	progress io.Writer
	dir      string
	worker   string // the worker's program
}

// outcome is what became of one run.
type outcome struct {
	Plan       plan           `json:"plan"`
	Broker     string         `json:"broker"`
	TookMs     int64          `json:"tookMs"`
	Figures    figures        `json:"figures"`
	Violations []violation    `json:"violations,omitempty"`
	Missed     map[string]int `json:"missedFaults,omitempty"`
	Error      string         `json:"error,omitempty"`
	Folder     string         `json:"folder,omitempty"`
}

func (o *outcome) good() bool { return len(o.Violations) == 0 && o.Error == "" }

// play makes the runs: those on one broker one after the other, then the next broker.
func (s *suite) play(ctx context.Context) (all []outcome, err error) {
	if s.worker == "" && s.options.Fleet != fleetEmbedded {
		s.worker = filepath.Join(s.dir, "statefun-kafka")
		if err := process.Build(ctx, s.worker); err != nil {
			return nil, err
		}
	}
	for i, k := range s.options.kinds {
		from, to := share(s.options.Runs, len(s.options.kinds), i)
		if from == to {
			continue
		}
		some, err := s.playOn(ctx, k, from, to)
		all = append(all, some...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// share is which runs the i-th of n brokers has.
func share(runs, n, i int) (from, to int) { return runs * i / n, runs * (i + 1) / n }

func (s *suite) playOn(ctx context.Context, k kind, from, to int) (all []outcome, err error) {
	fmt.Fprintf(s.progress, "Kafka %s: %d runs\n", k.name, to-from)
	c, err := startCluster(ctx, k, s.dir)
	if err != nil {
		return nil, fmt.Errorf("start Kafka %s: %w", k.name, err)
	}
	defer c.close()
	for n := from; n < to; n++ {
		p := draw(s.options.Seed+uint64(n), s.faults, s.options.Load, k.brokers)
		if s.options.Fleet != fleetBoth {
			p.Fleet = s.options.Fleet
		}
		if len(s.options.Settings) > 0 {
			p.Standbys = 0 // whoever gives settings gives all of them
		}
		fmt.Fprintf(s.progress, "run %d/%d seed %d: %s … ", n+1, s.options.Runs, p.Seed, p)
		o := s.playOne(ctx, c, p)
		all = append(all, o)
		fmt.Fprintln(s.progress, o.line())
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		if o.good() && !s.options.Keep {
			_ = os.RemoveAll(o.Folder)
		}
		if err := c.deleteTopics(ctx, "chaos"); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (o *outcome) line() string {
	took := (time.Duration(o.TookMs) * time.Millisecond).Round(100 * time.Millisecond)
	switch {
	case o.Error != "":
		return fmt.Sprintf("FAILED after %v: %s (logs in %s)", took, o.Error, o.Folder)
	case len(o.Violations) > 0:
		return fmt.Sprintf("VIOLATED after %v:%s (logs in %s)", took, summary(o.Violations), o.Folder)
	default:
		return fmt.Sprintf("good, %s, %v", o.Figures.short(), took)
	}
}

// playOne makes one run.
func (s *suite) playOne(ctx context.Context, c *cluster, p plan) (o outcome) {
	began := time.Now()
	o = outcome{Plan: p, Broker: c.kind.name, Folder: filepath.Join(s.dir, fmt.Sprintf("run-%d-%s", p.Seed, c.kind.name))}
	defer func() { o.TookMs = time.Since(began).Milliseconds() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, runLimit)
	defer stop()
	r, err := newRun(ctx, s.options, p, c, o.Folder, s.worker)
	if err != nil {
		o.Error = err.Error()
		return o
	}
	defer r.close()
	r.cancel = cancel
	if err = r.play(ctx); err == nil {
		o.Figures, err = r.settle(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		o.Error = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Violations, o.Missed = r.violations, r.missed
	return o
}

// runLimit bounds a run: the load, the longest fault, what settles and what hangs.
const runLimit = 5 * time.Minute
