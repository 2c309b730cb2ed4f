package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// partitions is the partition count of the topics of one worker.
const partitions = 8

// lab is what all runs share: the broker, the programs, the folder.
type lab struct {
	broker    *realkafka.Broker // nil when the broker was given
	brokers   string
	version   string
	dir       string
	keep      bool   // leave the folder and its logs
	worker    string // path of the worker's binary
	function  string
	floor     string
	embedded  string // path of the program with functions and worker in one process
	profile   string // folder for its profiles; empty: none
	client    *kgo.Client
	admin     *kadm.Client
	runs      int                      // numbers the egress topics
	workloads map[string]string        // name → topic of each backlog written
	startUps  map[string]measuredStart // by system
}

// measuredStart is a start-up with what the checker said about it.
type measuredStart struct {
	startUp
	problems []string
}

// openLab builds the programs and starts a broker.
func openLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp(o.Dir, "bench-")
	if err != nil {
		return nil, fmt.Errorf("make the benchmark's folder: %w", err)
	}
	l := &lab{dir: dir, keep: o.Keep, worker: o.Worker, embedded: o.Embedded, profile: o.Profile, brokers: o.Brokers, version: "given", workloads: map[string]string{}, startUps: map[string]measuredStart{}}
	if err := l.open(ctx, o); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *lab) open(ctx context.Context, o options) error {
	if err := l.build(ctx, o); err != nil {
		return err
	}
	if l.brokers == "" {
		b, err := realkafka.Start(ctx, realkafka.Options{Version: o.Kafka, Dir: filepath.Join(l.dir, "kafka"), Sustained: true})
		if err != nil {
			return err
		}
		l.broker, l.brokers, l.version = b, b.Addr(), b.Version()
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(l.brokers),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(100_000),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return fmt.Errorf("open the client: %w", err)
	}
	l.client, l.admin = cl, kadm.NewClient(cl)
	return nil
}

// build makes the programs that the runs start; a program given by flag is taken as it is.
func (l *lab) build(ctx context.Context, o options) error {
	const module = "github.com/statefun-kafka/statefun-kafka/"
	for _, p := range []struct {
		path *string
		from string
		want bool
	}{
		{&l.worker, "cmd/statefun-kafka", o.wants("worker")},
		{&l.function, "test/bench/function", true},
		{&l.floor, "test/bench/floor", true},
		{&l.embedded, "test/bench/embedded", o.wants(inProcess)},
	} {
		if *p.path != "" || !p.want {
			continue
		}
		*p.path = filepath.Join(l.dir, filepath.Base(p.from))
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", *p.path, module+p.from).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s (run inside the repository): %w\n%s", p.from, err, out)
		}
	}
	return nil
}

// close stops the broker and removes the folder, unless it is to be kept.
func (l *lab) close() error {
	if l.client != nil {
		l.client.Close()
	}
	var err error
	if l.broker != nil {
		err = l.broker.Stop()
	}
	if l.keep {
		fmt.Fprintln(os.Stderr, "kept:", l.dir)
		return err
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// createTopic makes a topic of the benchmark.
func (l *lab) createTopic(ctx context.Context, topic string, partitions int) error {
	if _, err := l.admin.CreateTopic(ctx, int32(partitions), 1, nil, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// backlog returns the topic that holds the workload, written at the first call for that name.
func (l *lab) backlog(ctx context.Context, name string, w *workload) (string, error) {
	if topic, ok := l.workloads[name]; ok {
		return topic, nil
	}
	topic := "bench-in-" + name
	if err := l.createTopic(ctx, topic, partitions); err != nil {
		return "", err
	}
	if err := w.produceAll(ctx, l.client, topic, len(w.ids)); err != nil {
		return "", err
	}
	l.workloads[name] = topic
	return topic, nil
}

// brokerCPU is the processor time that the broker has used so far; 0 when it is not ours.
func (l *lab) brokerCPU() time.Duration {
	if l.broker == nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.broker.PID()))
	if err != nil {
		return 0
	}
	_, cpu, err := parseStat(string(b))
	if err != nil {
		return 0
	}
	return cpu
}

// firstError keeps the first error of many promises.
type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) promise(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *firstError) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
