// Command greeter-go is a remote function on this project's Go SDK: it counts how often each name came by
// and sends a greeting with the count to a Kafka topic.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

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
	if err := statefun.Serve(ctx, *addr, greeter); err != nil {
		log.Fatalln("greeter-go:", err)
	}
}
