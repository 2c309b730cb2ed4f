package main

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

// brokerFlags are what the commands broker and dev say of the embedded broker in common.
type brokerFlags struct {
	advertise    string
	dataDir      string
	kafkaVersion string
	topics       topicsValue
}

func (b *brokerFlags) add(flags *pflag.FlagSet) {
	addHostPort(flags, &b.advertise, "advertise", "", "address that clients are told to connect to; default: the listening address")
	flags.StringVar(&b.dataDir, "data-dir", "", "keep the log in this folder; NOT durable: a clean stop keeps it, a kill may tear the last transaction")
	flags.Var(release{&b.kafkaVersion}, "kafka-version", "offer only what this release of Kafka had, like 3.9")
	flags.Var(&b.topics, "topic", "topic that exists from the start, like greetings:4; may be repeated")
}

func (b *brokerFlags) config(p *program, addr string) broker.Config {
	return broker.Config{
		Addr: addr, Advertise: b.advertise, DataDir: b.dataDir, KafkaVersion: b.kafkaVersion, Topics: b.topics.list,
		DefaultPartitions: topicPartitions, Logger: p.log,
	}
}

// nameFlag says with which flag another port is chosen, where that is what an error of the broker asks for.
func nameFlag(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w, with --%s", err, flag)
	}
	return err
}

func newBroker(p *program) *cobra.Command {
	var flags brokerFlags
	var addr string
	var autoCreate bool
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded development broker alone",
		Long: `Run the embedded development broker alone, until a signal ends it.

It speaks the Kafka protocol, so workers and any Kafka client can use it. It is for development:
one node, no authentication, in memory unless --data-dir is given, and not crash-safe even then.`,
		Example: `  statefun-kafka broker --topic names:4 --topic greetings:4
  statefun-kafka broker --addr 127.0.0.1:0                                 # a free port, logged as broker=HOST:PORT
  statefun-kafka broker --addr 0.0.0.0:9092 --advertise my-laptop:9092     # for containers and other machines`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := flags.config(p, addr)
			c.AutoCreate = autoCreate
			b, err := broker.Start(c)
			if err != nil {
				return nameFlag(err, "addr")
			}
			defer b.Close()
			<-cmd.Context().Done()
			p.log.Info("stopped")
			return nil
		},
	}
	addHostPort(cmd.Flags(), &addr, "addr", "127.0.0.1:9092", "address to listen on; port 0 takes a free one")
	cmd.Flags().BoolVar(&autoCreate, "auto-create", false, "create a topic when a client that allows it asks for one that does not exist")
	flags.add(cmd.Flags())
	return cmd
}
