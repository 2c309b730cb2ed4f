// Command shoppingcart is a small shop as three remote functions on the Go SDK: users fill carts, carts reserve items
// from stocks, and receipts go to a Kafka topic. Its tests show how functions are tested, alone
// and together.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on; port 0 picks a free one")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := serve(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "shoppingcart:", err)
		os.Exit(1)
	}
}

// handler serves the three functions.
func handler() (*statefun.Handler, error) { return statefun.NewHandler(user, cart, stock) }

// serve answers calls until ctx ends, and then finishes those that run.
func serve(ctx context.Context, addr string) error {
	shop, err := handler()
	if err != nil {
		return fmt.Errorf("make the functions: %w", err)
	}
	shop.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	mux := http.NewServeMux()
	mux.Handle("/statefun", shop)
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
