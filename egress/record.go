// Package egress turns what functions send out of the application into Kafka records, and knows beforehand
// whether a topic will take one.
package egress

import (
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Encode returns the record that a function sends, without a partition. An empty key means no key; the value is
// never absent, so a tombstone cannot be sent. The record's value is a view of m.
func Encode(m protocol.EgressMessage) (*kgo.Record, error) {
	typename, _, value, err := protocol.ParseTypedValue(m.Argument)
	if err != nil {
		return nil, fmt.Errorf("egress %s: %w", m.Egress, err)
	}
	if !protocol.IsKafkaProducerRecord(typename) {
		return nil, fmt.Errorf("egress %s takes values of type %s, not %q: send it with the SDK's Kafka egress message",
			m.Egress, protocol.KafkaProducerRecordType, typename)
	}
	p, err := protocol.ParseKafkaProducerRecord(value)
	if err != nil {
		return nil, fmt.Errorf("egress %s: %w", m.Egress, err)
	}
	if p.Topic == "" {
		return nil, fmt.Errorf("egress %s: the record names no topic", m.Egress)
	}
	if !legalTopic(p.Topic) {
		return nil, fmt.Errorf("egress %s: %.300q is not a legal topic name: use 1 to %d letters, digits, dots, underscores and hyphens",
			m.Egress, p.Topic, maxTopicName)
	}
	r := &kgo.Record{Topic: p.Topic, Value: p.Value}
	if p.Key != "" {
		r.Key = unsafe.Slice(unsafe.StringData(p.Key), len(p.Key)) // nobody writes to it
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	if err := setHeaders(r, p.Headers); err != nil {
		return nil, fmt.Errorf("egress %s: %w", m.Egress, err)
	}
	return r, nil
}

// setHeaders gives the record its headers. The one that names a timestamp becomes the record's own, so that a function
// which passes on what it got keeps the time too; of several the last counts, as with Kafka's headers.
func setHeaders(r *kgo.Record, headers []protocol.KafkaHeader) error {
	if len(headers) == 0 {
		return nil
	}
	r.Headers = make([]kgo.RecordHeader, 0, len(headers))
	for _, h := range headers {
		switch h.Key {
		case protocol.TimestampKey:
		case protocol.TopicKey, protocol.PartitionKey, protocol.OffsetKey: // of the record that it came with
			continue
		default:
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
			continue
		}
		millis, err := strconv.ParseInt(string(h.Value), 10, 64)
		if err != nil || millis < 0 {
			return fmt.Errorf("header %s is %.40q: it sets the record's timestamp, so write milliseconds since 1970 in decimal digits, or leave it out",
				protocol.TimestampKey, h.Value)
		}
		r.Timestamp = time.UnixMilli(millis)
	}
	return nil
}

// Partition returns the one of n partitions for a record with this key, as Kafka's default partitioner does.
// Records without a key go by the salt; one salt for many records keeps their batches large.
func Partition(key []byte, n int32, salt uint32) int32 {
	if key == nil {
		return int32(salt % uint32(n))
	}
	return int32(protocol.KeyHash(key) % uint32(n))
}

// maxTopicName is Kafka's limit: a folder named topic-partition must fit a file name.
const maxTopicName = 249

// legalTopic reports whether Kafka accepts a topic of this name. One that it does not is refused here, because
// a look-up of it fails the look-ups of other topics in the same request.
func legalTopic(name string) bool {
	if len(name) > maxTopicName || name == "" || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
