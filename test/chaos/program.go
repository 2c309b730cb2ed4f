package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// The names of what an embedded program has beside the command's application.
const (
	sinkName     = "e2e.load/sink"
	appendedName = "e2e.load/appended"
	// targetsHeader says which functions get an appended record.
	targetsHeader = "targets"
)

// ownFunctions are called in the program; the function process has those of the rest of the namespace.
var ownFunctions = []string{"a", "c"}

// The files of a run by which its processes are spoken to, and speak.
const (
	moodFile      = "mood"      // of functions and callbacks in the process
	appendingFile = "appending" // there while programs are to append
	sinkFile      = "sink.log"  // what callbacks got, of all processes in one order
)

// program is a worker as a program of its own on package embedded, which lives in one process of a run.
type program struct {
	id, dir, url, appends string
	seed                  uint64
	number                int // of the process
	rate                  float64
	options               embedded.Options
	module, level         string
	brokers               string
}

// serveProgram is the program.
func serveProgram(arguments []string) error {
	p, err := parseProgram(arguments)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	sink, err := openSink(filepath.Join(p.dir, sinkFile), strings.TrimSuffix(filepath.Base(p.appends), appendsSuffix), p.mood)
	if err != nil {
		return err
	}
	appended := embedded.Go(appendedName, load.Commands, route)
	a, err := newAppender(p, appended)
	if err != nil {
		return err
	}
	app := p.app(appended, sink)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		a.feed(ctx)
	}()
	err = app.Run(ctx)
	cancel() // the feeder's too, when Run ends by itself
	<-fed
	return err
}

func parseProgram(arguments []string) (p program, err error) {
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	flags.StringVar(&p.id, "application-id", "", "id of the application")
	flags.StringVar(&p.dir, "dir", "", "folder of the run")
	flags.StringVar(&p.url, "functions", "", "URL of the remote functions")
	flags.StringVar(&p.appends, "appends", "", "file of what becomes of appended records")
	flags.StringVar(&p.module, "module", "", "module with the application's document")
	flags.StringVar(&p.brokers, "brokers", "", "bootstrap addresses")
	flags.StringVar(&p.level, "log-level", "info", "level of the log")
	flags.StringVar(&p.options.StateDir, "state-dir", "", "folder of the state")
	flags.StringVar(&p.options.WorkerID, "worker-id", "", "name of the worker; empty: the one in the folder")
	flags.Uint64Var(&p.seed, "seed", 0, "seed of the run")
	flags.Float64Var(&p.rate, "rate", 0, "appended records a second")
	if err := flags.Parse(arguments); err != nil {
		return p, err
	}
	if p.number, err = processNumber(p.appends); err != nil {
		return p, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(p.level)); err != nil {
		return p, fmt.Errorf("read the log level: %w", err)
	}
	p.options.Brokers, p.options.Modules = strings.Split(p.brokers, ","), []string{p.module}
	p.options.AdminAddr = "127.0.0.1:0"
	p.options.Properties = map[string]string{"session.timeout.ms": fmt.Sprint(sessionTimeout.Milliseconds())}
	p.options.Logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return p, nil
}

// app is the application: the command's, with two of three functions in the process, and with what only a program can have.
func (p *program) app(appended *embedded.GoIngress[load.Command], sink *sink) *embedded.App {
	app := embedded.New(p.id, p.options)
	for _, in := range ingresses(p.id) {
		var targets []statefun.TypeName
		for _, name := range in.Targets {
			targets = append(targets, load.Namespace+"/"+statefun.TypeName(name))
		}
		id := statefun.TypeName(load.Namespace + "/" + strings.TrimPrefix(in.Topic, p.id+"-"))
		app.Ingress(embedded.Topics(id, load.Commands, embedded.ByKey[load.Command](targets...), in.Topic).FromEarliest())
	}
	app.Ingress(appended)
	functions := load.Functions{Egress: egressName, Topic: outTopic(p.id), Sink: sinkName, FailureRate: failureRate, Now: time.Now}
	for _, f := range functions.InProcess(ownFunctions...) {
		f.Invoke = p.moody(f.Invoke)
		app.Function(f, embedded.CallTimeout(callBudget))
	}
	app.Remote(load.Namespace+"/*", p.url, embedded.CallTimeout(callBudget), embedded.ConnectTimeout(time.Second))
	app.Egress(egressName)
	embedded.Sink(app, sinkName, load.Entries, sink.deliver)
	return app
}

// appendedTopic is the topic of the program's own ingress.
func appendedTopic(id string) string {
	namespace, name, _ := strings.Cut(appendedName, "/")
	return module.OwnTopic(id, protocol.TypeName{Namespace: namespace, Name: name})
}

// route sends an appended record to the functions that its header names.
func route(r embedded.Record[load.Command], to *embedded.Router) error {
	targets, found := r.Header(targetsHeader)
	if !found {
		return fmt.Errorf("it has no header %s", targetsHeader)
	}
	for name := range strings.SplitSeq(string(targets), ",") {
		to.Send(statefun.TypeName(load.Namespace+"/"+name).At(r.Key), r.TypedValue())
	}
	return nil
}

// mood is that of the run's functions now.
func (p *program) mood() string {
	mood, _ := os.ReadFile(filepath.Join(p.dir, moodFile))
	return string(mood)
}

// lostInProcessOf is how many messages there are to one that is handled in vain, when answers are lost. They are more than
// lostOf because one such message loses the whole call.
const lostInProcessOf = 20

// moody lets a function in the process behave as the mood says: it takes longer, or waits for the end of its context, or
// does all its work and then panics, or answers when nobody waits for it any more.
func (p *program) moody(invoke func(*statefun.Context, statefun.Message) error) func(*statefun.Context, statefun.Message) error {
	return func(ctx *statefun.Context, m statefun.Message) error {
		switch mood := p.mood(); {
		case mood == moodSlow:
			if !process.Pause(ctx, rand.N(slowest)) {
				return ctx.Err()
			}
		case mood == moodHang:
			<-ctx.Done()
			return ctx.Err()
		case mood == moodTwice && rand.IntN(lostInProcessOf) == 0:
			err := invoke(ctx, m)
			if rand.IntN(2) == 0 {
				panic("a panic behind all effects")
			}
			process.Pause(context.WithoutCancel(ctx), callBudget+rand.N(callBudget))
			return err
		}
		return invoke(ctx, m)
	}
}
