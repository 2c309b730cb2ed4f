package protocol

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// metadataField is TypedValue.metadata: one entry a header, duplicates and order as they are. An entry is
// 1 key, 2 value, 3 has_value, as a header of KafkaProducerRecord is; without has_value it is Kafka's null header.
const metadataField protowire.Number = 4

// appendMetadata appends the entries to an encoded TypedValue. Keys are UTF-8, which a proto3 string must be.
func appendMetadata(dst []byte, entries []KafkaHeader) []byte {
	for i := range entries {
		e := &entries[i]
		dst = appendHead(dst, metadataField, sizeEntry(e))
		dst = appendText(dst, 1, e.Key)
		if len(e.Value) > 0 {
			dst = appendBytes(dst, 2, e.Value)
		}
		if e.Value != nil {
			dst = protowire.AppendTag(dst, 3, protowire.VarintType)
			dst = protowire.AppendVarint(dst, 1)
		}
	}
	return dst
}

// sizeMetadata is the number of bytes that appendMetadata appends.
func sizeMetadata(entries []KafkaHeader) int {
	size := 0
	for i := range entries {
		size += sizeMessage(metadataField, sizeEntry(&entries[i]))
	}
	return size
}

func sizeEntry(e *KafkaHeader) int {
	size := sizeText(1, e.Key)
	if len(e.Value) > 0 {
		size += sizeMessage(2, len(e.Value))
	}
	if e.Value != nil {
		size += 2
	}
	return size
}

// Metadata reads the entries of an encoded TypedValue; their values are views of b.
func Metadata(b []byte) ([]KafkaHeader, error) {
	n, err := count(b)
	if err != nil {
		return nil, fmt.Errorf("parse the metadata of a typed value: %w", err)
	}
	entries := sized[KafkaHeader](n[metadataField])
	for len(b) > 0 {
		var f field
		if f, b, err = nextField(b); err != nil {
			return nil, fmt.Errorf("parse the metadata of a typed value: %w", err)
		}
		if !f.isBytes(metadataField) {
			continue
		}
		if err := appendParsed(&entries, "entry", f.value, parseKafkaHeader); err != nil {
			return nil, fmt.Errorf("parse the metadata of a typed value: %w", err)
		}
	}
	return entries, nil
}
