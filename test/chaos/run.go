package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/proxy"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// partitions is the number of partitions of the application under test.
const partitions = 8

// keys is how many ids the load has, with three function types each.
const keys = 60

// lateDelay is the delay of messages that another input cancels: long enough that most cancellations are certain to
// come in time, short enough to wait for the others.
const lateDelay = 12 * time.Second

// run is one application under load and faults.
type run struct {
	options options
	plan    plan
	id      string
	dir     string
	cluster *cluster
	began   time.Time // of the load
	journal *os.File

	fleet      *fleet
	functions  *functions
	functionMu sync.Mutex // held by the fault that has the function process
	ingresses  []load.Ingress
	out        string
	generator  *load.Generator
	entries    *entries
	appends    *appends     // of embedded workers, once the load is over
	deliveries *deliveries  // to the sink of embedded workers
	processes  atomic.Int64 // numbers the log files

	cancel context.CancelCauseFunc

	mu         sync.Mutex
	violations []violation
	missed     map[string]int // faults that found nobody to fall on
	moves      moves          // of leaders, while the faults fell
}

// violation is one broken promise.
type violation struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// newRun makes the folder, the topics, the module and the processes of a run.
func newRun(ctx context.Context, o options, p plan, c *cluster, dir, worker string) (_ *run, err error) {
	r := &run{
		options: o, plan: p, cluster: c, dir: dir, missed: map[string]int{}, began: time.Now(),
		id: fmt.Sprintf("chaos-%d-%x", p.Seed, time.Now().UnixMilli()&0xffffff),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of run %d: %w", p.Seed, err)
	}
	if r.journal, err = os.Create(filepath.Join(dir, "run.log")); err != nil {
		return nil, fmt.Errorf("make the log of run %d: %w", p.Seed, err)
	}
	r.note("seed %d on Kafka %s: %s", p.Seed, c.kind.name, p)
	r.out, r.ingresses = outTopic(r.id), ingresses(r.id)
	topics := map[string]int32{r.out: 4}
	for _, in := range r.ingresses {
		topics[in.Topic] = in.Partitions
	}
	if err := c.createTopics(ctx, topics); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	sink := ""
	if p.embedded() {
		worker, sink, r.deliveries = program, sinkName, newDeliveries(filepath.Join(dir, sinkFile))
		if err := r.appending(true); err != nil {
			return nil, err
		}
	}
	if r.functions, err = startFunctions(program, dir, r.out, sink); err != nil {
		return nil, err
	}
	module := filepath.Join(dir, "module.yaml")
	if err := os.WriteFile(module, []byte(r.moduleText()), 0o644); err != nil {
		return nil, fmt.Errorf("write the module: %w", err)
	}
	r.generator = load.NewGenerator(p.Seed, r.ingresses, keys)
	r.generator.Fan, r.generator.Late = 40, lateDelay
	if r.entries, err = readEntries(c.addrs(), r.out); err != nil {
		return nil, err
	}
	r.fleet = newFleet(r, worker, module)
	return r, nil
}

func (r *run) topic(suffix string) string { return r.id + "-" + suffix }

// outTopic is where an application's functions write their entries.
func outTopic(id string) string { return id + "-out" }

// ingresses are the topics of an application's load.
func ingresses(id string) []load.Ingress {
	return []load.Ingress{
		{Topic: id + "-in", Partitions: partitions, Targets: []string{"a"}, Keyed: true},
		{Topic: id + "-wide", Partitions: 2 * partitions, Targets: []string{"c"}, Keyed: true},
		{Topic: id + "-side", Partitions: 3, Targets: []string{"b"}},
		{Topic: id + "-both", Partitions: 5, Targets: []string{"b", "c"}},
	}
}

// appending lets embedded programs append records, or stop doing so.
func (r *run) appending(goesOn bool) error {
	path := filepath.Join(r.dir, appendingFile)
	if !goesOn {
		return os.Remove(path)
	}
	return os.WriteFile(path, nil, 0o644)
}

const egressName = "e2e.load/out"

// moduleText is the module of the command. Embedded programs have all of it in Go save the application's document.
func (r *run) moduleText() string {
	text := fmt.Sprintf(`kind: statefun-kafka.v1/application
spec:
  id: %s
  partitions: %d
%s`, r.id, partitions, r.settings())
	if r.plan.embedded() {
		return text
	}
	text += fmt.Sprintf(`---
kind: io.statefun.endpoints.v2/http
spec:
  functions: %[2]s/*
  urlPathTemplate: %[3]s
  transport:
    type: io.statefun.transports.v1/async
    call: %[4]s
    connect: 1s
---
kind: io.statefun.kafka.v1/egress
spec:
  id: %[5]s
  address: "%[6]s"
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: %[2]s/in
  address: "%[6]s"
  consumerGroupId: %[1]s
  startupPosition: {type: earliest}
  properties:
    - session.timeout.ms: "%[7]d"
  topics:
`, r.id, load.Namespace, r.functions.url(), callBudget, egressName,
		r.cluster.doors[0].addr(), sessionTimeout.Milliseconds())
	for _, in := range r.ingresses {
		text += fmt.Sprintf("    - topic: %s\n      valueType: %s\n      targets:\n", in.Topic, load.CommandType)
		for _, target := range in.Targets {
			text += fmt.Sprintf("        - %s/%s\n", load.Namespace, target)
		}
	}
	return text
}

// settings are further lines of the application's document.
func (r *run) settings() (lines string) {
	if r.plan.Standbys > 0 {
		lines = fmt.Sprintf("  standbyReplicas: %d\n", r.plan.Standbys)
	}
	for _, s := range r.options.Settings {
		lines += "  " + s + "\n"
	}
	return lines
}

// note writes a line to the run's log.
func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.journal, "%s %7.3f %s\n", time.Now().Format("15:04:05.000"), time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// violate notes a broken promise; the run goes on.
func (r *run) violate(rule, format string, args ...any) {
	v := violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
	r.note("VIOLATION %s: %s", v.Rule, v.Text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, v)
}

// fail ends the run: the suite itself cannot do what it must.
func (r *run) fail(err error) {
	r.note("the run fails: %v", err)
	r.cancel(err)
}

func (r *run) check(err error) {
	if err != nil {
		r.fail(err)
	}
}

func (r *run) skipped(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missed[kind]++
}

// close ends everything that the run started.
func (r *run) close() {
	if r.fleet != nil {
		r.fleet.close()
	}
	if r.functions != nil && r.functions.process != nil {
		r.functions.process.kill()
	}
	if r.entries != nil {
		r.entries.close()
	}
	_ = r.journal.Close()
}

// play lets the load and the faults happen, and waits until the faults are over and mended.
func (r *run) play(ctx context.Context) error {
	r.fleet.grow(ctx, r.plan.Workers)
	for _, s := range r.fleet.slots[:r.plan.Workers] {
		s.mu.Lock()
		ready := r.fleet.awaitReady(ctx, s)
		s.mu.Unlock()
		if !ready {
			r.violate("start", "%s was not ready within %v; its log is %s", s.name, readyLimit, s.worker.Log)
		}
	}
	leaders := r.cluster.watchLeaders()
	r.began = time.Now()
	feeding, stopFeed := context.WithTimeout(ctx, r.options.Load)
	defer stopFeed()
	var busy sync.WaitGroup
	busy.Go(func() {
		r.check(r.feed(feeding, ctx))
		if r.plan.embedded() {
			r.check(r.appending(false))
		}
	})
	for _, f := range r.plan.Faults {
		busy.Go(func() { r.inject(ctx, f) })
	}
	busy.Wait()
	r.cluster.turn(proxy.Fair)
	r.moves = leaders.stop()
	r.note("leaders moved: %+v", r.moves)
	return context.Cause(ctx)
}

func (r *run) inject(ctx context.Context, planned plannedFault) {
	if !process.Pause(ctx, planned.after()) {
		return
	}
	for _, k := range catalogue {
		if k.name != planned.Kind {
			continue
		}
		h := &hazard{ctx: ctx, run: r, random: rand.New(rand.NewPCG(planned.Draw, 1)), kind: k.name}
		h.note("begins")
		k.do(h)
		h.note("is over")
	}
}
