package module

import (
	"fmt"
	"math"
	"regexp"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The limits of a worker when the module gives none. They sum to a worker of a few hundred MiB.
var defaultLimits = Limits{
	ReadBudgetBytes:    64 << 20,
	RecordsPerSource:   65_536, // one progress row of finished offsets stays below 8 KiB
	InputsPerAddress:   1_000,  // one full call of the default maxNumBatchRequests
	PendingBytes:       1 << 30,
	PendingFull:        PendingPause,
	AnswerBytes:        64 << 20,
	TransactionBytes:   8 << 20,
	TransactionEffects: 20_000,
	InFlight:           1_024,
	BatchBytes:         768 << 10, // below the 1 MiB that a Python function under aiohttp takes, state included
	OutboxRows:         100_000,
	OutboxBytes:        64 << 20,
	StateCacheBytes:    64 << 20,
}

// The largest numbers of partitions and standbys that anybody can mean.
const (
	maxPartitions = 10_000
	maxStandbys   = 10
)

// application reads statefun-kafka.v1/application.
func (r *reader) application(o *object) {
	a := Application{Position: o.at}
	a.ID = read(o, "id", "", parseApplicationID)
	a.Brokers = read(o, "brokers", "", parseBrokers)
	a.Partitions = int(o.number("partitions", 0, span{0, maxPartitions}))
	a.CommitInterval = o.duration("commitInterval", 0)
	a.StandbyReplicas = int(o.number("standbyReplicas", 0, span{0, maxStandbys}))
	a.GroupProtocol = o.oneOf("groupProtocol", GroupClassic, GroupClassic, GroupConsumer)
	a.Limits = r.limits(o.child("limits"))
	if d := o.child("deadLetter"); d != nil {
		a.DeadLetter.Topic = read(d, "topic", "", parseTopic)
		d.done()
	}
	r.declareApplication(a)
}

// declareApplication takes in an application, of a file or of the program.
func (r *reader) declareApplication(a Application) {
	if a.GroupProtocol == GroupConsumer && a.StandbyReplicas > 0 {
		r.report(a.Position, "standbyReplicas does not go with groupProtocol consumer, where the broker distributes the partitions and knows of no state", "use groupProtocol: classic, or no standbys")
	}
	if r.explicit {
		r.report(a.Position, "the application is declared twice, first at "+r.module.Application.where(), "keep one application document")
		return
	}
	r.explicit = true
	r.module.Application = a
}

func (r *reader) limits(o *object) Limits {
	l := defaultLimits
	if o == nil {
		return l
	}
	count := func(key string, otherwise int) int {
		return int(o.number(key, int64(otherwise), span{1, math.MaxInt32}))
	}
	l.ReadBudgetBytes = o.memory("readBudget", l.ReadBudgetBytes)
	l.RecordsPerSource = count("recordsPerSource", l.RecordsPerSource)
	l.InputsPerAddress = count("inputsPerAddress", l.InputsPerAddress)
	l.PendingBytes = o.memory("pending", l.PendingBytes)
	l.PendingFull = o.oneOf("pendingFull", l.PendingFull, PendingPause, PendingDeadLetter)
	l.AnswerBytes = o.memory("answers", l.AnswerBytes)
	l.TransactionBytes = o.memory("transactionBytes", l.TransactionBytes)
	l.TransactionEffects = count("transactionEffects", l.TransactionEffects)
	l.InFlight = count("inFlight", l.InFlight)
	l.BatchBytes = o.memory("batchBytes", l.BatchBytes)
	l.OutboxRows = count("outboxRows", l.OutboxRows)
	l.OutboxBytes = o.memory("outbox", l.OutboxBytes)
	l.StateCacheBytes = o.memory("stateCache", l.StateCacheBytes)
	o.done()
	return l
}

// The longest ending of an internal topic must fit behind the application id in a topic name.
const (
	longestTopic  = 249
	deadLetterEnd = "-dead-letter"
)

var topicLetters = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

func parseTopic(s string) (string, error) {
	if !topicLetters.MatchString(s) || s == "." || s == ".." {
		return "", fmt.Errorf("%q is not a topic name: use letters, digits, dots, underscores and dashes", s)
	}
	if len(s) > longestTopic {
		return "", fmt.Errorf("topic name %q has more than %d characters", s, longestTopic)
	}
	return s, nil
}

// parseApplicationID checks that topics can be named after the id.
func parseApplicationID(s string) (string, error) {
	if !topicLetters.MatchString(s) {
		return "", fmt.Errorf("%q is not an application id: use letters, digits, dots, underscores and dashes, because topics are named after it", s)
	}
	if longest := longestTopic - len(deadLetterEnd); len(s) > longest {
		return "", fmt.Errorf("application id %q has more than %d characters", s, longest)
	}
	return s, nil
}

// OwnTopic is the name of the topic in which a program keeps what it appends to an ingress. The namespace of the id is
// not in it: an application's ingresses that the program fills differ in their names.
func OwnTopic(applicationID string, id protocol.TypeName) string {
	return OwnTopicPrefix(applicationID) + id.Name
}

// OwnTopicPrefix begins the names of all those topics.
func OwnTopicPrefix(applicationID string) string { return applicationID + "-ingress-" }

// internal returns the names of the two topics that only the worker itself may read and write.
func (a Application) internal() []string { return []string{a.ID + "-mailbox", a.ID + "-changelog"} }
