package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// system is one thing that can be measured.
type system struct {
	Name  string
	Title string
	// Remote: it calls the functions of test/bench/function, so that their process runs beside it.
	Remote bool
	// Peer names the folder of test/bench/peers that builds and runs it.
	Peer string
	// Fleet: several of it share the work, so that it runs the scenarios about that.
	Fleet bool
	// skip names the scenarios that it cannot run or that would say nothing.
	skip []string
	// patience is how long one drain may take.
	patience time.Duration
	// most bounds the inputs of a drain for a system that would take minutes over the whole; 0: no bound.
	most    int
	command func(*run) (*exec.Cmd, error)
}

// plain is the floor that all ratios refer to.
const plain = "floor"

// inProcess is the system whose functions are in the worker's process.
const inProcess = "embedded"

// systems are all that can be measured, in the order of the tables.
func systems() []system {
	const minutes = 3 * time.Minute
	return []system{
		{Name: plain, Title: "bare loop", Remote: true, patience: minutes, command: floorCommand(1, 1_000)},
		{Name: "floor-10k", Title: "bare loop, 10,000 read ahead", Remote: true, patience: minutes,
			skip: []string{"start", "latency-2000", "latency-200"}, command: floorCommand(1000, 10_000)},
		{Name: "floor-100k", Title: "bare loop, 100,000 read ahead", Remote: true, patience: minutes,
			skip: []string{"start", "latency-2000", "latency-200"}, command: floorCommand(1000, 100_000)},
		{Name: "worker", Title: "statefun-kafka", Remote: true, Fleet: true, patience: minutes, command: workerCommand},
		{Name: inProcess, Title: "statefun-kafka, in process", patience: minutes, command: embeddedCommand},
		{Name: "statefun", Title: "Flink StateFun 3.3", Remote: true, Peer: "statefun", patience: minutes, command: peerCommand},
		{Name: "streams", Title: "Kafka Streams 4.1", Peer: "streams", patience: minutes, skip: []string{"hops"}, command: peerCommand},
		{Name: "restate", Title: "Restate 1.7", Peer: "restate", patience: minutes, most: 50_000, skip: []string{"distinct", "hops", "latency-2000"},
			command: peerCommand},
	}
}

func (s system) runs(q scenario) bool {
	if q.Name == insideName && s.Name != inProcess {
		return false
	}
	return !slices.Contains(s.skip, q.Name) && (s.Fleet || !q.Fleet)
}

func floorCommand(batch, readAhead int) func(*run) (*exec.Cmd, error) {
	return func(r *run) (*exec.Cmd, error) {
		linger := 5 * time.Millisecond
		if r.perSecond > 0 {
			linger = 0 // Nothing to collect when the line is idle: the floor of latency.
		}
		return exec.Command(r.lab.floor, "--brokers", r.lab.brokers, "--topic", r.in, "--endpoint", r.endpoint,
			"--target", r.target, "--batch", strconv.Itoa(batch), "--read-ahead", strconv.Itoa(readAhead),
			"--linger", linger.String()), nil
	}
}

func workerCommand(r *run) (*exec.Cmd, error) {
	module, err := r.writeModule(manyInputs, "", "")
	if err != nil {
		return nil, err
	}
	return exec.Command(r.lab.worker, "run", "--module", module, "--brokers", r.lab.brokers,
		"--state-dir", filepath.Join(r.dir, "state"), "--admin-addr", "127.0.0.1:0", "--worker-id", "bench"), nil
}

func embeddedCommand(r *run) (*exec.Cmd, error) {
	args := []string{"--brokers", r.lab.brokers, "--app", r.name, "--topic", r.in, "--egress-topic", r.out, "--target", r.target,
		"--state-dir", filepath.Join(r.dir, "state")}
	if r.lab.profile != "" {
		args = append(args, "--profile", filepath.Join(r.lab.profile, r.name))
	}
	return exec.Command(r.lab.embedded, append(args, r.flags...)...), nil
}

// peerCommand runs a peer's script; what it has to know is in the environment.
func peerCommand(r *run) (*exec.Cmd, error) {
	module, err := r.writeModule(manyInputs, "", "")
	if err != nil {
		return nil, err
	}
	script, err := peerScript(r.system.Peer, "run.sh")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(script)
	cmd.Env = append(os.Environ(),
		"BENCH_BROKERS="+r.lab.brokers, "BENCH_IN="+r.in, "BENCH_OUT="+r.out,
		"BENCH_DIR="+r.dir, "BENCH_MODULE="+module, "BENCH_APP="+r.name)
	return cmd, nil
}

// manyInputs is how many inputs one call may carry where nothing else is asked.
const manyInputs = 1000

// moduleText is the module.yaml of a run, the same for the worker and for StateFun.
const moduleText = `kind: io.statefun.endpoints.v2/http
spec:
  functions: bench/*
  urlPathTemplate: ENDPOINT
  maxNumBatchRequests: BATCH
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: bench/in
  address: BROKERS
  consumerGroupId: APP
  startupPosition:
    type: earliest
  topics:
    - topic: IN
      valueType: bench/record
      targets:
        - TARGET
PROPERTIES---
kind: io.statefun.kafka.v1/egress
spec:
  id: bench/out
  address: BROKERS
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 60s
`

// writeModule writes the run's module.yaml and returns its path. batch is how many inputs a call may carry, properties
// are lines of the ingress, documents follow behind everything.
func (r *run) writeModule(batch int, properties, documents string) (string, error) {
	path := filepath.Join(r.dir, "module.yaml")
	text := strings.NewReplacer("ENDPOINT", r.endpoint, "BROKERS", r.lab.brokers, "APP", r.name, "IN", r.in,
		"TARGET", r.target, "BATCH", strconv.Itoa(batch), "PROPERTIES", properties).Replace(moduleText) + documents
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("write the module: %w", err)
	}
	return path, nil
}
