// Command greeter-go is a remote function on this project's Go SDK: it counts how often each name came by
// and sends a greeting with the count to a Kafka topic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// visits is kept by the runtime, one value a name, and comes with each call.
var visits = statefun.Value[int64]("visits")

// greet runs once for each record; the instance's id is the record's key.
func greet(ctx *statefun.Context, _ statefun.Message) error {
	n, err := visits.Get(ctx)
	if err != nil {
		return err
	}
	n++
	visits.Set(ctx, n)

	name := ctx.Self().ID
	ctx.Egress("example/greets", statefun.KafkaRecord{
		Topic: "greetings",
		Key:   name,
		Value: fmt.Appendf(nil, "Hello %s, visit number %d", name, n),
	})
	return nil
}

// greeter has the names that module.yaml knows.
var greeter = statefun.Function{Type: "example/greeter", States: []statefun.State{visits}, Invoke: greet}

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on; port 0 picks a free one")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := serve(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "greeter-go:", err)
		os.Exit(1)
	}
}

// serve answers calls until ctx ends, and then finishes those that run.
func serve(ctx context.Context, addr string) error {
	handler, err := statefun.NewHandler(greeter)
	if err != nil {
		return fmt.Errorf("make the function: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/statefun", handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	fmt.Printf("listening=%s\n", listener.Addr())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", addr, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
