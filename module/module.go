// Package module reads module.yaml files and checks them whole.
//
// It understands every form of Apache Flink Stateful Functions (component documents and the legacy
// documents "1.0", "2.0" and "3.0") and the additions of this project. Nothing outside them is touched but
// the files that a placeholder names and the descriptor sets of 2.x: no broker, no endpoint, no certificate
// is opened. All problems of all files are found in one go, each with its file, line and the way out.
package module

import (
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A Module is everything that the given module files declare, checked and with all defaults filled in.
type Module struct {
	Application Application
	Endpoints   []Endpoint
	Ingresses   []Ingress
	Egresses    []Egress
	// Sinks are the egresses that end in the program's own code.
	Sinks []Sink
	// Brokers are the bootstrap addresses of the application's Kafka cluster, without duplicates.
	Brokers []string
	// Bare says that the parts are not known, see Bare.
	Bare bool
	// Warnings are problems that do not keep the module from running, sorted by position.
	Warnings []Problem
}

// An Application is the document statefun-kafka.v1/application; a module without one has the defaults.
type Application struct {
	// ID names the topics and the consumer group. Default: the consumerGroupId all ingresses share.
	ID string
	// Brokers is the text of the bootstrap servers of the application's cluster as its document gives it; empty: not given.
	Brokers string
	// Partitions of the internal topics, fixed when they are created; 0: as many as the largest ingress topic has.
	Partitions int
	// CommitInterval is a lower bound for the time between two commits; 0: commit as soon as it pays.
	CommitInterval time.Duration
	// StandbyReplicas is how many workers beside its owner keep a copy of a partition's state on their disks.
	StandbyReplicas int
	// GroupProtocol is GroupClassic or GroupConsumer.
	GroupProtocol string
	Limits        Limits
	DeadLetter    DeadLetter
	Position
}

// The protocols of the consumer group.
const (
	// GroupClassic: a worker distributes the partitions, with an eye on whose disk has what; a name keeps its place.
	GroupClassic = "classic"
	// GroupConsumer is KIP-848: the broker distributes them. It knows of no state, so there are no standbys.
	GroupConsumer = "consumer"
)

// What happens when a partition's pending inputs reach Limits.PendingBytes.
const (
	PendingPause      = "pause"       // stop reading the ingresses of that partition
	PendingDeadLetter = "dead-letter" // new inputs go to the dead-letter topic
)

// Limits bound the memory and disk that one worker uses.
type Limits struct {
	// ReadBudgetBytes bounds the inputs read and not yet done, a worker.
	ReadBudgetBytes int64
	// RecordsPerSource bounds the records read above the position of one source partition.
	RecordsPerSource int
	// InputsPerAddress bounds the inputs of one address held in memory; the rest is read from disk.
	InputsPerAddress int
	// PendingBytes bounds the pending inputs of one partition on disk.
	PendingBytes int64
	// PendingFull says what happens at PendingBytes: PendingPause or PendingDeadLetter.
	PendingFull string
	// AnswerBytes bounds the answers read and not yet applied, a worker.
	AnswerBytes int64
	// TransactionBytes and TransactionEffects bound one transaction.
	TransactionBytes   int64
	TransactionEffects int
	// InFlight bounds the calls in flight, a worker.
	InFlight int
	// BatchBytes bounds the request body of one call (one input alone may be larger).
	BatchBytes int64
	// OutboxRows and OutboxBytes bound what waits for other clusters, a worker. Past them reading waits.
	OutboxRows  int
	OutboxBytes int64
	// StateCacheBytes bounds the block cache of the state store, a worker.
	StateCacheBytes int64
}

// DeadLetter says where records go that cannot be processed.
type DeadLetter struct {
	// Topic of the dead-letter records. Default: the application id with "-dead-letter" behind it.
	Topic string
}

// What happens to the inputs of an address when a call has used up its budget or attempts.
const (
	FailureRetry      = "retry"       // park the address and try again with growing pauses
	FailureDeadLetter = "dead-letter" // send the inputs to the dead-letter topic
	FailureSkip       = "skip"        // drop the inputs, with a metric and a log line
)

// An Endpoint serves the functions of a pattern, over HTTP or in this program.
type Endpoint struct {
	Functions Pattern
	// URLPathTemplate is empty in process.
	URLPathTemplate string
	// MaxNumBatchRequests bounds the inputs of one call; 0 or less: no bound.
	MaxNumBatchRequests int
	Transport           Transport
	// MaxAttempts bounds the attempts of one call; 0: only the call budget bounds them.
	MaxAttempts int
	// OnFailure is FailureRetry, FailureDeadLetter or FailureSkip.
	OnFailure string
	// Generation is the protocol that the functions speak.
	Generation protocol.Generation
	// States are those of the one function of a 2.x endpoint; a 3.x function tells its own.
	States []protocol.StateSpec
	Position
}

// The two transports of StateFun differ in time-outs, in what is retried and in redirects. The third is no network:
// the functions are called in this program, and no module file can name it.
const (
	TransportOkHTTP    = "okhttp"
	TransportAsync     = "async"
	TransportInProcess = "in-process"
)

// A Transport says how an endpoint is called.
type Transport struct {
	// Kind is TransportOkHTTP, TransportAsync or TransportInProcess. In process only Call counts of the rest.
	Kind string
	// Call is the budget of one call over all its attempts; Connect bounds the making of a connection. In process a Call
	// of 0 is no bound.
	Call, Connect time.Duration
	// Read and Write bound one read and one write; 0 (always for async): only Call bounds them.
	Read, Write time.Duration
	// PoolSize bounds the idle connections (okhttp) or all connections of a function type (async).
	PoolSize int
	// PoolTTL is the age at which an idle connection is closed; 0 or less: never.
	PoolTTL time.Duration
	// PayloadMaxBytes bounds an answer; 0 (always for okhttp): the caller's own bound applies.
	PayloadMaxBytes int64
	// TrustCACerts, ClientCert, ClientKey and ClientKeyPassword are paths of files; empty: not given.
	TrustCACerts, ClientCert, ClientKey, ClientKeyPassword string
	// FollowRedirects is true for okhttp; async takes a redirect for a failure.
	FollowRedirects bool
}

// An Ingress reads records from topics and routes them to functions.
type Ingress struct {
	ID protocol.TypeName
	// Address is the text of the bootstrap servers, as given.
	Address string
	// Elsewhere are the bootstrap addresses when it is read from another cluster than the application's; nil: from that.
	Elsewhere       []string
	ConsumerGroupID string
	Topics          []IngressTopic
	// AutoOffsetReset is "earliest" or "latest".
	AutoOffsetReset string
	Startup         Startup
	// Routed says that the program's own code makes the messages of the records, of all topics; those have no targets then.
	Routed bool
	// RoutesTo are all targets of a Routed ingress, where its code tells them; empty: only the records do.
	RoutesTo   []protocol.TypeName
	Properties []Property
	Position
}

// An IngressTopic routes the records of one topic: each record becomes one message a target, in list order.
type IngressTopic struct {
	Topic, ValueType string
	Targets          []protocol.TypeName
	// Routes stand in the place of Targets where routers say where records go: one message a route.
	Routes []Route
	// ForwardHeaders says whether the headers of the records and where they lie travel with their messages.
	ForwardHeaders bool
	// Own says that the program itself produces to the topic: the worker creates it, and deletes from it what is done.
	Own     bool
	Invalid InvalidHandling
	Position
}

// A StartupKind says where a fresh application begins to read.
type StartupKind string

// The startup positions of StateFun.
const (
	StartGroupOffsets    StartupKind = "group-offsets"
	StartEarliest        StartupKind = "earliest"
	StartLatest          StartupKind = "latest"
	StartSpecificOffsets StartupKind = "specific-offsets"
	StartDate            StartupKind = "date"
)

// A Startup is where reading begins when nothing is known of a partition yet.
type Startup struct {
	Kind StartupKind
	// Offsets is set for StartSpecificOffsets; a partition that is not in it uses the group's offset.
	Offsets map[TopicPartition]int64
	// Date is set for StartDate; a partition without a record at or after it begins at its end.
	Date time.Time
}

// A TopicPartition names one partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns topic/partition, the form of startupPosition.offsets.
func (t TopicPartition) String() string { return fmt.Sprintf("%s/%d", t.Topic, t.Partition) }

// MarshalText makes a partition a key of JSON.
func (t TopicPartition) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// The delivery semantics of StateFun. Our egress is always transactional, whichever is given.
const (
	SemanticAtLeastOnce = "at-least-once"
	SemanticExactlyOnce = "exactly-once"
	SemanticNone        = "none"
)

// An Egress writes records to topics that the functions name.
type Egress struct {
	ID      protocol.TypeName
	Address string
	// Elsewhere are the bootstrap addresses when it writes to another cluster than the application's; nil: to that.
	Elsewhere []string
	// Semantic is one of the three delivery semantics; it is kept to show it.
	Semantic string
	// TransactionTimeout is what the module asks of the broker; 0: not given.
	TransactionTimeout time.Duration
	Properties         []Property
	Position
}
