package ingress

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// reserved begin the names that a producer cannot send to a function: what stands under them is said by the runtime,
// ours or the fork's, and believed.
var reserved = []string{"statefun.invalid/", "statefun.kafka/"}

// metadata is what a message carries of its record: the headers in their order, duplicates and null values too, and
// then when and where it was written. The values of headers are views of r.
func metadata(r *kgo.Record) []protocol.KafkaHeader {
	entries := make([]protocol.KafkaHeader, 0, len(r.Headers)+4)
	for _, h := range r.Headers {
		if isReserved(h.Key) {
			continue
		}
		key := h.Key
		if !utf8.ValidString(key) { // Kafka says that it is UTF-8 and no broker looks
			key = javaString([]byte(key))
		}
		entries = append(entries, protocol.KafkaHeader{Key: key, Value: h.Value})
	}
	origin := make([]byte, 0, len(r.Topic)+3*maxDigits) // of all values, which saves an allocation each
	say := func(key string, value []byte) {
		entries = append(entries, protocol.KafkaHeader{Key: key, Value: value[len(origin):len(value):len(value)]})
		origin = value
	}
	if r.Timestamp.UnixMilli() >= 0 { // -1: the record has none
		say(protocol.TimestampKey, strconv.AppendInt(origin, r.Timestamp.UnixMilli(), 10))
	}
	say(protocol.TopicKey, append(origin, r.Topic...))
	say(protocol.PartitionKey, strconv.AppendInt(origin, int64(r.Partition), 10))
	say(protocol.OffsetKey, strconv.AppendInt(origin, r.Offset, 10))
	return entries
}

// maxDigits are those of the largest number.
const maxDigits = 20

func isReserved(key string) bool {
	for _, prefix := range reserved {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
