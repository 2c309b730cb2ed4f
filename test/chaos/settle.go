package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/audit"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

const (
	// hangLimit is how long nothing may come while something is due, once all faults are mended. The longest waits by
	// design are a parked address and a transaction that nobody but the broker's time-out ends.
	hangLimit = 60 * time.Second
	// silence is how long the end is watched for what must not come.
	silence = time.Second
	// lateSlack is how long after its time a delayed message may come.
	lateSlack = 500 * time.Millisecond
)

// figures count what a run proved.
type figures struct {
	Inputs    int `json:"inputs"`
	Addresses int `json:"addresses"`
	Orders    int `json:"ordersCompared"`
	Cancelled int `json:"cancelledHeld"`
	Undecided int `json:"cancelledUndecided"`
	Rows      int `json:"changelogRows"`
	States    int `json:"statesCompared"`
	Stores    int `json:"storedPartitions"`
	Stored    int `json:"storedRows"`
	Level     int `json:"partitionsLevelOnDisk"`
	Moved     int `json:"leadersMoved"`
	Internal  int `json:"internalLeadersMoved"`
	Kills     int `json:"kills"`
	Appended  int `json:"appended"`
	Refused   int `json:"appendsRefused"`
	Doubtful  int `json:"appendsUnknown"`
	Delivered int `json:"sinkDeliveries"`
	Again     int `json:"sinkDeliveriesAgain"`
}

// short is for a line of progress.
func (f *figures) short() string {
	text := fmt.Sprintf("%d inputs", f.Inputs)
	if f.Appended > 0 {
		text += fmt.Sprintf(", %d appends, %d deliveries", f.Appended, f.Delivered)
	}
	return text
}

func (f *figures) add(o figures) {
	f.Inputs += o.Inputs
	f.Addresses += o.Addresses
	f.Orders += o.Orders
	f.Cancelled += o.Cancelled
	f.Undecided += o.Undecided
	f.Rows += o.Rows
	f.States += o.States
	f.Stores += o.Stores
	f.Stored += o.Stored
	f.Level += o.Level
	f.Moved += o.Moved
	f.Internal += o.Internal
	f.Kills += o.Kills
	f.Appended += o.Appended
	f.Refused += o.Refused
	f.Doubtful += o.Doubtful
	f.Delivered += o.Delivered
	f.Again += o.Again
}

// settle waits until every input is done and nothing more can come, asks every address once more what it remembers,
// stops all workers and holds everything against everything.
func (r *run) settle(ctx context.Context) (figures, error) {
	if err := r.collectAppends(ctx); err != nil {
		return figures{}, err
	}
	complete := r.awaitAll(ctx, "the load")
	if complete {
		process.Pause(ctx, time.Until(r.entries.lastDue(r.expected()).Add(lateSlack)))
		for _, in := range r.ingresses {
			for _, key := range r.generator.Keys() {
				r.produce(ctx, r.generator.Probe(in, key), r.check)
			}
		}
		complete = r.awaitAll(ctx, "the questions") && r.awaitSink(ctx)
	}
	process.Pause(ctx, silence)
	if err := context.Cause(ctx); err != nil {
		return figures{}, err
	}
	r.note("stopping all workers")
	r.fleet.each(func(s *slot) {
		r.fleet.stop(s)
		r.fleet.retire(s)
	})
	list, err := r.entries.all()
	if err != nil {
		return figures{}, err
	}
	f := r.checkHistory(list)
	if err := r.checkSink(list, &f); err != nil {
		return f, err
	}
	if !complete {
		return f, nil // what is left is left: an audit would only repeat it
	}
	return f, r.audit(ctx, list, &f)
}

// awaitAll waits until every input has an entry. When nothing moves any more it lets the workers write down what they
// do, and gives up.
func (r *run) awaitAll(ctx context.Context, what string) bool {
	began := time.Now()
	for {
		missing, quiet := r.entries.missing(r.expected())
		if len(missing) == 0 {
			r.note("%s is done %v after its end", what, time.Since(began).Round(time.Millisecond))
			return true
		}
		if min(quiet, time.Since(began)) > hangLimit {
			in := missing[0]
			r.violate("hang", "%d inputs of %s were not done when nothing had come for %v, for example %s of %s (sender's input %q)",
				len(missing), what, hangLimit, in.ID, in.Address, in.Parent)
			r.dumpWorkers()
			return false
		}
		if !process.Pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
}

// dumpWorkers lets every worker write its goroutines to its log, which ends it.
func (r *run) dumpWorkers() {
	r.fleet.each(func(s *slot) {
		if s.running() {
			s.worker.told.Store(true)
			s.worker.signal(syscall.SIGQUIT)
			s.worker.AwaitEnd(5 * time.Second)
			r.note("the goroutines of %s are in %s", s.name, s.worker.Log)
		}
		r.fleet.retire(s)
	})
}

func (r *run) checkHistory(list []history.Entry) figures {
	report := history.Check(r.expected(), slices.Clone(list))
	for _, v := range report.Violations {
		r.violate(string(v.Rule), "%s", v.Text)
	}
	f := figures{
		Inputs: report.Inputs, Addresses: report.Addresses, Orders: report.Pairs,
		Cancelled: report.Cancelled, Undecided: report.Undecided,
		Moved: r.moves.application, Internal: r.moves.internal, Kills: int(r.fleet.kills.Load()),
	}
	if r.appends != nil {
		f.Appended, f.Refused, f.Doubtful = r.appends.durable, r.appends.refused, r.appends.unknown
	}
	return f
}

// audit holds changelog, disks, offsets and transactions against what the functions said last.
func (r *run) audit(ctx context.Context, list []history.Entry, f *figures) error {
	a := audit.Application{
		ID: r.id, Brokers: r.cluster.addrs(), Partitions: partitions, Egresses: []string{r.out},
		Folders: map[string]string{}, MostTransactions: mostWorkers*transactionsOfWorker + 1, // one is for the try at the start
	}
	for _, in := range r.ingresses {
		a.Ingresses = append(a.Ingresses, in.Topic)
	}
	if r.plan.embedded() {
		a.Ingresses = append(a.Ingresses, appendedTopic(r.id))
	}
	for _, s := range r.fleet.slots {
		if _, err := os.Stat(s.folder); err == nil {
			a.Folders[s.name] = s.folder
		}
	}
	e, err := a.Collect(ctx)
	if err != nil {
		return err
	}
	e.Last = lastSaid(list)
	report := audit.Check(e)
	for _, v := range report.Violations {
		r.violate(string(v.Rule), "%s", v.Text)
	}
	f.Rows, f.States, f.Stores, f.Stored, f.Level = report.Rows, report.States, report.Stores, report.StoredRows, report.Level
	r.note("audited: %+v", *f)
	return nil
}

// transactionsOfWorker is how many transactional ids a worker takes turns with.
const transactionsOfWorker = 2

// lastSaid is what each address said of its states in its last entry.
func lastSaid(list []history.Entry) map[string]load.Memory {
	last := map[string]load.Memory{}
	for _, e := range list {
		if e.Seq >= last[e.Address].Count {
			last[e.Address] = load.Memory{Count: e.Seq, Chain: e.Chain, Note: e.Note}
		}
	}
	return last
}

// summary counts violations by rule, for a line of progress.
func summary(violations []violation) string {
	count := map[string]int{}
	for _, v := range violations {
		count[v.Rule]++
	}
	text := ""
	for _, rule := range slices.Sorted(maps.Keys(count)) {
		text += fmt.Sprintf(" %s×%d", rule, count[rule])
	}
	return text
}
