// Package program is the load's application as a program on package embedded, which takes the flags of the command: tests run
// it in its place.
package program

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
)

// Functions are those that are called in the process; the module's endpoint has the others.
var Functions = []string{"a", "c"}

// RunIfAsked is the whole life of a process that was started as embedded ARGUMENTS, as the command is as run ARGUMENTS. What
// functions write goes to the egress and the topic that the environment names.
func RunIfAsked() {
	if len(os.Args) < 2 || os.Args[1] != Mode {
		return
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "embedded:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	// Mode is the first argument.
	Mode = "embedded"
	// EgressEnv and TopicEnv say where entries go to.
	EgressEnv, TopicEnv = "E2E_EGRESS", "E2E_TOPIC"
	// FailureRate is the share of calls that fail before they do anything.
	FailureRate = 0.003
)

func run(arguments []string) error {
	o := embedded.Options{Logger: slog.New(slog.NewJSONHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet(Mode, flag.ContinueOnError)
	flags.Func("module", "module.yaml", func(s string) error {
		o.Modules = append(o.Modules, s)
		return nil
	})
	flags.Func("brokers", "bootstrap addresses", func(s string) error {
		o.Brokers = strings.Split(s, ",")
		return nil
	})
	id := flags.String("application-id", "", "id of the application")
	flags.StringVar(&o.StateDir, "state-dir", "", "folder of the state")
	flags.StringVar(&o.AdminAddr, "admin-addr", "", "where to show health and metrics")
	flags.StringVar(&o.WorkerID, "worker-id", "", "name of the worker")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	app := embedded.New(*id, o)
	f := load.Functions{Egress: os.Getenv(EgressEnv), Topic: os.Getenv(TopicEnv), FailureRate: FailureRate, Now: time.Now}
	for _, function := range f.InProcess(Functions...) {
		app.Function(function)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return app.Run(ctx)
}
