package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Config is what a worker is made of. Module, Brokers and StateDir are required.
type Config struct {
	Module *module.Module
	// Brokers are the bootstrap addresses.
	Brokers []string
	// ApplicationID names topics, group and transactions; empty: the module's.
	ApplicationID string
	// StateDir is the worker's folder.
	StateDir string
	// WorkerID is the name that outlives the process; empty: the one kept in the folder.
	WorkerID string
	// AcceptOffsetReset takes a group offset that somebody changed for the truth instead of refusing it.
	AcceptOffsetReset bool
	// WipeOtherCluster empties a state folder that was filled from another cluster, as a development broker that
	// lives in memory makes it each time.
	WipeOtherCluster bool
	// CreateTopics creates missing ingress topics, and egress topics that functions name as far as the broker creates
	// topics that are asked for, for development.
	CreateTopics bool
	// Functions serves the endpoints of the module that are called in process; those of other transports never.
	Functions invoker.Function
	// Sinks take what functions send to the sinks of the module, after the commit; each of these needs one.
	Sinks map[protocol.TypeName]outbox.Target
	// Routes make the messages of the ingresses that the module calls routed, by their ids.
	Routes map[protocol.TypeName]ingress.Route
	// SessionTimeout is how long the group waits for a silent worker; 0: the module's session.timeout.ms, else 6 s.
	SessionTimeout time.Duration
	// LookEvery is how often the ingress topics are asked for partitions that they have got; 0: 30 s.
	LookEvery time.Duration
	// TransactionTimeout is how long the broker leaves a silent transaction open; 0: 15 s.
	TransactionTimeout time.Duration

	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// FileSystem is where StateDir lies; nil: the disk.
	FileSystem state.FileSystem
	// ClientOptions are added to every client that is opened.
	ClientOptions []kgo.Opt
}

const (
	defaultSessionTimeout     = 6 * time.Second
	defaultTransactionTimeout = 15 * time.Second

	// heartbeatInterval is short because a planned move of a partition waits for one.
	heartbeatInterval = 250 * time.Millisecond

	// rebalanceTimeout bounds how long others wait for this worker's running commit when they join.
	rebalanceTimeout = 45 * time.Second

	// stopTimeout bounds a clean stop, also when no broker answers: lastCommitTimeout, leaveTimeout, and a second for what
	// ends then. Whoever runs the worker waits for little longer.
	stopTimeout = 8 * time.Second
	// lastCommitTimeout bounds the last commits of a clean stop.
	lastCommitTimeout = 6 * time.Second
	// leaveTimeout bounds how long a stop waits for the group to take note.
	leaveTimeout = time.Second
)

// nameRule keeps a name safe in transactional ids, offset metadata and file names.
var nameRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func (c *Config) complete() error {
	var problems []error
	if c.Module == nil {
		problems = append(problems, errors.New("worker: no module"))
	}
	if len(c.Brokers) == 0 {
		problems = append(problems, fmt.Errorf("worker: no brokers: give %s or an address in the module's ingresses", naming.Brokers))
	}
	if c.StateDir == "" {
		problems = append(problems, errors.New("worker: no state folder"))
	}
	if c.Module != nil {
		problems = append(problems, c.checkRoutes())
	}
	if c.ApplicationID == "" && c.Module != nil {
		c.ApplicationID = c.Module.Application.ID
	}
	if !nameRule.MatchString(c.ApplicationID) {
		problems = append(problems, fmt.Errorf("application id %q: want 1 to 100 letters, digits, '.', '_' or '-'", c.ApplicationID))
	}
	if c.WorkerID != "" && !nameRule.MatchString(c.WorkerID) {
		problems = append(problems, fmt.Errorf("worker id %q: want 1 to 100 letters, digits, '.', '_' or '-'", c.WorkerID))
	}
	if c.TransactionTimeout == 0 {
		c.TransactionTimeout = defaultTransactionTimeout
	}
	if c.LookEvery == 0 {
		c.LookEvery = lookEvery
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	return errors.Join(problems...)
}
