package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/doctor"
)

type doctorFlags struct {
	module             moduleFlags
	output             outputFlag
	egress             []string
	partitions         int32
	maxStop            time.Duration
	sessionTimeout     time.Duration
	transactionTimeout time.Duration
	endpoints          bool
	strict             bool
	timeout            time.Duration
}

func newDoctor(p *program) *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check a cluster and a module against what the promises need",
		Long: `Check a cluster and a module against what the promises need, and print what to change.

It looks at brokers, features, replication, limits, topics, rights, clocks, open transactions and the group, and connects once to
each endpoint. Nothing is created or changed, and no function is called. Run it as the user of the workers, so that it
sees the rights that they have.

The exit code is 1 when a promise would not hold. Warnings, and what could not be read, leave it at 0; with --strict a
warning is 1 too. It is 2 for wrong usage or an invalid module.

An application that is a Go program needs no module: with --application-id and --brokers it is checked as far as its
cluster knows it. The first finding of the report says what is left out.`,
		Example: `  statefun-kafka doctor --module module.yaml
  statefun-kafka doctor --module module.yaml --brokers kafka-1:9092,kafka-2:9092 --topic greetings --strict
  statefun-kafka doctor --module module.yaml --output json
  statefun-kafka doctor --application-id shop --brokers kafka:9092     # a Go program's`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), p, flags) },
	}
	flags.module.addForCluster(cmd.Flags())
	flags.output.add(cmd.Flags())
	cmd.Flags().StringSliceVarP(&flags.egress, "topic", "t", nil, "egress topic to check too; may be repeated")
	cmd.Flags().Int32Var(&flags.partitions, "partitions", 0, "partitions of the application; default: the module's, else those of its topics")
	cmd.Flags().DurationVar(&flags.maxStop, "max-stop", 72*time.Hour, "how long the application may be stopped without a loss; held against what topics and brokers keep")
	cmd.Flags().DurationVar(&flags.sessionTimeout, "session-timeout", 0, "session time-out of the workers; default: the module's, else theirs")
	cmd.Flags().DurationVar(&flags.transactionTimeout, "transaction-timeout", 0, "transaction time-out of the workers, where a program that embeds one sets another; default: theirs")
	cmd.Flags().BoolVar(&flags.endpoints, "endpoints", true, "connect to the functions' endpoints")
	cmd.Flags().BoolVar(&flags.strict, "strict", false, "exit with 1 for warnings too")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 60*time.Second, "give up after this time; what was not read by then is unknown")
	return cmd
}

func runDoctor(ctx context.Context, p *program, flags doctorFlags) error {
	asJSON, err := flags.output.json()
	if err != nil {
		return err
	}
	m, err := flags.module.application(p)
	if err != nil {
		return err
	}
	on, err := flags.module.cluster(m)
	if err != nil {
		return err
	}
	clients, _, err := on.settings(p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	facts, err := doctor.Gather(ctx, clients, doctor.Settings{
		Module: m, Egress: flags.egress, Partitions: flags.partitions, MaxStop: flags.maxStop, Endpoints: flags.endpoints,
		SessionTimeout: flags.sessionTimeout, TransactionTimeout: flags.transactionTimeout,
	})
	if err != nil {
		return err
	}
	report := doctor.Judge(facts)
	print := report.Print
	if asJSON {
		print = report.PrintJSON
	}
	if err := print(p.out); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if report.Count(doctor.Broken) > 0 || flags.strict && report.Count(doctor.Warning) > 0 {
		return errReported
	}
	return nil
}
