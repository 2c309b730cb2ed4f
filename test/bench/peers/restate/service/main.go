// Command service is the benchmark's counter as a virtual object of Restate.
//
// Restate reads Kafka but does not write to it: the handler produces by itself, inside a journaled step, so that a
// retry after a crash may write a record again (at least once).
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/encoding"
	"github.com/restatedev/sdk-go/server"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if err := serve(os.Args[1], os.Getenv("BENCH_BROKERS"), os.Getenv("BENCH_OUT")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen, broker, topic string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))
	if err != nil {
		return fmt.Errorf("open the client: %w", err)
	}
	defer cl.Close()
	record := func(ctx restate.ObjectContext, value []byte) (restate.Void, error) {
		count, err := restate.Get[int64](ctx, "count")
		if err != nil {
			return restate.Void{}, err
		}
		count++
		restate.Set(ctx, "count", count)
		binary.BigEndian.PutUint64(value, uint64(count))
		key := []byte(restate.Key(ctx))
		return restate.Void{}, restate.RunVoid(ctx, func(step restate.RunContext) error {
			return cl.ProduceSync(step, &kgo.Record{Key: key, Value: value}).FirstErr()
		})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	object := restate.NewObject("counter").
		Handler("record", restate.NewObjectHandler(record, restate.WithInputCodec(encoding.BinaryCodec)))
	quiet := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})
	return server.NewRestate().WithLogger(quiet, true).Bind(object).Start(ctx, listen)
}
