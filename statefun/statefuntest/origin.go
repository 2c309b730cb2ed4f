package statefuntest

import (
	"strconv"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// Forwarded is a value as an ingress with forwardHeaders makes it: with the place of its Kafka record, which a function reads
// with [statefun.Message.Origin]. The record's headers are added with [statefun.TypedValue.WithHeaders].
func Forwarded(v statefun.TypedValue, o statefun.Origin) statefun.TypedValue {
	header := func(key string, value []byte) statefun.Header { return statefun.Header{Key: key, Value: value} }
	if !o.Timestamp.IsZero() {
		v = v.WithHeaders(header(protocol.TimestampKey, strconv.AppendInt(nil, o.Timestamp.UnixMilli(), 10)))
	}
	return v.WithHeaders(header(protocol.TopicKey, []byte(o.Topic)),
		header(protocol.PartitionKey, strconv.AppendInt(nil, int64(o.Partition), 10)),
		header(protocol.OffsetKey, strconv.AppendInt(nil, o.Offset, 10)))
}
