package embedded

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// Options say where an application runs. All of them are optional, except that it needs Brokers, DevBroker or a module that
// names brokers.
type Options struct {
	// Brokers are the bootstrap addresses of the Kafka cluster, whatever address a module gives for it.
	Brokers []string
	// DevBroker starts a development broker in this process, which stands for every address of the application: at the first
	// of Brokers when there is one, else at a free port of loopback. It is in memory: what it held is gone when Run ends.
	DevBroker bool
	// CreateTopics creates missing ingress topics, and egress topics that functions write to as far as the broker creates
	// topics that are asked for (auto.create.topics.enable), for development. With
	// DevBroker it is always so.
	CreateTopics bool
	// Properties are settings of Kafka clients by their Java names, such as security.protocol.
	Properties map[string]string

	// Modules are module.yaml files, or folders with some, that are part of the application beside what the program declares.
	Modules []string
	// Getenv looks up the names of ${NAME} in modules; nil means os.LookupEnv.
	Getenv func(name string) (string, bool)

	// StateDir is the folder of the worker's state, a cache of the changelog topic. Empty: statefun-data/ID, and with
	// DevBroker a folder that is removed at the end, or by the next such run if the process is killed. Each process needs one of its own.
	StateDir string
	// WorkerID is a name that is the same after a restart and no other worker's; empty: one kept in the state folder.
	WorkerID string
	// AcceptOffsetReset accepts that somebody has changed the offsets of the application's consumer group, or that records were
	// deleted unread, and reads from there; without it Run ends with an error that says so.
	AcceptOffsetReset bool
	// AdminAddr is the host:port of health, readiness and metrics, with port 0 for a free one; the address is logged as
	// admin=HOST:PORT. Empty: none.
	AdminAddr string

	// Logger takes the log; nil means text on standard error.
	Logger *slog.Logger
	// Registerer takes the metrics, with the label application, until Run ends; nil means a registry of the application's own,
	// which AdminAddr shows.
	Registerer prometheus.Registerer

	// Partitions of the application's state, fixed when its topics are created; 0: as many as the largest ingress topic has.
	Partitions int
	// StandbyReplicas is how many workers beside its owner keep a copy of a partition's state.
	StandbyReplicas int
	// CommitInterval is the least time between two commits; 0: commit as soon as it pays.
	CommitInterval time.Duration
	// GroupProtocol is classic, the default, or consumer for KIP-848.
	GroupProtocol string
	// Limits bound memory and disk; of those that are 0 the default holds.
	Limits *module.Limits
}

// application is what the options say in place of an application document; nil when they say nothing, so that a module
// may have one.
func (o *Options) application(at module.Position) *module.Application {
	if o.Partitions == 0 && o.StandbyReplicas == 0 && o.CommitInterval == 0 && o.GroupProtocol == "" && o.Limits == nil {
		return nil
	}
	a := &module.Application{
		Partitions: o.Partitions, StandbyReplicas: o.StandbyReplicas, CommitInterval: o.CommitInterval,
		GroupProtocol: o.GroupProtocol, Position: at,
	}
	if o.Limits != nil {
		a.Limits = *o.Limits
	}
	return a
}

func (o *Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return o.Logger
}

func (o *Options) getenv() func(string) (string, bool) {
	if o.Getenv == nil {
		return os.LookupEnv
	}
	return o.Getenv
}

// stateDir settles the folder of the state; remove takes it away when it is for this run only.
func (o *Options) stateDir(id string) (dir string, remove func(), err error) {
	switch {
	case o.StateDir != "":
		return o.StateDir, func() {}, nil
	case !o.DevBroker:
		return filepath.Join("statefun-data", id), func() {}, nil
	}
	return scratch(id)
}
