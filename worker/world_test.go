package worker

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// world is a broker in memory with topics "in" and "out" and a module that routes one to test/f.
type world struct {
	t       *testing.T
	brokers []string
	module  *module.Module
	client  *kgo.Client
	logs    map[string]*topicLog
}

const moduleText = `
kind: statefun-kafka.v1/application
spec:
  id: app
---
kind: io.statefun.endpoints.v2/http
spec:
  functions: test/*
  urlPathTemplate: http://localhost:1/
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: test/in
  address: localhost:1
  consumerGroupId: app
  startupPosition: {type: earliest}
  topics:
    - topic: in
      valueType: test/command
      targets: [test/f]
---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/out
  address: localhost:1
`

func newWorld(t *testing.T, partitions int32) *world {
	t.Helper()
	b, err := broker.Start(broker.Config{Topics: []broker.Topic{{Name: "in", Partitions: partitions}, {Name: "out", Partitions: partitions}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return newWorldAt(t, moduleText, b.Addr())
}

// newWorldAt is a world on brokers that are there already.
func newWorldAt(t *testing.T, module string, brokers ...string) *world {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &world{t: t, brokers: brokers, client: client, module: loadModule(t, module)}
}

func loadModule(t *testing.T, text string) *module.Module {
	t.Helper()
	file := t.TempDir() + "/module.yaml"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := module.Load([]string{file}, module.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) config(dir string) Config {
	level := slog.LevelWarn
	if os.Getenv("WORKER_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return Config{
		Module: w.module, Brokers: w.brokers, StateDir: dir, WorkerID: "w1",
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}

// inProcess is a configuration whose functions, if it has any, serve all endpoints of its module, unless that says itself
// which they serve. An address whose function fails is parked at once.
func inProcess(c Config) Config {
	is := func(e module.Endpoint) bool { return e.Transport.Kind == module.TransportInProcess }
	if c.Functions == nil || slices.ContainsFunc(c.Module.Endpoints, is) {
		return c
	}
	m := *c.Module
	m.Endpoints = slices.Clone(m.Endpoints)
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		e.Transport = module.Transport{Kind: module.TransportInProcess}
		e.URLPathTemplate, e.MaxAttempts = "", max(e.MaxAttempts, 1)
	}
	c.Module = &m
	return c
}

func (w *world) send(key, value string) {
	w.t.Helper()
	if err := w.client.ProduceSync(context.Background(), &kgo.Record{Topic: "in", Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// collect reads n committed records of the topic.
func (w *world) collect(topic string, n int) (records []*kgo.Record) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%d of %d records of %s came", len(records), n, topic)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// run runs a worker until the test ends or stop is called.
func (w *world) run(c Config) (worker *Worker, stop func() error) {
	w.t.Helper()
	worker, err := New(inProcess(c))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	w.t.Cleanup(func() { stop() })
	return worker, stop
}
