package state

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// rowVersion is the first byte of every row's value. A build refuses a row of a version that it does not know.
const rowVersion = 1

// The values of rows. Integers are big endian, times are milliseconds since 1970, string = uvarint(length) bytes.
//
//	value     1 string(type) bytes…
//	expiry    1 at:8
//	pending   1 arrived:8 envelope…
//	timer     1 string(sender) string(token) envelope…
//	token     1 fire-at-ms:8 seq:8
//	barrier   1 time:8 string(owner) string(transaction)
//	ingress   1 topic-id:16 time:8
//	outbox    1 time:8 string(id) string(sender) payload…
//
// The progress row has a file of its own.

// Row is one key of a partition with its value; a nil value is a tombstone.
type Row struct {
	Key, Value []byte
}

// Value is a state value of an address, with the type its function registered it under.
type Value struct {
	Type  string
	Bytes []byte
}

// AppendValue appends the row value of v to dst.
func AppendValue(dst []byte, v Value) []byte {
	return append(appendString(append(dst, rowVersion), v.Type), v.Bytes...)
}

// ParseValue is the reverse of AppendValue; the result's bytes alias row.
func ParseValue(row []byte) (Value, error) {
	r := newRowReader("value", row)
	v := Value{Type: r.string(), Bytes: r.remaining()}
	return v, r.end()
}

// Expiry is when a state value expires, to the millisecond.
type Expiry struct {
	At time.Time
}

// AppendExpiry appends the row value of e to dst.
func AppendExpiry(dst []byte, e Expiry) []byte {
	return appendTime(append(dst, rowVersion), e.At)
}

// ParseExpiry is the reverse of AppendExpiry.
func ParseExpiry(row []byte) (Expiry, error) {
	r := newRowReader("expiry", row)
	e := Expiry{At: r.time()}
	return e, r.end()
}

// Pending is an input that was copied into the changelog, so that its source can move on.
type Pending struct {
	Arrived  time.Time // to the millisecond
	Envelope []byte    // as protocol.AppendEnvelope writes it
}

// AppendPending appends the row value of p to dst. The envelope is its end, so it may be appended afterwards as well.
func AppendPending(dst []byte, p Pending) []byte {
	return append(appendTime(append(dst, rowVersion), p.Arrived), p.Envelope...)
}

// ParsePending is the reverse of AppendPending; the result's envelope aliases row.
func ParsePending(row []byte) (Pending, error) {
	r := newRowReader("pending", row)
	p := Pending{Arrived: r.time(), Envelope: r.remaining()}
	return p, r.end()
}

// Timer is a delayed message; its key says when it fires.
type Timer struct {
	Sender   string // the id of the sender, whose partition keeps the row
	Token    string // empty: cannot be cancelled
	Envelope []byte // as protocol.AppendEnvelope writes it
}

// AppendTimer appends the row value of t to dst.
func AppendTimer(dst []byte, t Timer) []byte {
	dst = appendString(appendString(append(dst, rowVersion), t.Sender), t.Token)
	return append(dst, t.Envelope...)
}

// ParseTimer is the reverse of AppendTimer; the result's envelope aliases row.
func ParseTimer(row []byte) (Timer, error) {
	r := newRowReader("timer", row)
	t := Timer{Sender: r.string(), Token: r.string(), Envelope: r.remaining()}
	return t, r.end()
}

// Token leads from a cancellation token to the key of the delayed message it cancels.
type Token struct {
	FireAtMs int64
	Seq      uint64
}

// AppendToken appends the row value of t to dst.
func AppendToken(dst []byte, t Token) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowVersion), uint64(t.FireAtMs))
	return binary.BigEndian.AppendUint64(dst, t.Seq)
}

// ParseToken is the reverse of AppendToken.
func ParseToken(row []byte) (Token, error) {
	r := newRowReader("token", row)
	t := Token{FireAtMs: int64(r.uint64()), Seq: r.uint64()}
	return t, r.end()
}

// Barrier is the first row that a new owner writes to a partition's changelog; its restore ends there.
type Barrier struct {
	Owner       string // the worker's name
	Transaction string // the id of the transaction that carries it
	Time        time.Time
}

// AppendBarrier appends the row value of b to dst.
func AppendBarrier(dst []byte, b Barrier) []byte {
	dst = appendTime(append(dst, rowVersion), b.Time)
	return appendString(appendString(dst, b.Owner), b.Transaction)
}

// ParseBarrier is the reverse of AppendBarrier.
func ParseBarrier(row []byte) (Barrier, error) {
	r := newRowReader("barrier", row)
	b := Barrier{Time: r.time(), Owner: r.string(), Transaction: r.string()}
	return b, r.end()
}

// Ingress says that the application has begun to read a topic in all partitions that the topic had then. So a
// partition of it without a progress row is one that the topic has got since.
type Ingress struct {
	TopicID [16]byte
	Since   time.Time // to the millisecond
}

// AppendIngress appends the row value of i to dst.
func AppendIngress(dst []byte, i Ingress) []byte {
	return appendTime(append(append(dst, rowVersion), i.TopicID[:]...), i.Since)
}

// ParseIngress is the reverse of AppendIngress.
func ParseIngress(row []byte) (Ingress, error) {
	r := newRowReader("ingress", row)
	i := Ingress{}
	copy(i.TopicID[:], r.take(uint64(len(i.TopicID))))
	i.Since = r.time()
	return i, r.end()
}

// Outbox is something that a function has sent to where no transaction of this application reaches. It is delivered after
// its commit, perhaps more than once, and removed by a later one.
type Outbox struct {
	Since   time.Time // to the millisecond
	ID      string    // the same in every copy that is delivered, and of nothing else
	Sender  string    // the id of the sender, whose partition keeps the row
	Payload []byte    // as the target's own format has it
}

// AppendOutbox appends the row value of o to dst.
func AppendOutbox(dst []byte, o Outbox) []byte {
	dst = appendTime(append(dst, rowVersion), o.Since)
	return append(appendString(appendString(dst, o.ID), o.Sender), o.Payload...)
}

// ParseOutbox is the reverse of AppendOutbox; the result's payload aliases row.
func ParseOutbox(row []byte) (Outbox, error) {
	r := newRowReader("outbox", row)
	o := Outbox{Since: r.time(), ID: r.string(), Sender: r.string(), Payload: r.remaining()}
	return o, r.end()
}

func appendTime(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMilli()))
}

// A rowReader takes a row's value apart; it knows what the row is called, for its error.
type rowReader struct {
	reader
	what string
}

func newRowReader(what string, row []byte) rowReader {
	r := rowReader{reader: reader{rest: row}, what: what}
	if version := r.byte(); r.err == nil && version != rowVersion {
		r.fail()
		r.err = protocol.UnknownVersion(version, rowVersion)
	}
	return r
}

func (r *rowReader) time() time.Time {
	ms := r.uint64()
	if r.err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func (r *rowReader) remaining() []byte { return r.take(uint64(len(r.rest))) }

// end returns the reader's fault; bytes left over are one.
func (r *rowReader) end() error {
	if len(r.rest) > 0 {
		r.fail()
	}
	if r.err != nil {
		return fmt.Errorf("read a %s row: %w", r.what, r.err)
	}
	return nil
}
