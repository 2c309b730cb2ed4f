package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The first byte of a row's key is its kind.
const (
	KindBarrier  byte = 'b' // the row a new owner writes before it restores
	KindIngress  byte = 'i' // an ingress topic that the application has begun to read
	KindToken    byte = 'c' // cancellation token → the delayed message it cancels
	KindOutbox   byte = 'o' // what a function has sent and is delivered after the commit
	KindPending  byte = 'm' // an input copied into the changelog, waiting for its address
	KindProgress byte = 'p' // how far one source is done
	KindValue    byte = 's' // one state value of one address
	KindTimer    byte = 't' // a delayed message that has not fired yet
	KindExpiry   byte = 'x' // when a state value expires
)

// A row's key, the same in Pebble (behind the two bytes of its partition) and in the changelog:
//
//	value     's' address string(name)
//	expiry    'x' address string(name)
//	pending   'm' address seq:8
//	timer     't' fire-at-ms:8 seq:8
//	token     'c' string(id) string(token)
//	progress  'p' string(topic) partition:4
//	barrier   'b'
//	ingress   'i' string(topic)
//	outbox    'o' string(target) seq:8
//
//	address = string(namespace) string(name) string(id)
//	string  = uvarint(length) bytes
//
// Because each string carries its length, the keys that begin with an address are the rows of that address and of
// no other. Integers are big endian, so the pending rows of an address sort by seq and timers by the time they fire
// at; the sign bit of that time is flipped, so that a time before 1970 sorts first too.

// ValueKey returns the key of the state value called name of the address.
func ValueKey(a protocol.Address, name string) []byte { return AppendValueKey(nil, a, name) }

// AppendValueKey appends to dst what ValueKey returns.
func AppendValueKey(dst []byte, a protocol.Address, name string) []byte {
	return appendString(appendAddress(append(dst, KindValue), a), name)
}

// ParseValueKey is the reverse of ValueKey.
func ParseValueKey(key []byte) (protocol.Address, string, error) {
	return parseNamedKey(KindValue, key)
}

// ValuePrefix returns what the keys of all state values of the address begin with.
func ValuePrefix(a protocol.Address) []byte { return appendAddress([]byte{KindValue}, a) }

// ExpiryKey returns the key of the expiry of the state value called name of the address.
func ExpiryKey(a protocol.Address, name string) []byte { return AppendExpiryKey(nil, a, name) }

// AppendExpiryKey appends to dst what ExpiryKey returns.
func AppendExpiryKey(dst []byte, a protocol.Address, name string) []byte {
	return appendString(appendAddress(append(dst, KindExpiry), a), name)
}

// ParseExpiryKey is the reverse of ExpiryKey.
func ParseExpiryKey(key []byte) (protocol.Address, string, error) {
	return parseNamedKey(KindExpiry, key)
}

// PendingKey returns the key of the pending row of the address with that sequence number.
func PendingKey(a protocol.Address, seq uint64) []byte { return AppendPendingKey(nil, a, seq) }

// AppendPendingKey appends to dst what PendingKey returns.
func AppendPendingKey(dst []byte, a protocol.Address, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendPendingPrefix(dst, a), seq)
}

// ParsePendingKey is the reverse of PendingKey.
func ParsePendingKey(key []byte) (protocol.Address, uint64, error) {
	r := newKeyReader(KindPending, key)
	a, seq := r.address(), r.uint64()
	return a, seq, r.end()
}

// PendingPrefix returns what the keys of all pending rows of the address begin with.
func PendingPrefix(a protocol.Address) []byte { return AppendPendingPrefix(nil, a) }

// AppendPendingPrefix appends to dst what PendingPrefix returns.
func AppendPendingPrefix(dst []byte, a protocol.Address) []byte {
	return appendAddress(append(dst, KindPending), a)
}

// TimerKey returns the key of the delayed message that fires at that time.
func TimerKey(fireAtMs int64, seq uint64) []byte { return AppendTimerKey(nil, fireAtMs, seq) }

// AppendTimerKey appends to dst what TimerKey returns.
func AppendTimerKey(dst []byte, fireAtMs int64, seq uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, KindTimer), uint64(fireAtMs)^signBit)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// ParseTimerKey is the reverse of TimerKey.
func ParseTimerKey(key []byte) (fireAtMs int64, seq uint64, err error) {
	r := newKeyReader(KindTimer, key)
	at, seq := r.uint64(), r.uint64()
	if err := r.end(); err != nil {
		return 0, 0, err
	}
	return int64(at ^ signBit), seq, nil
}

// TokenKey returns the key of a cancellation token that the function instances with that id share.
func TokenKey(id, token string) []byte { return AppendTokenKey(nil, id, token) }

// AppendTokenKey appends to dst what TokenKey returns.
func AppendTokenKey(dst []byte, id, token string) []byte {
	return appendString(appendString(append(dst, KindToken), id), token)
}

// ParseTokenKey is the reverse of TokenKey.
func ParseTokenKey(key []byte) (id, token string, err error) {
	r := newKeyReader(KindToken, key)
	id, token = r.string(), r.string()
	return id, token, r.end()
}

// ProgressKey returns the key of the progress of one source, which is a partition of a topic.
func ProgressKey(topic string, partition int32) []byte {
	return AppendProgressKey(nil, topic, partition)
}

// AppendProgressKey appends to dst what ProgressKey returns.
func AppendProgressKey(dst []byte, topic string, partition int32) []byte {
	return binary.BigEndian.AppendUint32(appendString(append(dst, KindProgress), topic), uint32(partition))
}

// ParseProgressKey is the reverse of ProgressKey.
func ParseProgressKey(key []byte) (topic string, partition int32, err error) {
	r := newKeyReader(KindProgress, key)
	topic, partition = r.string(), int32(r.uint32())
	return topic, partition, r.end()
}

// BarrierKey returns the key of a partition's barrier row.
func BarrierKey() []byte { return []byte{KindBarrier} }

// IngressKey returns the key of the row that says since when a topic is read.
func IngressKey(topic string) []byte { return appendString([]byte{KindIngress}, topic) }

// ParseIngressKey is the reverse of IngressKey.
func ParseIngressKey(key []byte) (topic string, err error) {
	r := newKeyReader(KindIngress, key)
	topic = r.string()
	return topic, r.end()
}

// OutboxKey returns the key of the row with that sequence number that is to be delivered to a target.
func OutboxKey(target string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(OutboxPrefix(target), seq)
}

// ParseOutboxKey is the reverse of OutboxKey.
func ParseOutboxKey(key []byte) (target string, seq uint64, err error) {
	r := newKeyReader(KindOutbox, key)
	target, seq = r.string(), r.uint64()
	return target, seq, r.end()
}

// OutboxPrefix returns what the keys of all rows to be delivered to the target begin with.
func OutboxPrefix(target string) []byte { return appendString([]byte{KindOutbox}, target) }

// KindRange returns the bounds [from, to) of all keys of a kind.
func KindRange(kind byte) (from, to []byte) { return []byte{kind}, []byte{kind + 1} }

// PrefixRange returns the bounds [from, to) of all keys that begin with prefix, which must not be empty.
func PrefixRange(prefix []byte) (from, to []byte) { return prefix, successor(prefix) }

// successor returns the smallest key above all keys that begin with prefix, nil when there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			to := append([]byte(nil), prefix[:i+1]...)
			to[i]++
			return to
		}
	}
	return nil
}

const signBit = 1 << 63

func appendAddress(dst []byte, a protocol.Address) []byte {
	return appendString(appendString(appendString(dst, a.Type.Namespace), a.Type.Name), a.ID)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func parseNamedKey(kind byte, key []byte) (protocol.Address, string, error) {
	r := newKeyReader(kind, key)
	a, name := r.address(), r.string()
	return a, name, r.end()
}

// errMalformed is what a key or row reader holds once its input turned out too short or not in its one written form.
var errMalformed = errors.New("malformed")

// A keyReader takes a key apart from its front; after the first fault all its answers are zero.
type keyReader struct {
	reader
	kind byte
}

func newKeyReader(kind byte, key []byte) keyReader {
	r := keyReader{reader: reader{rest: key}, kind: kind}
	if r.byte() != kind {
		r.fail()
	}
	return r
}

func (r *keyReader) address() protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: r.string(), Name: r.string()}, ID: r.string()}
}

// end returns the reader's fault; bytes left over are one.
func (r *keyReader) end() error {
	if len(r.rest) > 0 {
		r.fail()
	}
	if r.err != nil {
		return fmt.Errorf("read a key of kind %q: %w", r.kind, r.err)
	}
	return nil
}

// A reader takes bytes apart from their front; after the first fault all its answers are zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	r.rest = nil
	if r.err == nil {
		r.err = errMalformed
	}
}

func (r *reader) take(n uint64) []byte {
	if uint64(len(r.rest)) < n {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// uvarint accepts only the shortest form, so that a key has one spelling.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }
