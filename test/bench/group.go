package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// lagMetric says how far a worker's standbys are behind.
const lagMetric = "statefun_standby_lag_rows"

// owned describes the group: the partitions of each worker by its name.
func (f *fleet) owned(ctx context.Context) (map[string][]int32, string, error) {
	groups, err := f.lab.admin.DescribeGroups(ctx, f.name)
	if err != nil {
		return nil, "", fmt.Errorf("describe the group %s: %w", f.name, err)
	}
	g := groups[f.name]
	return owners(g), g.State, g.Err
}

func owners(g kadm.DescribedGroup) map[string][]int32 {
	out := map[string][]int32{}
	for _, m := range g.Members {
		name := m.MemberID
		if m.InstanceID != nil {
			name = *m.InstanceID
		}
		out[name] = nil
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			out[name] = append(out[name], t.Partitions...)
		}
	}
	return out
}

// whole waits until every worker is ready and owns its share of the partitions, and every partition has its standbys,
// which lag by no more than so many rows together.
func (f *fleet) whole(ctx context.Context, lag int) error {
	return f.until(ctx, "the group to be whole", fleetPatience, func() (string, error) {
		held, state, err := f.owned(ctx)
		if err != nil {
			state = err.Error() // The coordinator is not up yet, or moves.
		}
		if lack := f.uneven(held, state); lack != "" {
			return lack, nil
		}
		for _, w := range f.crew {
			if lack := f.unready(ctx, w); lack != "" {
				return lack, nil
			}
		}
		if f.standbys == 0 {
			return "", nil
		}
		return f.lagging(ctx, lag), nil
	})
}

// unready tells why a worker is not ready; empty: it is.
func (f *fleet) unready(ctx context.Context, w *worker) string {
	if status, body := f.get(ctx, w, "/readyz"); status != http.StatusOK {
		return w.name + " is not ready: " + strings.TrimSpace(body)
	}
	return ""
}

// uneven tells what a group lacks to be settled, with a fair share for each worker; empty: nothing.
func (f *fleet) uneven(held map[string][]int32, state string) string {
	if state != "Stable" || len(held) != len(f.crew) {
		return fmt.Sprintf("the group is %s with %d members, want Stable with %d", state, len(held), len(f.crew))
	}
	seen := map[int32]bool{}
	for _, w := range f.crew {
		if least := f.partitions / len(f.crew); len(held[w.name]) < least {
			return fmt.Sprintf("%s owns %d partitions, want at least %d", w.name, len(held[w.name]), least)
		}
		for _, p := range held[w.name] {
			seen[p] = true
		}
	}
	if len(seen) != f.partitions {
		return fmt.Sprintf("%d of %d partitions have an owner", len(seen), f.partitions)
	}
	return ""
}

func (f *fleet) lagging(ctx context.Context, most int) string {
	followed, rows := 0, 0.0
	for _, w := range f.crew {
		_, text := f.get(ctx, w, "/metrics")
		lag, series := metric(text, lagMetric)
		followed, rows = followed+series, rows+lag
	}
	switch {
	case followed < f.partitions*f.standbys:
		return fmt.Sprintf("%d of %d standbys show their lag in the metric %s: does this worker know standbyReplicas?",
			followed, f.partitions*f.standbys, lagMetric)
	case rows > float64(most):
		return fmt.Sprintf("the standbys lag by %.0f rows, want at most %d", rows, most)
	default:
		return ""
	}
}

// metric sums a metric over its series in Prometheus' text format.
func metric(text, name string) (sum float64, series int) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || !slices.Contains([]byte("{ "), rest[0]) {
			continue
		}
		fields := strings.Fields(rest)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			continue
		}
		sum += v
		series++
	}
	return sum, series
}
