// Command shoppingcart is a small shop as three remote functions on the Go SDK: users fill carts, carts reserve items
// from stocks, and receipts go to a Kafka topic. Its tests show how functions are tested, alone
// and together.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// functions are all that the program serves.
var functions = []statefun.Function{user, cart, stock}

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "address to listen on; port 0 picks a free one")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := statefun.Serve(ctx, *addr, functions...); err != nil {
		log.Fatalln("shoppingcart:", err)
	}
}
