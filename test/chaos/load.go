package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// loadTick is how often the load adds records; a burst has burstFactor times as many.
const (
	loadTick    = 20 * time.Millisecond
	burstFactor = 25
	burstOneIn  = 100
)

// feed produces roots until feeding ends, then what the last ones need, and waits until the broker has them all.
func (r *run) feed(feeding, ctx context.Context) error {
	random := rand.New(rand.NewPCG(r.plan.Seed, 3))
	var mu sync.Mutex
	var failed error
	produce := func(root load.Root) {
		r.produce(ctx, root, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	share := float64(r.options.Rate) * loadTick.Seconds()
	for due := share; process.Pause(feeding, loadTick); due += share {
		if random.IntN(burstOneIn) == 0 {
			due += burstFactor * share
		}
		for ; due >= 1; due-- {
			produce(r.generator.Next())
		}
	}
	for r.generator.Owes() {
		produce(r.generator.Next())
	}
	if err := r.cluster.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush the load: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	r.note("the load is over: %d inputs", len(r.generator.Inputs))
	return failed
}

func (r *run) produce(ctx context.Context, root load.Root, done func(error)) {
	record := &kgo.Record{
		Topic: root.Ingress.Topic, Partition: root.Partition, Key: []byte(root.Key), Value: root.Command.Encode(),
	}
	r.cluster.client.Produce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			done(fmt.Errorf("produce the load: %w", err))
		}
	})
}

// entries collects what a read_committed consumer sees on the egress topic.
type entries struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	list []history.Entry
	got  map[delivery]history.Entry
	last time.Time // when the last one came
	err  error
}

// delivery is an input at an address: a record with several targets is one input to each.
type delivery struct{ input, address string }

func readEntries(brokers []string, topic string) (*entries, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("open a reader of %s: %w", topic, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &entries{client: client, cancel: cancel, done: make(chan struct{}), got: map[delivery]history.Entry{}}
	go func() {
		defer close(e.done)
		for ctx.Err() == nil {
			e.add(client.PollFetches(ctx).Records())
		}
	}()
	return e, nil
}

func (e *entries) add(records []*kgo.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range records {
		var entry history.Entry
		if err := json.Unmarshal(r.Value, &entry); err != nil {
			e.err = fmt.Errorf("an egress record is not an entry: %w: %.100q", err, r.Value)
			continue
		}
		e.list = append(e.list, entry)
		e.got[delivery{entry.Input, entry.Address}] = entry
		e.last = time.Now()
	}
}

func (e *entries) close() {
	e.cancel()
	<-e.done
	e.client.Close()
}

// all is what was seen so far, in the order of arrival.
func (e *entries) all() ([]history.Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[:len(e.list):len(e.list)], e.err
}

// came tells whether an input has an entry.
func (e *entries) came(id, address string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, came := e.got[delivery{id, address}]
	return came
}

// missing are the inputs among those that must be processed that have no entry, and how long nothing has come.
func (e *entries) missing(inputs []history.Input) (missing []history.Input, quiet time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, in := range inputs {
		if in.Never || in.Canceller != "" {
			continue
		}
		if _, came := e.got[delivery{in.ID, in.Address}]; !came {
			missing = append(missing, in)
		}
	}
	return missing, time.Since(e.last)
}

// lastDue is when the last message is due that may have been cancelled too late.
func (e *entries) lastDue(inputs []history.Input) (due time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := map[string]int64{}
	for d, entry := range e.got {
		sent[d.input] = entry.At
	}
	for _, in := range inputs {
		at, known := sent[in.Parent]
		if !known || in.Canceller == "" {
			continue
		}
		if d := time.UnixMilli(at).Add(in.Delay); d.After(due) {
			due = d
		}
	}
	return due
}
