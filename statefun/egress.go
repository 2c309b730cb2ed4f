package statefun

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// The type names under which the records of the two egress kinds travel.
const (
	kafkaRecordType   TypeName = "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord"
	kinesisRecordType TypeName = "type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord"
)

// An EgressRecord can be sent to an egress: a [KafkaRecord], a [KinesisRecord], or a [TypedValue] for an egress of
// another kind.
type EgressRecord interface {
	// egressValue is the record as it travels; it may use the memory of scratch until the next record.
	egressValue(scratch *[]byte) (TypedValue, error)
}

// A KafkaRecord is a record for a Kafka egress. An empty Key means that it has none. Value must not be nil: the protocol
// has no word for a tombstone. Headers, and a Timestamp that is not zero, reach the record if the
// runtime knows the headers' dialect; others pass over them.
type KafkaRecord struct {
	Topic     string
	Key       string
	Value     []byte
	Headers   []Header
	Timestamp time.Time
}

// A KinesisRecord is a record for a Kinesis egress of runtimes that have one. ExplicitHashKey may be empty.
type KinesisRecord struct {
	Stream          string
	PartitionKey    string
	ExplicitHashKey string
	Value           []byte
}

var (
	errNoTopic        = errors.New("a Kafka record needs a topic")
	errNoKafkaValue   = errors.New("a Kafka record needs a value that is not nil: the protocol has no tombstones")
	errNoStream       = errors.New("a Kinesis record needs a stream")
	errNoPartitionKey = errors.New("a Kinesis record needs a partition key")
	errNoKinesisValue = errors.New("a Kinesis record needs a value that is not nil")
)

// egressValue encodes a KafkaProducerRecord: 1 key, 2 value_bytes, 3 topic, 4 headers.
func (r KafkaRecord) egressValue(scratch *[]byte) (TypedValue, error) {
	if err := r.check(); err != nil {
		return TypedValue{}, err
	}
	headers := r.Headers
	if !r.Timestamp.IsZero() {
		stamp := strconv.AppendInt(nil, r.Timestamp.UnixMilli(), 10)
		headers = append(headers[:len(headers):len(headers)], Header{timestampHeader, stamp})
	}
	b := appendText((*scratch)[:0], 1, r.Key)
	b = appendText(b, 2, r.Value)
	b = appendText(b, 3, r.Topic)
	for i := range headers {
		b = headers[i].append(b, headersField)
	}
	*scratch = b
	return TypedValue{typename: kafkaRecordType, encoded: b}, nil
}

func (r *KafkaRecord) check() error {
	switch {
	case r.Topic == "":
		return errNoTopic
	case r.Value == nil:
		return errNoKafkaValue
	}
	for i := range r.Headers {
		if err := checkText("header key", r.Headers[i].Key); err != nil {
			return err
		}
	}
	return errors.Join(checkText("topic", r.Topic), checkText("key", r.Key))
}

// egressValue encodes a KinesisEgressRecord: 1 partition_key, 2 value_bytes, 3 stream, 4 explicit_hash_key.
func (r KinesisRecord) egressValue(scratch *[]byte) (TypedValue, error) {
	switch {
	case r.Stream == "":
		return TypedValue{}, errNoStream
	case r.PartitionKey == "":
		return TypedValue{}, errNoPartitionKey
	case r.Value == nil:
		return TypedValue{}, errNoKinesisValue
	}
	err := errors.Join(checkText("stream", r.Stream), checkText("partition key", r.PartitionKey),
		checkText("explicit hash key", r.ExplicitHashKey))
	if err != nil {
		return TypedValue{}, err
	}
	b := appendText((*scratch)[:0], 1, r.PartitionKey)
	b = appendText(b, 2, r.Value)
	b = appendText(b, 3, r.Stream)
	b = appendText(b, 4, r.ExplicitHashKey)
	*scratch = b
	return TypedValue{typename: kinesisRecordType, encoded: b}, nil
}

func (v TypedValue) egressValue(*[]byte) (TypedValue, error) { return v, nil }

func checkText(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("the %s %q is not UTF-8", what, s)
	}
	return nil
}
