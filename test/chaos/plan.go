package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// plan is all that is drawn from the seed of a run before it begins.
type plan struct {
	Seed     uint64         `json:"seed"`
	Workers  int            `json:"workers"`
	Standbys int            `json:"standbyReplicas"`
	Faults   []plannedFault `json:"faults"`
}

// plannedFault is one fault of a plan.
type plannedFault struct {
	Kind string `json:"kind"`
	// AfterMs is when it begins, from the start of the load.
	AfterMs int64 `json:"afterMs"`
	// Draw seeds whatever else is random about it: which worker, how long.
	Draw uint64 `json:"draw"`
}

func (f plannedFault) after() time.Duration { return time.Duration(f.AfterMs) * time.Millisecond }

const fewestFaults, mostFaults = 2, 4

// draw makes the plan of a run. The first kind of fault follows from the seed's place among its neighbours, so that as
// many runs as there are kinds have each of them at least once.
func draw(seed uint64, kinds []fault, load time.Duration) plan {
	random := rand.New(rand.NewPCG(seed, 0xc4a05))
	p := plan{Seed: seed, Workers: 1 + random.IntN(3), Standbys: random.IntN(2)}
	for i := range fewestFaults + random.IntN(mostFaults-fewestFaults+1) {
		k := kinds[seed%uint64(len(kinds))]
		if i > 0 {
			k = kinds[random.IntN(len(kinds))]
		}
		p.Workers = max(p.Workers, k.workers)
		after := load/10 + time.Duration(random.Int64N(int64(load*7/10)))
		p.Faults = append(p.Faults, plannedFault{Kind: k.name, AfterMs: after.Milliseconds(), Draw: random.Uint64()})
	}
	slices.SortFunc(p.Faults, func(a, b plannedFault) int { return int(a.AfterMs - b.AfterMs) })
	return p
}

func (p plan) String() string {
	var parts []string
	for _, f := range p.Faults {
		parts = append(parts, fmt.Sprintf("%s@%.1fs", f.Kind, f.after().Seconds()))
	}
	workers := fmt.Sprintf("%d workers", p.Workers)
	if p.Standbys > 0 {
		workers += " with a standby"
	}
	return workers + ", " + strings.Join(parts, ", ")
}

// fault is a kind of fault.
type fault struct {
	name, text string
	workers    int // how many there must be at least
	do         func(*hazard)
}

// catalogue are all kinds of faults.
var catalogue = []fault{
	{"kill", "kill -9 a worker and start it again", 1, kill},
	{"kill-twice", "kill -9 a worker, and again while it starts", 1, killTwice},
	{"kill-takeover", "kill -9 or stop a worker, and kill -9 another that is taking its partitions over", 2, killTakeover},
	{"stall", "SIGSTOP a worker past its session time-out, then SIGCONT", 1, stall},
	{"rolling", "stop and start every worker, one after the other", 2, rolling},
	{"scale", "start workers up to 4, then go down to 2", 1, scale},
	{"wipe", "kill -9 a worker, delete its disk, start it again", 1, wipe},
	{"old-disk", "put a worker's disk back from an older copy", 1, oldDisk},
	{"disk-full", "let a worker run, or start, on a disk that is full", 2, diskFull},
	{"same-id", "start a second worker with the same --worker-id", 1, sameID},
	{"copied-disk", "start a second worker on a copy of a worker's disk", 1, copiedDisk},
	{"fn-kill", "kill -9 the function process", 1, functionKill},
	{"fn-slow", "functions take up to 1.5 s longer", 1, functionSlow},
	{"fn-hang", "functions do not answer", 1, functionHang},
	{"fn-twice", "functions carry calls out and answer too late or not at all, so that they answer twice", 1, functionTwice},
	{"broker-kill", "kill -9 the broker and start it again", 1, brokerKill},
	{"broker-restart", "stop the broker cleanly and start it again", 1, brokerRestart},
	{"net-down", "no worker reaches the broker, up to 30 s; connections break, or their bytes vanish", 1, netDown},
	{"net-cut", "one worker does not reach the broker, past its session time-out", 1, netCut},
	{"net-break", "all connections break, several times", 1, netBreak},
}

// chooseFaults are the kinds of a comma separated list, or all.
func chooseFaults(list string) ([]fault, error) {
	if list == "" {
		return catalogue, nil
	}
	var chosen []fault
	for _, name := range strings.Split(list, ",") {
		at := slices.IndexFunc(catalogue, func(f fault) bool { return f.name == strings.TrimSpace(name) })
		if at < 0 {
			return nil, fmt.Errorf("--faults: no fault is called %q; --list shows them", name)
		}
		chosen = append(chosen, catalogue[at])
	}
	return chosen, nil
}
