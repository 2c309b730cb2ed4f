package protocol

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// KafkaProducerRecordType is the type name of a TypedValue that holds a KafkaProducerRecord.
const KafkaProducerRecordType = "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord"

// TimestampKey names the timestamp of a record among its headers: milliseconds since 1970, in decimal digits.
// A message from an ingress that forwards headers has it, and an egress takes it for the timestamp of its record.
const TimestampKey = "statefun.kafka/timestamp"

// A KafkaProducerRecord is what a function sends to a Kafka egress. Value is a view of the parsed bytes.
type KafkaProducerRecord struct {
	Key, Topic string
	Value      []byte
	Headers    []KafkaHeader
}

// A KafkaHeader is one header of a record, an addition of StateFun's maintained fork. Value is nil for
// Kafka's null header and a view of the parsed bytes otherwise.
type KafkaHeader struct {
	Key   string
	Value []byte
}

// ParseKafkaProducerRecord reads a KafkaProducerRecord: 1 key, 2 value_bytes, 3 topic, 4 headers.
func ParseKafkaProducerRecord(b []byte) (KafkaProducerRecord, error) {
	r, err := parseKafkaProducerRecord(b)
	if err != nil {
		return KafkaProducerRecord{}, fmt.Errorf("parse KafkaProducerRecord: %w", err)
	}
	return r, nil
}

func parseKafkaProducerRecord(b []byte) (r KafkaProducerRecord, err error) {
	n, err := count(b)
	if err != nil {
		return r, err
	}
	r.Headers = sized[KafkaHeader](n[4])
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return r, err
		}
		switch {
		case f.isBytes(1):
			err = f.copyTo(&r.Key)
		case f.isBytes(2):
			r.Value = f.value
		case f.isBytes(3):
			err = f.copyTo(&r.Topic)
		case f.isBytes(4):
			err = appendParsed(&r.Headers, "header", f.value, parseKafkaHeader)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// parseKafkaHeader reads a header: 1 key, 2 value, 3 has_value.
func parseKafkaHeader(b []byte, h *KafkaHeader) (err error) {
	hasValue, value := false, []byte{}
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return err
		}
		switch {
		case f.isBytes(1):
			err = f.copyTo(&h.Key)
		case f.isBytes(2):
			value = f.value
		case f.isVarint(3):
			hasValue = protowire.DecodeBool(f.varint)
		}
		if err != nil {
			return err
		}
	}
	if hasValue {
		h.Value = value
	}
	return nil
}
