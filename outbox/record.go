package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// recordVersion is the first byte of a record's payload.
const recordVersion = 1

// A Kafka record as a payload; string = uvarint(length) bytes:
//
//	1 string(topic) optional(key) uvarint(headers) for each: string(name) optional(value)   uvarint(time) value…
//
//	optional: 0, or 1 string
//	time: milliseconds + 1, or 0 for none: the producer's clock decides when the record is delivered
//
// It has no partition: the topic's count is known when the record is delivered.

// AppendRecord appends the payload of r to dst.
func AppendRecord(dst []byte, r *kgo.Record) []byte {
	dst = appendBytes(append(dst, recordVersion), []byte(r.Topic))
	dst = appendOptional(dst, r.Key)
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = appendOptional(appendBytes(dst, []byte(h.Key)), h.Value)
	}
	at := uint64(0)
	if !r.Timestamp.IsZero() {
		at = uint64(max(r.Timestamp.UnixMilli(), 0)) + 1
	}
	return append(binary.AppendUvarint(dst, at), r.Value...)
}

// ParseRecord is the reverse of AppendRecord. The record shares the payload's bytes; its value is never absent.
func ParseRecord(payload []byte) (*kgo.Record, error) {
	if len(payload) > 0 && payload[0] != recordVersion {
		return nil, fmt.Errorf("parse a record of the outbox: %w", protocol.UnknownVersion(payload[0], recordVersion))
	}
	p := parser{rest: payload}
	p.take(1)
	r := &kgo.Record{Topic: string(p.bytes()), Key: p.optional()}
	for n := p.uvarint(); n > 0 && p.err == nil; n-- {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(p.bytes()), Value: p.optional()})
	}
	if at := p.uvarint(); at > math.MaxInt64 {
		p.rest, p.err = nil, errMalformed
	} else if at > 0 {
		r.Timestamp = time.UnixMilli(int64(at - 1))
	}
	r.Value = p.rest
	if p.err != nil {
		return nil, fmt.Errorf("parse a record of the outbox: %w", p.err)
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	return r, nil
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendOptional(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return appendBytes(append(dst, 1), b)
}

var errMalformed = errors.New("malformed")

// A parser takes bytes apart from their front; after the first fault all its answers are empty.
type parser struct {
	rest []byte
	err  error
}

func (p *parser) take(n uint64) []byte {
	if p.err != nil || uint64(len(p.rest)) < n {
		p.rest, p.err = nil, errMalformed
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

// uvarint accepts only the shortest form, so that a record has one payload.
func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 {
		p.rest, p.err = nil, errMalformed
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) bytes() []byte { return p.take(p.uvarint()) }

func (p *parser) optional() []byte {
	there := p.take(1)
	switch {
	case len(there) == 0 || there[0] == 0:
		return nil
	case there[0] != 1:
		p.rest, p.err = nil, errMalformed
		return nil
	}
	return p.bytes()
}
