// Command statefun-kafka runs stateful functions on Kafka: it reads the flags and the module, starts what a command needs, and
// turns a signal into a clean stop.
//
// Each command is in a file of its own. A command returns an error and prints nothing of it; execute prints it and chooses the
// exit code: 0 a clean end, 1 a failure while running, 2 wrong usage or an invalid module.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

// The exit codes. A second signal ends the process with 128 and the signal's number, as a shell does.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, release := stopOnSignal(context.Background(), os.Exit)
	code := execute(ctx, program{in: os.Stdin, out: os.Stdout, err: os.Stderr, lookupEnv: os.LookupEnv}, os.Args[1:])
	release()
	os.Exit(code)
}

// program is the outside world of a command, so that tests run commands inside their own process.
type program struct {
	in        io.Reader
	out, err  io.Writer
	lookupEnv func(string) (string, bool)
	log       *slog.Logger // set before a command runs, from the flags
	// word makes an error name what its reader can set: flags and the module.
	word func(error) error
}

// errReported ends a command whose output has said already what is wrong.
var errReported = errors.New("reported")

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, p program, args []string) int {
	running := false // the command line was understood
	p.word = naming.ForCommand
	root := newRoot(&p, &running)
	root.SetArgs(args)
	cmd, err := misread(root, args)
	if err == nil {
		cmd, err = root.ExecuteContextC(ctx)
	}
	if err == nil {
		return exitOK
	}
	var usage usageError
	var invalid module.Errors
	if !errors.Is(err, errReported) {
		fmt.Fprintln(p.err, "statefun-kafka:", p.word(err))
	}
	switch {
	case !running || errors.As(err, &usage):
		fmt.Fprintf(p.err, "see '%s --help'\n", cmd.CommandPath())
		return exitUsage
	case errors.As(err, &invalid):
		return exitUsage
	}
	return exitFailure
}

func newRoot(p *program, running *bool) *cobra.Command {
	var logs logFlags
	root := &cobra.Command{
		Use:   "statefun-kafka",
		Short: "Stateful functions on Kafka",
		Long: `Stateful functions on Kafka: one worker process, Kafka beside it, and your functions behind HTTP.

A module.yaml says which topics feed which functions and where the functions are served.
Every flag may be given as an environment variable too: --state-dir is STATEFUN_STATE_DIR.
A flag beats the variable, the variable beats the module.`,
		Example: `  statefun-kafka dev --module module.yaml                         # worker and broker in one process
  statefun-kafka send --module module.yaml ada=hello              # a record to the ingress
  statefun-kafka tail --module module.yaml --topic greetings      # what the functions answer
  statefun-kafka run --module module.yaml --brokers kafka:9092    # a worker on a real Kafka`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := readEnvironment(cmd.Flags(), p.lookupEnv); err != nil {
				return err
			}
			if err := checkFlags(cmd.Flags()); err != nil {
				return err
			}
			log, err := logs.logger(p.err)
			if err != nil {
				return err
			}
			p.log = log
			*running = true
			return nil
		},
	}
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagFault)
	logs.add(root.PersistentFlags())
	root.AddCommand(newRun(p), newDev(p), newBroker(p), newValidate(p), newTopics(p), newRescale(p), newSend(p), newTail(p), newDoctor(p), newVersion(p))
	return root
}
