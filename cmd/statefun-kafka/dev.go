package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/broker"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

type devFlags struct {
	module            moduleFlags
	worker            workerFlags
	broker            brokerFlags
	addr              string
	ingressPartitions int32
}

func newDev(p *program) *cobra.Command {
	var flags devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a worker and a broker for it in one process",
		Long: `Run a worker and an embedded broker for it in one process, for trying functions out.

The broker stands for every address in the module. It creates the ingress topics of the module, and an egress topic when
a function first writes to it. Other programs may use it too: its address is logged as broker=HOST:PORT.

It is in memory: what it held is gone at the end, and the state folder is wiped at the next start to match. When functions do not
answer, statefun-kafka doctor says, under endpoints, whether they are reached.`,
		Example: `  statefun-kafka dev --module module.yaml
  statefun-kafka dev --module module.yaml --topic greetings:4
  statefun-kafka dev --module module.yaml --broker-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0   # free ports, both logged`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), p, flags) },
	}
	flags.module.addWithoutBrokers(cmd.Flags())
	flags.worker.add(cmd.Flags(), "", "folder of the worker's state; default: ./statefun-data-dev/APPLICATION")
	flags.broker.add(cmd.Flags())
	addHostPort(cmd.Flags(), &flags.addr, "broker-addr", "127.0.0.1:9092", "address for the broker to listen on; port 0 takes a free one")
	cmd.Flags().Int32Var(&flags.ingressPartitions, "ingress-partitions", 0, "partitions of the ingress topics; default: the module's for the application, else 4")
	return cmd
}

func runDev(ctx context.Context, p *program, flags devFlags) error {
	flags.module.brokers, flags.module.oneCluster = []string{flags.addr}, true // beats what the module says; the port is settled below
	m, err := flags.module.load(p)
	if err != nil {
		return err
	}
	c := flags.broker.config(p, flags.addr)
	c.AutoCreate = true
	b, err := broker.Start(c)
	if err != nil {
		return nameFlag(err, "broker-addr")
	}
	defer b.Close()
	m = kafka.WithoutSecurity(m) // the embedded broker asks for none
	m.Brokers = []string{b.Addr()}
	if flags.worker.stateDir == "" {
		// Not the default of run: that folder may hold the state of a worker on a real Kafka, and is not for wiping.
		flags.worker.stateDir = filepath.Join("statefun-data-dev", m.Application.ID)
	}
	if err := createTopics(ctx, p, m, flags.ingressPartitions); err != nil {
		return err
	}
	return runWorker(ctx, p, flags.worker.adminAddr, flags.worker.config(worker.Config{
		Module: m, Brokers: m.Brokers, CreateTopics: true, WipeOtherCluster: true,
	}))
}

// createTopics makes the topics before the worker starts, so that other programs can produce as soon as the broker is there.
func createTopics(ctx context.Context, p *program, m *module.Module, ingressPartitions int32) error {
	cl, err := target{brokers: m.Brokers, module: m}.reader(p)
	if err != nil {
		return err
	}
	defer cl.Close()
	plan, err := topics.New(ctx, cl, m, topics.Options{CreateIngress: true, IngressPartitions: ingressPartitions})
	if err != nil {
		return err
	}
	return plan.Create(ctx, cl)
}
