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
// then the timestamp. The values are views of r.
func metadata(r *kgo.Record) []protocol.KafkaHeader {
	entries := make([]protocol.KafkaHeader, 0, len(r.Headers)+1)
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
	if r.Timestamp.UnixMilli() >= 0 { // -1: the record has none
		entries = append(entries, protocol.KafkaHeader{Key: protocol.TimestampKey, Value: strconv.AppendInt(nil, r.Timestamp.UnixMilli(), 10)})
	}
	return entries
}

func isReserved(key string) bool {
	for _, prefix := range reserved {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
