// Package topics plans, creates and checks the Kafka topics of an application.
//
// An application has three topics of its own. Their settings are part of the exactly-once promise, so they are given when
// the topic is created and checked each time a worker starts:
//
//	<app>-mailbox      N partitions, messages between workers. Its owner deletes what is done; retention never may, or a
//	                   message that waits out a long stop is gone.
//	<app>-changelog    N partitions, compacted. Deleting by age would delete state.
//	<app>-dead-letter  inputs that nobody could process, with the retention of an ordinary topic.
//
// All three take every record that an ingress topic takes, plus the envelope: an input that fits nowhere could never move.
//
// A program that fills an ingress itself has one topic more for it. It is an ingress topic that the worker creates; what was
// appended is promised to be processed, so its settings are checked as those of the mailbox are:
//
//	<app>-ingress-<name>  N partitions when it is created. Its owner deletes what is done; retention never may.
package topics

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
)

// The roles of a topic.
const (
	RoleMailbox    = "mailbox"
	RoleChangelog  = "changelog"
	RoleDeadLetter = "dead-letter"
	RoleIngress    = "ingress"
	RoleEgress     = "egress"
	// RoleOwn is an ingress topic that the program fills, RoleStray one that is on the cluster and not in the module, as
	// when a command is given only the module file of a program.
	RoleOwn   = "own-ingress"
	RoleStray = "own-ingress, not in this module"
)

const (
	// defaultPartitions of an ingress or egress topic that is created here without a count.
	defaultPartitions = 4

	// brokerDefault as a replication factor leaves the choice to the broker (Kafka 2.4 and later).
	brokerDefault = -1

	// defaultProbeTimeout bounds the trial of transactions. The first transaction of a new cluster makes it create the
	// topic of all transactions, which takes a few seconds.
	defaultProbeTimeout = 15 * time.Second

	// defaultDeadLetterRetention gives people two weeks to look at what failed.
	defaultDeadLetterRetention = 14 * 24 * time.Hour
)

// Topic is one topic of the application, as it is or as it would be created.
type Topic struct {
	Name       string
	Partitions int32
	// Replication is the number of copies; -1 leaves it to the broker.
	Replication int16
	// Configs of an existing topic are those that matter here, as found; of another those it is created with.
	Configs map[string]string
	// Role is one of the Role constants. A topic that is both ingress and egress has the role it was first named in.
	Role   string
	Exists bool
}

// Options beat the module.
type Options struct {
	// Partitions is N; 0 is the module's, else that of the existing topics, else the largest ingress topic's.
	Partitions int32
	// Replication of topics that are created; 0 leaves it to the broker.
	Replication int16
	// DeadLetterRetention is for a dead-letter topic that is created; 0 is 14 days.
	DeadLetterRetention time.Duration
	// CreateIngress makes Create create missing ingress topics too; without it a missing one is an error.
	CreateIngress bool
	// IngressPartitions is for ingress topics that are created; 0 is N if given, else 4.
	IngressPartitions int32
	// Egress topics to create when they are missing. A module does not name its egress topics, its functions do.
	Egress []Topic
	// ProbeTimeout bounds the trial of transactions; 0 is 15 s.
	ProbeTimeout time.Duration
}

// Plan is what the application needs on the cluster and what of it is there.
type Plan struct {
	ApplicationID string
	// Partitions is N, the partition count of mailbox and changelog.
	Partitions int32
	// Topics are in the order mailbox, changelog, dead-letter, ingress, own ingress, egress.
	Topics []Topic
	// TransactionVersion is the cluster's level of the transaction protocol: 2 and above from Kafka 4.0 on, 1 for every
	// cluster that has no such level.
	TransactionVersion int
	// TombstoneRetention is how long the changelog keeps a tombstone: a local copy that was level with the changelog
	// longer ago than this may hold rows whose deletion it can no longer learn.
	TombstoneRetention time.Duration
	// Warnings are settings that work and are worth a look.
	Warnings []string

	module     *module.Module
	options    Options
	brokers    []string
	ids        map[string][16]byte
	generation int
	rescaling  bool     // a rescale is incomplete
	strays     []string // see RoleStray
	deleted    []string // ingress topics of a bare module that are not there
}

// New reads the cluster and plans. It returns the plan also when settings are wrong, beside the error that names them all;
// the plan is nil when the cluster could not be read, which may pass.
func New(ctx context.Context, cl *kgo.Client, m *module.Module, opt Options) (*Plan, error) {
	p := &Plan{ApplicationID: m.Application.ID, module: m, options: opt}
	if err := checkName(p.ApplicationID); err != nil {
		return nil, err
	}
	p.brokers, _ = cl.OptValue(kgo.SeedBrokers).([]string)
	if p.options.Replication == 0 {
		p.options.Replication = brokerDefault
	}
	generations, err := FindGenerations(ctx, cl, p.ApplicationID)
	if err != nil {
		return nil, err
	}
	p.generation, p.rescaling = max(1, generations.Current), generations.Rescaling
	p.strays = p.findStrays(generations.Topics)
	state, err := readCluster(ctx, cl, p.names())
	if err != nil {
		return nil, err
	}
	p.TransactionVersion = state.transactionVersion
	problems := p.lay(state)
	noTransactions, err := probeTransactions(ctx, cl, p.ApplicationID, opt.ProbeTimeout)
	if err != nil {
		return nil, err
	}
	return p, errors.Join(problems, noTransactions)
}

// IDs are the topic ids of the topics that exist; a topic that is deleted and created again has a new one.
func (p *Plan) IDs() map[string][16]byte { return p.ids }

// Topic returns the first topic of the role.
func (p *Plan) Topic(role string) (Topic, bool) {
	for _, t := range p.Topics {
		if t.Role == role {
			return t, true
		}
	}
	return Topic{}, false
}

// Incomplete reports whether an ingress topic is missing that Create would not create.
func (p *Plan) Incomplete() bool {
	return !p.options.CreateIngress && slices.ContainsFunc(p.Topics, func(t Topic) bool { return t.Role == RoleIngress && !t.Exists })
}

// MaxMessageBytes is the largest record batch that the topic takes.
func (t Topic) MaxMessageBytes() int { return int(number(t.Configs[maxMessageBytes])) }

// MaxRecordBytes is the largest record batch that mailbox, changelog and dead-letter topic all take.
func (p *Plan) MaxRecordBytes() int32 {
	least := int64(-1)
	for _, t := range p.Topics {
		if !internal(t.Role) {
			continue
		}
		if n := number(t.Configs[maxMessageBytes]); least < 0 || n < least {
			least = n
		}
	}
	return int32(max(least, 0))
}

// Missing are the topics that Create would create.
func (p *Plan) Missing() []Topic {
	return slices.DeleteFunc(slices.Clone(p.Topics), func(t Topic) bool { return t.Exists })
}

// Mailbox is the name of the application's mailbox topic in its first generation.
func Mailbox(applicationID string) string { return applicationID + "-mailbox" }

// Changelog is the name of the application's changelog topic in its first generation.
func Changelog(applicationID string) string { return applicationID + "-changelog" }

// DeadLetterName is the name of the application's dead-letter topic: the module's, else one made from the application id.
func (p *Plan) DeadLetterName() string {
	if name := p.module.Application.DeadLetter.Topic; name != "" {
		return name
	}
	return p.ApplicationID + "-dead-letter"
}

// ingresses are those of this cluster.
func (p *Plan) ingresses() []module.Ingress {
	return slices.DeleteFunc(slices.Clone(p.module.Ingresses), func(in module.Ingress) bool { return in.Elsewhere != nil })
}

// names are all topics to look up, each once.
func (p *Plan) names() []string {
	names := []string{p.MailboxName(), p.ChangelogName(), p.DeadLetterName()}
	for _, in := range p.ingresses() {
		for _, t := range in.Topics {
			names = append(names, t.Topic)
		}
	}
	names = append(names, p.strays...)
	for _, t := range p.options.Egress {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// nameForm is Kafka's rule for topic names, with room for the longest of our endings.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,237}$`)

func checkName(applicationID string) error {
	if applicationID == "" {
		return fmt.Errorf("the application has no id: give one in the application document of the module or with %s", naming.ApplicationID)
	}
	if !nameForm.MatchString(applicationID) {
		return fmt.Errorf("application id %q cannot begin a topic name: use at most 237 letters, digits, dots, dashes and underscores", applicationID)
	}
	return nil
}

func internal(role string) bool {
	return role == RoleMailbox || role == RoleChangelog || role == RoleDeadLetter
}
