package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ward is a worker whose functions are in trouble, and who watches it.
type ward struct {
	*fleet
	*troubled
	pressure pressure
	began    time.Time
	quit     chan struct{}
	watched  chan struct{}
}

// endpointText is one endpoint of a ward.
const endpointText = `kind: io.statefun.endpoints.v2/http
spec:
  functions: FUNCTION
  urlPathTemplate: URL
  maxNumBatchRequests: 1000
SETTINGS---
`

// newWard starts functions and one worker. settings are lines of the endpoint of the target.
func (l *lab) newWard(ctx context.Context, s system, j job, sleep time.Duration, settings, more string) (_ *ward, err error) {
	j.partitions = partitions
	s.Remote = false // its functions are here
	r, err := l.newRun(ctx, s, j)
	if err != nil {
		return nil, err
	}
	w := &ward{fleet: &fleet{run: r}, quit: make(chan struct{}), watched: make(chan struct{})}
	if w.troubled, err = newTroubled(r.out, sleep); err != nil {
		return nil, errors.Join(err, w.fleet.end())
	}
	_, tail, _ := strings.Cut(moduleText, "---\n") // the ingress and the egress
	one := strings.NewReplacer("FUNCTION", j.target, "SETTINGS", settings).Replace(endpointText)
	text := strings.NewReplacer("BROKERS", l.brokers, "APP", r.name, "IN", j.in, "TARGET", j.target, "PROPERTIES", "", "URL", w.url()).Replace(one + more + tail)
	w.module = filepath.Join(r.dir, "module.yaml")
	if err := os.WriteFile(w.module, []byte(text), 0o644); err != nil {
		return nil, errors.Join(err, w.fleet.end())
	}
	only := &worker{name: "worker-0", dir: filepath.Join(r.dir, "worker-0")}
	w.crew = []*worker{only}
	if err := w.start(only); err != nil {
		return nil, errors.Join(err, w.fleet.end())
	}
	ready := func() (string, error) {
		if status, body := w.get(ctx, only, "/readyz"); status != 200 {
			return "not ready: " + body, nil
		}
		return "", nil
	}
	if err := w.until(ctx, "the worker to be ready", fleetPatience, ready); err != nil {
		return nil, errors.Join(err, w.fleet.end())
	}
	w.began = time.Now()
	go w.watch(ctx)
	return w, nil
}

// watch takes a look each second.
func (w *ward) watch(ctx context.Context) {
	defer close(w.watched)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
			w.pressure.Samples = append(w.pressure.Samples, w.look(ctx))
		}
	}
}

func (w *ward) look(ctx context.Context) moment {
	_, text := w.get(ctx, w.crew[0], "/metrics")
	figure := func(name string) float64 { n, _ := metric(text, name); return n }
	return moment{
		Second: time.Since(w.began).Seconds(), RSSMiB: w.resident(), Outputs: w.reader.progress(),
		InFlight: figure("statefun_worker_in_flight_calls"), Held: figure("statefun_worker_read_budget_used_bytes") / (1 << 20),
		Pending: figure(pendingMetric), Parked: figure("statefun_worker_parked_addresses"),
	}
}

// resident is the memory of the worker now, in MiB.
func (w *ward) resident() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.crew[0].process.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024
		}
	}
	return 0
}

// finish ends the watching and the reading, and gives the result so far.
func (w *ward) finish(inputs int) result {
	close(w.quit)
	<-w.watched
	w.reader.finish()
	return result{Inputs: inputs, Problems: w.reader.problems(), PeakRSSMiB: w.pressure.most(func(s moment) float64 { return s.RSSMiB }), Pressure: &w.pressure}
}

// end stops everything; it may be called after finish or without it.
func (w *ward) end() error {
	select {
	case <-w.quit:
	default:
		close(w.quit)
		<-w.watched
	}
	err := w.fleet.end()
	w.down()
	return err
}

// phases splits the latencies of the inputs from..to by when they were due after the first.
func (w *ward) phases(from, to, perSecond int, before, during time.Duration) {
	var parts [3][]time.Duration
	for seq := from; seq < to; seq++ {
		due := time.Duration(seq-from) * time.Second / time.Duration(perSecond)
		part := 2
		switch {
		case due < before:
			part = 0
		case due < before+during:
			part = 1
		}
		edge := due < before && due > before-time.Second // on their way when it begins
		if took := w.reader.latency[seq]; took > 0 && due > warmUp && !edge {
			parts[part] = append(parts[part], took)
		}
	}
	p := &w.pressure
	p.Before, p.During, p.After = newSpread(parts[0]), newSpread(parts[1]), newSpread(parts[2])
}

// count is the number of records of a topic that were committed.
func (l *lab) count(ctx context.Context, topic string) (n int, err error) {
	ends, err := l.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("look at the end of %s: %w", topic, err)
	}
	var client *kgo.Client
	if client, err = kgo.NewClient(kgo.SeedBrokers(l.brokers), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()); err != nil {
		return 0, fmt.Errorf("open a reader: %w", err)
	}
	defer client.Close()
	for left := ends[topic]; len(left) > 0; {
		for p, end := range left { // of partitions that have none, or only their markers left
			if end.Offset == 0 {
				delete(left, p)
			}
		}
		if len(left) == 0 {
			break
		}
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				n++
			}
			if end, open := left[r.Partition]; open && r.Offset+1 >= end.Offset {
				delete(left, r.Partition)
			}
		})
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
	return n, nil
}
