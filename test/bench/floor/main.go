// Command floor is the bare loop that the worker is measured against: it reads records, calls the same function
// over net/http with one call in flight per address, and writes what the function sends.
//
// State lives in a map and goes along in each call. Nothing is durable, nothing is transactional, a crash loses
// everything: what is left is the least that any runtime for these functions has to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// settings are the command's flags.
type settings struct {
	brokers, topic, endpoint, target string
	batch, readAhead, concurrency    int
	linger                           time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.brokers, "brokers", "", "address of one broker")
	flag.StringVar(&s.topic, "topic", "bench-in", "topic to read from its start")
	flag.StringVar(&s.endpoint, "endpoint", "", "URL of the functions")
	flag.StringVar(&s.target, "target", "bench/counter", "function type of each record")
	flag.IntVar(&s.batch, "batch", 1, "inputs of one address that a call carries at most")
	flag.IntVar(&s.readAhead, "read-ahead", 1000, "records read that no call carries yet, at most")
	flag.IntVar(&s.concurrency, "concurrency", 64, "calls in flight")
	flag.DurationVar(&s.linger, "linger", 5*time.Millisecond, "how long the producer collects a batch")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, s); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	target, err := protocol.ParseTypeName(s.target)
	if err != nil {
		return fmt.Errorf("read the target: %w", err)
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.brokers),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ProducerLinger(s.linger),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000),
	)
	if err != nil {
		return fmt.Errorf("open the client: %w", err)
	}
	defer cl.Close()
	q := newQueues(s.readAhead, s.batch)
	g, ctx := errgroup.WithContext(ctx)
	context.AfterFunc(ctx, q.close)
	g.Go(func() error { return consume(ctx, cl, q, target) })
	c := newCaller(s.endpoint, s.concurrency, q, func(r *kgo.Record) {
		cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "produce to %s: %v\n", r.Topic, err)
			}
		})
	})
	for range s.concurrency {
		g.Go(func() error { return c.run(ctx) })
	}
	return g.Wait()
}

func consume(ctx context.Context, cl *kgo.Client, q *queues, target protocol.TypeName) error {
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of the run, not a fault
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			argument := protocol.AppendTypedValue(nil, "bench/record", r.Value)
			if !q.add(protocol.Address{Type: target, ID: string(r.Key)}, protocol.AppendInvocation(nil, nil, argument), fromTopic) {
				return nil
			}
		}
	}
}
