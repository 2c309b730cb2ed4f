package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/admin"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// Run runs the application until ctx is done, which is a clean stop: what is applied is committed, records that were
// appended become durable, the partitions are handed over. It returns when all of it has stopped, the development broker too;
// then it returns nil. An error tells all that is wrong with the builder, one line a problem with the file and line of its
// call, or why the application cannot go on; nothing is lost either way. Run may be called once.
func (a *App) Run(ctx context.Context) error {
	a.mu.Lock()
	d := a.draft
	a.draft = nil
	a.mu.Unlock()
	if d == nil {
		return fmt.Errorf("run application %s: Run was called before: make another App", a.id)
	}
	defer close(a.ended)
	defer a.appender.stop() // also when nothing has begun: it answers those that wait
	if err := a.run(ctx, d); err != nil {
		return fmt.Errorf("run application %s: %w", a.id, naming.ForProgram(err))
	}
	return nil
}

func (a *App) run(ctx context.Context, d *draft) error {
	m, err := d.module(a)
	if err != nil {
		return err
	}
	for _, p := range append(m.Warnings, m.Notes()...) {
		a.log.Warn(naming.ForProgram(p).Error())
	}
	if a.options.DevBroker {
		b, local, err := a.startDevBroker(ctx, m)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil // as the worker ends that is stopped at its start
		case err != nil:
			return err
		}
		defer b.Close()
		m = local
	}
	dir, remove, err := a.options.stateDir(a.id)
	if err != nil {
		return fmt.Errorf("make a state folder: %w", err)
	}
	defer remove()
	metrics := newRegistry(a.id, a.options.Registerer)
	defer metrics.close()
	if a.worker, err = a.newWorker(d, m, dir, metrics); err != nil {
		return err
	}
	return a.work(ctx, d, m, metrics)
}

func (a *App) newWorker(d *draft, m *module.Module, dir string, metrics *registry) (*worker.Worker, error) {
	functions, err := invoke(d.functions)
	if err != nil {
		return nil, err
	}
	w, err := worker.New(worker.Config{
		Module: m, Brokers: m.Brokers, ApplicationID: m.Application.ID, StateDir: dir, WorkerID: a.options.WorkerID,
		AcceptOffsetReset: a.options.AcceptOffsetReset, WipeOtherCluster: a.options.DevBroker, CreateTopics: a.options.DevBroker || a.options.CreateTopics,
		Functions: functions, Routes: d.routes, Sinks: d.sinks, Logger: a.log, Registerer: metrics,
	})
	return w, errors.Join(err, metrics.err(a.id))
}

// work runs the worker with what stands beside it.
func (a *App) work(ctx context.Context, d *draft, m *module.Module, metrics *registry) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	endServing, err := a.serve(ctx, metrics, stop)
	if err != nil {
		return err
	}
	if err := a.beginAppends(d, m); err != nil {
		return errors.Join(err, endServing())
	}
	a.brokers = m.Brokers
	close(a.begun)
	appended := make(chan struct{})
	go func() { // waited for below, by appended
		<-working.Done()
		if !a.appender.stop() {
			a.log.Error("a function that was told the end of an append does not return, and is left behind with those that wait for theirs", "application", a.id)
		}
		close(appended)
	}()
	err = a.worker.Run(working)
	stop()
	<-appended
	if a.callbacks.shut(); !a.callbacks.await() {
		a.log.Error("a callback does not return although its context is done, and is left behind", "application", a.id)
	}
	return errors.Join(err, endServing())
}

// serve answers admin requests until end is called, which returns when nothing is served any more. Should the server
// fail before, it stops the rest: nobody could see how a worker without its server does.
func (a *App) serve(ctx context.Context, metrics *registry, stop func()) (end func() error, err error) {
	if a.options.AdminAddr == "" {
		return func() error { return nil }, nil
	}
	server, err := admin.New(admin.Config{
		Addr: a.options.AdminAddr, Gatherer: metrics.gatherer, Logger: a.log,
		Checks: []admin.Check{{Name: "worker", Ready: a.worker.Ready}},
	})
	if err != nil {
		return nil, err
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { // end waits for it
		err := server.Run(serving)
		stop()
		served <- err
	}()
	return func() error {
		cancel()
		return <-served
	}, nil
}

// beginAppends opens the producer if the program appends to anything.
func (a *App) beginAppends(d *draft, m *module.Module) error {
	own := false
	for _, s := range d.sources {
		own = own || s.own
	}
	if !own {
		return nil
	}
	_, writing, err := kafka.ForModule(m, m.Brokers)
	if err != nil {
		return err
	}
	_, batching := a.options.Properties["linger.ms"]
	return a.appender.begin(writing, batching)
}
