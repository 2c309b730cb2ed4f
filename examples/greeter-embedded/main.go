// Command greeter-embedded is the greeter of examples/greeter-go and its module.yaml as one program: it reads names from a
// Kafka topic, counts how often each came by, and writes greetings to another topic. The runtime is inside it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// visits is kept by the runtime, one value a name.
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

// greeter is the whole application. Ids and types are those of the module, so either can go on where the other has stopped.
func greeter(o embedded.Options) *embedded.App {
	app := embedded.New("greeter", o)
	app.Ingress(embedded.Topics("example/names", statefun.Bytes("example/text"), embedded.ByKey[[]byte]("example/greeter"), "names").FromEarliest())
	app.Function(statefun.Function{Type: "example/greeter", States: []statefun.State{visits}, Invoke: greet})
	app.Egress("example/greets")
	return app
}

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "addresses of the Kafka cluster, with commas")
	dev := flag.Bool("dev", false, "run a development broker in this process, at the first of --brokers")
	state := flag.String("state-dir", "", "folder of the worker's state; default: statefun-data/greeter")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o := embedded.Options{Brokers: strings.Split(*brokers, ","), DevBroker: *dev, StateDir: *state}
	if err := greeter(o).Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "greeter-embedded:", err)
		os.Exit(1)
	}
}
