package egress

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Why a topic does not take a record. The set is fixed, so that it can label metrics.
const (
	UnknownTopic   = "unknown-topic"
	NotAuthorized  = "not-authorized"
	OwnTopic       = "own-topic"
	TooLarge       = "too-large"
	KeyRequired    = "key-required"
	RefusedByTopic = "refused-by-topic"
	InvalidRecord  = "invalid-record"
)

// A Refusal says that a topic does not take a record.
type Refusal struct {
	Topic string
	// Reason is one of the constants above.
	Reason string
	// Detail says what is wrong and the way out; it wraps the broker's error, if there was one.
	Detail error
}

// Error names the topic, what is wrong and the way out.
func (r *Refusal) Error() string { return fmt.Sprintf("egress topic %q: %v", r.Topic, r.Detail) }

// Unwrap returns the detail.
func (r *Refusal) Unwrap() error { return r.Detail }

// blame says what a produce error was given for.
type blame uint8

const (
	blameNone   blame = iota // the producer, the transaction or the cluster: no record's fault
	blameTopic               // every record for that topic
	blameSize                // the record's size, or its batch's
	blameRecord              // this record
)

// blameOf sorts the errors that a broker, or the client in its place, gives for a record. An error that is not
// known to be the record's is not taken for one: the same answer is then simply tried again.
func blameOf(err error) blame {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return blameSize
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.InvalidTopicException),
		errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID),
		errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.UnsupportedForMessageFormat),
		errors.Is(err, kerr.UnsupportedCompressionType):
		return blameTopic
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp), errors.Is(err, kerr.CorruptMessage):
		return blameRecord
	}
	return blameNone
}

// refusal explains a topic's error.
func refusal(topic string, err error) *Refusal {
	r := &Refusal{Topic: topic, Reason: RefusedByTopic}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		r.Reason = UnknownTopic
		r.Detail = fmt.Errorf("the topic does not exist: create it or correct the name in the function (%w)", err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		r.Reason = NotAuthorized
		r.Detail = fmt.Errorf("the worker's user may not write to it: grant it Write and Describe on the topic (%w)", err)
	default:
		r.Detail = fmt.Errorf("the broker refuses its records: check the topic's settings and the cluster's policies (%w)", err)
	}
	return r
}

func ownTopic(topic string) *Refusal {
	return &Refusal{Topic: topic, Reason: OwnTopic,
		Detail: errors.New("it belongs to the application itself: send to a topic of its own")}
}

func tooLarge(topic string, size, limit int) *Refusal {
	return &Refusal{Topic: topic, Reason: TooLarge,
		Detail: fmt.Errorf("the record has %d bytes, the topic takes %d: raise the topic's max.message.bytes (and max.request.size of the egress) or send less", size, limit)}
}

func keyRequired(topic string) *Refusal {
	return &Refusal{Topic: topic, Reason: KeyRequired,
		Detail: errors.New("the topic is compacted and takes only records with a key: send one, or change its cleanup.policy")}
}
