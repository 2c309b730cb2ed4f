package doctor

import (
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// Facts are what was read, before any judgement. An error is kept as text beside the fact that it hides.
type Facts struct {
	Application                    string
	Mailbox, Changelog, DeadLetter string
	// Addresses are the bootstrap addresses, for commands that people copy.
	Addresses string
	// SessionTimeout and TransactionTimeout are those of the workers.
	SessionTimeout, TransactionTimeout time.Duration
	// Protocol of the group, module.GroupClassic or module.GroupConsumer.
	Protocol string
	// MaxStop is how long the application may stand still.
	MaxStop time.Duration

	// Unreachable is why no broker could be asked; all but the endpoints and the seeds is empty then.
	Unreachable string
	ClusterID   string
	Seeds       []Seed
	Brokers     []Broker
	// ClusterOperations are what the user may do to the cluster.
	ClusterOperations Operations
	Topics            map[string]*Topic

	// Plan is nil when it could not be made; PlanError says why. Problems are what it refuses.
	Plan      *topics.Plan
	PlanError string
	Problems  []topics.Problem

	// Ingresses and Egresses are topics of this cluster.
	Ingresses, Egresses []string
	// Bare is set when there is no module; IngressesError is why the ingress topics could not be found out.
	Bare           bool
	IngressesError string
	// Elsewhere is what the module has on other clusters.
	Elsewhere []Elsewhere

	Group        Group
	Transactions Transactions
	Clock        Clock
	// Endpoints is nil when they were not asked.
	Endpoints []Endpoint
}

// Seed is one bootstrap address.
type Seed struct {
	Address, ClusterID, Error string
}

// Broker is one broker of the cluster.
type Broker struct {
	ID int32
	// Address is the advertised one.
	Address string
	// Error is why it does not answer there.
	Error string
	// Release is like v4.1, or a guess in more words. A broker does not tell its patch release.
	Release string
	// Requests is the newest version of each request, by its key.
	Requests map[int16]int16
	// Features are the finalized levels.
	Features map[string]int16
	// Settings are the broker's; SettingsError is why they could not be read.
	Settings      map[string]string
	SettingsError string
}

// Operations are what the user may do to a resource, as the brokers say.
type Operations struct {
	// Known is false for a broker that does not tell, and for one that was not asked.
	Known bool
	Bits  int32
}

// Topic is one topic as it is. A name that was asked for and does not exist has Exists false.
type Topic struct {
	Name   string
	Exists bool
	// Error is why nothing is known of it.
	Error      string
	Partitions int
	// Replication and InSync are the least of all partitions; Leaderless counts those without a leader.
	Replication, InSync, Leaderless int
	Operations                      Operations
	Settings                        map[string]string
	SettingsError                   string
	// ProducersError is why the open transactions could not be read.
	ProducersError string
}

// written tells whether the topic is one that transactions of clients write to.
func (t *Topic) written() bool {
	return t.Exists && t.Name != offsetsTopic && t.Name != transactionsTopic
}

// Group is the consumer group of the application.
type Group struct {
	// Error is why it could not be read.
	Error string
	// Asked is false where asking would have made the broker create its topic of groups.
	Asked bool
	State string
	// Kind is classic or consumer where the broker tells, or another kind that has taken the name.
	Kind       string
	Operations Operations
	Members    []Member
}

// Member is one member of the group.
type Member struct {
	ID, Name, Client, Host string
	// Topics that it subscribed to; nil when the group is between two assignments and does not tell.
	Topics []string
	// Strange is why what it says of its state cannot be read, as that of another release.
	Strange string
}

// Transactions are those that are open on the topics.
type Transactions struct {
	Open []OpenTransaction
	// ListError is why they have no transactional ids.
	ListError string
	// DescribeRight tells whether the user may describe transactional ids of this application: yes, no, or empty when
	// there was no way to ask.
	DescribeRight string
}

// OpenTransaction is a transaction on one partition.
type OpenTransaction struct {
	Topic            string
	Partition        int32
	StartOffset      int64
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	// TransactionalID is empty when no coordinator knows the transaction.
	TransactionalID string
	// Age is since its begin by the coordinator, else since its last record.
	Age time.Duration
	// Timeout is its own; 0: not known.
	Timeout time.Duration
}

// Clock is how far this machine's clock is ahead of the cluster's.
type Clock struct {
	// Measured is false when the cluster does not tell its time; Error says why.
	Measured bool
	Error    string
	// Ahead is negative when the machine is behind. It is right to ± Margin.
	Ahead, Margin time.Duration
}

// Endpoint is one place where functions are served.
type Endpoint struct {
	Functions, URL string
	Error          string
	// Skipped says why it was not tried.
	Skipped string
	// TLS is what the handshake showed, empty without TLS.
	TLS string
}

// Settings say what the cluster is held against.
type Settings struct {
	// Module may be a bare one.
	Module *module.Module
	// SessionTimeout and TransactionTimeout of the workers; 0: what a worker takes by itself.
	SessionTimeout, TransactionTimeout time.Duration
	// MaxStop is how long the application may be stopped; 0: three days, a long weekend.
	MaxStop time.Duration
	// Egress topics to look at; a module does not name them.
	Egress []string
	// Partitions is N if it is given on the command line.
	Partitions int32
	// Endpoints says whether to connect to the functions.
	Endpoints bool
}

// The defaults of a worker; a test holds them against the worker's own.
const (
	defaultSessionTimeout     = 6 * time.Second
	defaultTransactionTimeout = 15 * time.Second
	defaultMaxStop            = 72 * time.Hour
)
