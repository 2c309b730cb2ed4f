package ingress

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// HeaderPrefix begins the names of the headers that say where a dead-letter record comes from.
const HeaderPrefix = "statefun.dead-letter/"

// The provenance headers, all text. Timestamp is RFC 3339 in UTC with milliseconds.
const (
	HeaderReason      = HeaderPrefix + "reason"
	HeaderDetail      = HeaderPrefix + "detail"
	HeaderTopic       = HeaderPrefix + "topic"
	HeaderPartition   = HeaderPrefix + "partition"
	HeaderOffset      = HeaderPrefix + "offset"
	HeaderTimestamp   = HeaderPrefix + "timestamp"
	HeaderApplication = HeaderPrefix + "application"
)

// DeadLetter returns the dead-letter record of r for topic: its key, value and headers as they are (absent ones
// stay absent), and provenance headers behind them. Provenance from an earlier time on the dead-letter topic is
// replaced. Nothing of r is kept. The caller chooses the partition.
func DeadLetter(topic string, r *kgo.Record, why *Invalid, applicationID string) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+7)
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, HeaderPrefix) {
			headers = append(headers, kgo.RecordHeader{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)})
		}
	}
	provenance := func(name, text string) {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(text)})
	}
	provenance(HeaderReason, why.Reason)
	provenance(HeaderDetail, why.Detail.Error())
	provenance(HeaderTopic, r.Topic)
	provenance(HeaderPartition, strconv.Itoa(int(r.Partition)))
	provenance(HeaderOffset, strconv.FormatInt(r.Offset, 10))
	provenance(HeaderTimestamp, r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	provenance(HeaderApplication, applicationID)
	return &kgo.Record{Topic: topic, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: headers}
}

// Headers gives back the headers of the record that a message came from, as far as the message carries them as metadata:
// without those that the runtime has added, and without the provenance of an earlier time on the dead-letter topic.
func Headers(metadata []protocol.KafkaHeader) (headers []kgo.RecordHeader) {
	for _, h := range metadata {
		if !isReserved(h.Key) && !strings.HasPrefix(h.Key, HeaderPrefix) {
			headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	return headers
}
