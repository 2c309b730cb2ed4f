package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// stopOnSignal returns a context that the first SIGINT or SIGTERM ends, which is a clean stop. The second one ends the process
// on the spot: whoever sends it does not want to wait, and nothing is lost either way.
func stopOnSignal(parent context.Context, exit func(int)) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case s := <-signals:
			exit(128 + int(s.(syscall.Signal)))
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
