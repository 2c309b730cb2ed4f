package router

import (
	"bytes"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A record of the mailbox topic:
//
//	key    the target's id, so that its partition is the one Kafka's default partitioner gives it
//	value  the stored envelope

// Encode returns the mailbox record of e. Its partition is Partition(e.Target.ID, n).
func Encode(e protocol.Envelope) (key, value []byte) {
	value = make([]byte, 0, protocol.SizeEnvelope(e.Target, len(e.Invocation)))
	return []byte(e.Target.ID), protocol.AppendEnvelope(value, e)
}

// Decode reads the value of a mailbox record. The envelope is a copy: a view would hold on to the whole
// fetch that the record came in.
func Decode(value []byte) (protocol.Envelope, error) {
	e, err := protocol.ParseEnvelope(value)
	if err != nil {
		return protocol.Envelope{}, fmt.Errorf("decode mailbox record: %w", err)
	}
	e.Invocation = bytes.Clone(e.Invocation)
	return e, nil
}
