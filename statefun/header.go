package statefun

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// headersField is the field of a TypedValue (metadata) and of a KafkaProducerRecord (headers) that holds one header,
// as the maintained fork of StateFun has it. StateFun itself passes over both.
const headersField protowire.Number = 4

// A Header is one header of a message or of a Kafka record. A nil Value is Kafka's null, which an empty one is not.
type Header struct {
	Key   string
	Value []byte
}

// Under these names a runtime tells where a message has come from. They are no headers of the record.
const (
	reservedPrefix  = "statefun.kafka/"
	timestampHeader = reservedPrefix + "timestamp" // also the way to give an egress record its timestamp
	topicHeader     = reservedPrefix + "topic"
	partitionHeader = reservedPrefix + "partition"
	offsetHeader    = reservedPrefix + "offset"
)

// An Origin is the place of a message's record in Kafka, as far as the runtime forwards it. What it does not
// is empty: no Topic, -1 for Partition and Offset, the zero Timestamp.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
}

// set takes one header in, if it is one that tells the origin.
func (o *Origin) set(h Header) {
	if !isReserved(h.Key) {
		return
	}
	if h.Key == topicHeader {
		o.Topic = string(h.Value)
		return
	}
	n, err := strconv.ParseInt(string(h.Value), 10, 64)
	if err != nil {
		return
	}
	switch h.Key {
	case timestampHeader:
		o.Timestamp = time.UnixMilli(n)
	case partitionHeader:
		o.Partition = int32(n)
	case offsetHeader:
		o.Offset = n
	}
}

func isReserved(key string) bool { return strings.HasPrefix(key, reservedPrefix) }

// size is that of the header's content: 1 key, 2 value, 3 has_value.
func (h *Header) size() int {
	size := sizeText(1, h.Key) + sizeText(2, h.Value)
	if h.Value != nil {
		size += sizeVarint(3, 1)
	}
	return size
}

func (h *Header) append(dst []byte, number protowire.Number) []byte {
	dst = appendHead(dst, number, h.size())
	dst = appendText(dst, 1, h.Key)
	dst = appendText(dst, 2, h.Value)
	if h.Value != nil {
		dst = appendVarint(dst, 3, 1)
	}
	return dst
}

// parseHeader reads a header whose Value is a view of b.
func parseHeader(b []byte) (h Header, err error) {
	hasValue, value := false, []byte{}
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return h, fmt.Errorf("parse header: %w", err)
		}
		switch {
		case f.isBytes(1):
			key, err := f.text()
			if err != nil {
				return h, fmt.Errorf("parse header: %w", err)
			}
			h.Key = string(key)
		case f.isBytes(2):
			value = f.content
		case f.isVarint(3):
			hasValue = protowire.DecodeBool(f.bits)
		}
	}
	if hasValue {
		h.Value = value
	}
	return h, nil
}
