// Command greeter-official is a remote function on the official StateFun Go SDK, as users of StateFun have it: it counts how
// often each name came by and sends a greeting with the count to a Kafka topic. The same as examples/greeter-go.
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

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
)

// The names that module.yaml knows.
var (
	greeterType = statefun.TypeNameFrom("example/greeter")
	greets      = statefun.TypeNameFrom("example/greets")
)

// visits is kept by the runtime, one value a name, and comes with each call.
var visits = statefun.ValueSpec{Name: "visits", ValueType: statefun.Int64Type}

// greet runs once for each record; the instance's id is the record's key.
func greet(ctx statefun.Context, _ statefun.Message) error {
	var n int64
	ctx.Storage().Get(visits, &n)
	n++
	ctx.Storage().Set(visits, n)

	name := ctx.Self().Id
	ctx.SendEgress(statefun.KafkaEgressBuilder{
		Target: greets,
		Topic:  "greetings",
		Key:    name,
		Value:  fmt.Appendf(nil, "Hello %s, visit number %d", name, n),
	})
	return nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on; port 0 picks a free one")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := serve(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "greeter-official:", err)
		os.Exit(1)
	}
}

// grace is how long calls that run may take when the program is stopped.
const grace = 5 * time.Second

// serve answers calls until ctx ends, and then finishes those that run.
func serve(ctx context.Context, addr string) error {
	builder := statefun.StatefulFunctionsBuilder()
	err := builder.WithSpec(statefun.StatefulFunctionSpec{
		FunctionType: greeterType,
		States:       []statefun.ValueSpec{visits},
		Function:     statefun.StatefulFunctionPointer(greet),
	})
	if err != nil {
		return fmt.Errorf("register the function: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/statefun", builder.AsHandler())
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
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}
