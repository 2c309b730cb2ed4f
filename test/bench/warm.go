package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// warmInputs go through the bare loop, which makes the smallest and so the most requests of all.
	warmInputs = 100_000
	// warmTransactions are enough for the JVM to have compiled that path too.
	warmTransactions = 1500
	// warmPatience bounds the warm-up's drain.
	warmPatience = 2 * time.Minute
)

// warm puts the broker to work before anything counts. A JVM is several times slower in its first half minute, and
// the bare loop, which everything is compared with, would be measured in it.
func (l *lab) warm(ctx context.Context) error {
	if err := l.warmPlain(ctx); err != nil {
		return fmt.Errorf("warm up the broker: %w", err)
	}
	if err := l.warmTransactions(ctx); err != nil {
		return fmt.Errorf("warm up the broker's transactions: %w", err)
	}
	return nil
}

func (l *lab) warmPlain(ctx context.Context) (err error) {
	w := newWorkload(warmInputs, warmInputs/10)
	in, err := l.backlog(ctx, "warm", w)
	if err != nil {
		return err
	}
	r, err := l.newRun(ctx, systems()[0], job{scenario: "warm", in: in, target: "bench/counter", work: w, partitions: partitions})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.start(); err != nil {
		return err
	}
	return r.await(ctx, warmInputs, warmPatience)
}

func (l *lab) warmTransactions(ctx context.Context) error {
	w := newWorkload(warmTransactions, warmTransactions)
	if err := l.createTopic(ctx, "bench-warm", partitions); err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.brokers), kgo.TransactionalID("bench-warm"), kgo.ProducerLinger(0))
	if err != nil {
		return fmt.Errorf("open the client: %w", err)
	}
	defer cl.Close()
	for range warmTransactions {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		for seq := range w.ids[:20] {
			cl.Produce(ctx, w.record("bench-warm", seq, time.Now()), nil)
		}
		if err := cl.Flush(ctx); err != nil {
			return err
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return err
		}
	}
	return nil
}
