package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/statefun-kafka/statefun-kafka/admin"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// stopTimeout is when a worker that was told to stop is left behind. It is below the ten seconds that supervisors are promised,
// and above what a worker allows itself.
const stopTimeout = 9 * time.Second

// workerFlags are what the commands run and dev say of the worker in common.
type workerFlags struct {
	stateDir          string
	adminAddr         string
	workerID          string
	acceptOffsetReset bool
}

func (w *workerFlags) add(flags *pflag.FlagSet, stateDir, stateDirUsage string) {
	flags.StringVar(&w.stateDir, "state-dir", stateDir, stateDirUsage)
	addHostPort(flags, &w.adminAddr, "admin-addr", "127.0.0.1:9090", "address of health, readiness and metrics; port 0 takes a free one")
	flags.StringVar(&w.workerID, "worker-id", "", "name of this worker, the same after a restart and no other worker's; default: one kept in the state folder")
	flags.BoolVar(&w.acceptOffsetReset, "accept-offset-reset", false, "accept that somebody changed the group's offsets, and read from there")
}

func newRun(p *program) *cobra.Command {
	var mod moduleFlags
	var flags workerFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a worker",
		Long: `Run a worker until a signal ends it.

SIGTERM or Ctrl-C stops it cleanly: it commits what is done and leaves the group, within ten seconds, and does not wait
for functions that are being called. A second signal ends it on the spot. Nothing is lost either way.

Workers of one application share its partitions. Each needs a state folder of its own.`,
		Example: `  statefun-kafka run --module module.yaml
  statefun-kafka run --module module.yaml --brokers kafka-1:9092,kafka-2:9092 --state-dir /var/lib/statefun --worker-id worker-0
  STATEFUN_MODULE=modules/ STATEFUN_ADMIN_ADDR=0.0.0.0:9090 statefun-kafka run`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := mod.load(p)
			if err != nil {
				return err
			}
			return runWorker(cmd.Context(), p, flags.adminAddr, flags.config(worker.Config{Module: m, Brokers: m.Brokers}))
		},
	}
	mod.add(cmd.Flags())
	flags.add(cmd.Flags(), "./statefun-data", "folder of the worker's state; a cache of the changelog topic, may be deleted while no worker runs")
	return cmd
}

func (w *workerFlags) config(c worker.Config) worker.Config {
	c.StateDir, c.WorkerID, c.AcceptOffsetReset = w.stateDir, w.workerID, w.acceptOffsetReset
	return c
}

// runWorker runs a worker with its admin server, which answers until the worker has ended.
func runWorker(ctx context.Context, p *program, adminAddr string, c worker.Config) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c.Logger, c.Registerer = p.log, registry
	w, err := worker.New(c)
	if err != nil {
		return usageError{err} // nothing is opened yet: it is what the flags and the module say
	}
	server, err := admin.New(admin.Config{
		Addr: adminAddr, Gatherer: registry, Logger: p.log,
		Checks: []admin.Check{{Name: "worker", Ready: w.Ready}},
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	served, worked := make(chan error, 1), make(chan error, 1)
	go func() {
		err := server.Run(serving)
		stop() // nobody could see how a worker without its server does
		served <- err
	}()
	go func() { worked <- w.Run(working) }()
	err = awaitStop(working, worked, stopTimeout)
	endServing()
	return errors.Join(err, <-served)
}

// awaitStop waits for the end, but after ctx is done not longer than the limit.
func awaitStop(ctx context.Context, ended <-chan error, limit time.Duration) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return fmt.Errorf("the worker did not stop within %s and is left behind; nothing is lost, its open transaction ends by its time-out", limit)
	}
}
