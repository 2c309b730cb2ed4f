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
	Fleet    string         `json:"fleet"`
}

// The kinds of workers that a run has: the command, or programs on package embedded. Which of them it is follows from the seed
// too, unless it is said.
const (
	fleetCommand  = "command"
	fleetEmbedded = "embedded"
	fleetBoth     = "both" // as the seed says
)

func (p plan) embedded() bool { return p.Fleet == fleetEmbedded }

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

// draw makes the plan of a run on so many brokers. The first kind of fault follows from the seed's place among its
// neighbours, so that as many runs as there are kinds have each of them at least once. On several brokers it is one that
// needs them, and half of the others are too.
func draw(seed uint64, kinds []fault, load time.Duration, brokers int) plan {
	random := rand.New(rand.NewPCG(seed, 0xc4a05))
	p := plan{Seed: seed, Workers: 1 + random.IntN(3), Standbys: random.IntN(2), Fleet: fleetCommand}
	// By a draw of its own: neither kind of worker is to have every second kind of fault.
	if rand.New(rand.NewPCG(seed, 0xf1ee7)).IntN(2) == 0 {
		p.Fleet = fleetEmbedded
	}
	kinds = fitting(kinds, brokers)
	special := slices.DeleteFunc(slices.Clone(kinds), func(f fault) bool { return f.brokers < brokers })
	if brokers == 1 || len(special) == 0 {
		special = kinds
	}
	for i := range fewestFaults + random.IntN(mostFaults-fewestFaults+1) {
		k := special[seed%uint64(len(special))]
		switch {
		case i > 0 && brokers > 1 && random.IntN(2) == 0:
			k = special[random.IntN(len(special))]
		case i > 0:
			k = kinds[random.IntN(len(kinds))]
		}
		p.Workers = max(p.Workers, k.workers)
		after := load/10 + time.Duration(random.Int64N(int64(load*7/10)))
		p.Faults = append(p.Faults, plannedFault{Kind: k.name, AfterMs: after.Milliseconds(), Draw: random.Uint64()})
	}
	slices.SortFunc(p.Faults, func(a, b plannedFault) int { return int(a.AfterMs - b.AfterMs) })
	return p
}

// fitting are the kinds that can fall on so many brokers.
func fitting(kinds []fault, brokers int) []fault {
	return slices.DeleteFunc(slices.Clone(kinds), func(f fault) bool { return f.brokers > brokers })
}

func (p plan) String() string {
	var parts []string
	for _, f := range p.Faults {
		parts = append(parts, fmt.Sprintf("%s@%.1fs", f.Kind, f.after().Seconds()))
	}
	workers := fmt.Sprintf("%d workers", p.Workers)
	if p.embedded() {
		workers = fmt.Sprintf("%d embedded workers", p.Workers)
	}
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
	brokers    int // how many there must be at least; 0 means any
}

// catalogue are all kinds of faults.
var catalogue = []fault{
	{"kill", "kill -9 a worker and start it again", 1, kill, 0},
	{"kill-twice", "kill -9 a worker, and again while it starts", 1, killTwice, 0},
	{"kill-takeover", "kill -9 or stop a worker, and kill -9 another that is taking its partitions over", 2, killTakeover, 0},
	{"stall", "SIGSTOP a worker past its session time-out, then SIGCONT", 1, stall, 0},
	{"rolling", "stop and start every worker, one after the other", 2, rolling, 0},
	{"scale", "start workers up to 4, then go down to 2", 1, scale, 0},
	{"wipe", "kill -9 a worker, delete its disk, start it again", 1, wipe, 0},
	{"old-disk", "put a worker's disk back from an older copy", 1, oldDisk, 0},
	{"disk-full", "let a worker run, or start, on a disk that is full", 2, diskFull, 0},
	{"same-id", "start a second worker with the same --worker-id", 1, sameID, 0},
	{"copied-disk", "start a second worker on a copy of a worker's disk", 1, copiedDisk, 0},
	{"fn-kill", "kill -9 the function process", 1, functionKill, 0},
	{"fn-slow", "functions take up to 1.5 s longer", 1, functionSlow, 0},
	{"fn-hang", "functions do not answer", 1, functionHang, 0},
	{"fn-twice", "functions carry calls out and answer too late or not at all, so that they answer twice", 1, functionTwice, 0},
	{"broker-kill", "kill -9 a broker and start it again", 1, brokerKill, 0},
	{"broker-restart", "stop a broker cleanly and start it again", 1, brokerRestart, 0},
	{"net-down", "no worker reaches a broker, up to 30 s; connections break, or their bytes vanish", 1, netDown, 0},
	{"net-cut", "one worker reaches no broker, past its session time-out", 1, netCut, 0},
	{"net-break", "all connections break, several times", 1, netBreak, 0},
	{"leader-kill", "kill -9 the broker that leads a partition of the application, and start it again", 1, leaderKill, 3},
	{"coordinator-kill", "kill -9 the broker that has the group or transactions, and start it again", 1, coordinatorKill, 3},
	{"broker-stall", "SIGSTOP a broker, mostly until it has lost what it led, then SIGCONT", 1, brokerStall, 3},
	{"broker-rolling", "stop and start every broker, one after the other", 1, brokerRolling, 3},
	{"leaders-elect", "let other brokers lead half of all partitions, several times, by preferred-leader elections", 1, leadersElect, 3},
	{"leaders-reassign", "take half of all partitions from the brokers that lead them, and give them back", 1, leadersReassign, 3},
	{"net-part", "one worker does not reach one of the brokers", 1, partWay, 3},
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
