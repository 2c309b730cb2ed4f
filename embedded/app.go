package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// An App is an application in the making, and then the process' worker of it. Its methods may be called by several
// goroutines.
type App struct {
	id        string
	options   Options
	at        module.Position // of New
	log       *slog.Logger
	appender  *appender
	callbacks *gate         // those of sinks
	begun     chan struct{} // closed when brokers and worker are known
	ended     chan struct{} // closed when Run has ended
	started   atomic.Bool   // was ready once
	brokers   []string      // set before begun is closed, as is worker
	worker    *worker.Worker

	mu    sync.Mutex
	draft *draft // nil once Run was called
}

// New names an application: its topics, its consumer group and its transactions have the id in their names. Nothing
// is opened before Run.
func New(id string, options Options) *App {
	options.Brokers, options.Modules = slices.Clone(options.Brokers), slices.Clone(options.Modules)
	return &App{
		id: id, options: options, at: caller(), log: options.logger(), appender: newAppender(), callbacks: newGate(),
		begun: make(chan struct{}), ended: make(chan struct{}), draft: newDraft(),
	}
}

// declare adds to the application what a call of the builder says.
func (a *App) declare(add func(d *draft, at module.Position)) {
	at := caller()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draft == nil {
		a.log.Error("a part of the application is declared after Run was called, and has no effect", "application", a.id,
			"at", fmt.Sprintf("%s:%d", at.File, at.Line))
		return
	}
	add(a.draft, at)
}

// Egress adds an egress to Kafka topics, which functions name in each record that they send there.
func (a *App) Egress(id statefun.TypeName) {
	a.declare(func(d *draft, at module.Position) {
		parsed, err := protocol.ParseTypeName(string(id))
		if err != nil {
			d.addError(at, "egress", err)
			return
		}
		d.parts.Egresses = append(d.parts.Egresses, module.Egress{ID: parsed, Position: at})
	})
}

// Brokers returns the bootstrap addresses once Run knows them: those of the development broker, if there is one.
func (a *App) Brokers(ctx context.Context) ([]string, error) {
	select {
	case <-a.begun:
		return slices.Clone(a.brokers), nil
	default:
	}
	select {
	case <-a.begun:
		return slices.Clone(a.brokers), nil
	case <-a.ended:
		return nil, fmt.Errorf("brokers of application %s: %w", a.id, ErrStopped)
	case <-ctx.Done():
		return nil, fmt.Errorf("brokers of application %s: Run has not begun: %w", a.id, ctx.Err())
	}
}

var errNotBegun = errors.New("Run has not begun")

// Ready is nil when every partition that this process owns runs; otherwise it says what is waited for.
func (a *App) Ready() error {
	w, err := a.running()
	if err != nil {
		return err
	}
	return w.Ready()
}

// running is the worker while there is one.
func (a *App) running() (*worker.Worker, error) {
	select {
	case <-a.ended: // BEFORE begun, which is closed then too
		return nil, ErrStopped
	default:
	}
	select {
	case <-a.begun:
		return a.worker, nil
	default:
		return nil, errNotBegun
	}
}

// topicOf is the topic of the application's own for an ingress.
func (a *App) topicOf(id statefun.TypeName) string {
	namespace, name, _ := id.Split() // Run has checked it
	return module.OwnTopic(a.id, protocol.TypeName{Namespace: namespace, Name: name})
}
