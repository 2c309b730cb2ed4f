package statefuntest

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// Sent is a message that a function sent.
type Sent struct {
	From, To statefun.Address
	Message  statefun.Message
}

// Delayed is a message that a function sent with a delay, and whose time has not come.
type Delayed struct {
	Sent
	At    time.Time
	Token string
}

// State is a value that an instance has now. A state that no call has used yet is absent.
func State[T any](h *Harness, of statefun.Address, v *statefun.ValueSpec[T]) (value T, present bool) {
	h.t.Helper()
	s, present := h.stored(stateKey{of, v.Name()})
	if !present {
		return value, false
	}
	if s.typename != string(v.Type().Name()) {
		h.t.Fatalf("statefuntest: state %q of %s is of type %s, not %s", v.Name(), of, s.typename, v.Type().Name())
	}
	value, err := v.Type().Decode(s.value)
	if err != nil {
		h.t.Fatalf("statefuntest: state %q of %s: %v", v.Name(), of, err)
	}
	return value, true
}

// SetState gives an instance a value before a test begins. It never expires unless the function writes it.
func SetState[T any](h *Harness, of statefun.Address, v *statefun.ValueSpec[T], value T) {
	h.t.Helper()
	encoded, err := v.Type().Encode(value)
	if err != nil {
		h.t.Fatalf("statefuntest: state %q of %s: %v", v.Name(), of, err)
	}
	h.states[stateKey{of, v.Name()}] = stored{typename: string(v.Type().Name()), value: encoded}
}

// Messages are the messages that functions sent since the last look, in their order: also those that were delivered,
// and delayed ones whose time has come.
func (h *Harness) Messages() []Sent {
	sent := h.sent
	h.sent = nil
	return sent
}

// MessagesTo are those of Messages that went to one instance; the others stay for the next look.
func (h *Harness) MessagesTo(to statefun.Address) []statefun.Message {
	var found []statefun.Message
	var rest []Sent
	for _, s := range h.sent {
		if s.To == to {
			found = append(found, s.Message)
		} else {
			rest = append(rest, s)
		}
	}
	h.sent = rest
	return found
}

// Delayed are the delayed messages that wait for their time, the next one first.
func (h *Harness) Delayed() []Delayed {
	var delayed []Delayed
	for _, t := range h.timers {
		delayed = append(delayed, Delayed{At: t.at, Token: t.token,
			Sent: Sent{From: fromWire(*t.caller), To: fromWire(t.target), Message: message(t.argument)}})
	}
	return delayed
}

// Egress is what functions sent to an egress since the last look, whatever its kind.
func (h *Harness) Egress(id statefun.TypeName) []statefun.Message {
	messages := h.egress[id]
	delete(h.egress, id)
	return messages
}

// Kafka are the records that functions sent to a Kafka egress since the last look. The test fails if something else is
// among them.
func (h *Harness) Kafka(id statefun.TypeName) []statefun.KafkaRecord {
	h.t.Helper()
	var records []statefun.KafkaRecord
	for _, m := range h.Egress(id) {
		r, err := kafkaRecord(m)
		if err != nil {
			h.t.Fatalf("statefuntest: egress %s: %v", id, err)
		}
		records = append(records, r)
	}
	return records
}

func kafkaRecord(m statefun.Message) (statefun.KafkaRecord, error) {
	if m.Type() != protocol.KafkaProducerRecordType {
		return statefun.KafkaRecord{}, fmt.Errorf("a message of type %s is no Kafka record", m.Type())
	}
	parsed, err := protocol.ParseKafkaProducerRecord(m.Bytes())
	if err != nil {
		return statefun.KafkaRecord{}, err
	}
	r := statefun.KafkaRecord{Topic: parsed.Topic, Key: parsed.Key, Value: parsed.Value}
	if r.Value == nil {
		r.Value = []byte{}
	}
	for _, h := range parsed.Headers {
		switch h.Key {
		case protocol.TopicKey, protocol.PartitionKey, protocol.OffsetKey: // of the record that it came with
			continue
		case protocol.TimestampKey:
		default:
			r.Headers = append(r.Headers, statefun.Header(h))
			continue
		}
		millis, err := strconv.ParseInt(string(h.Value), 10, 64)
		if err != nil {
			return r, fmt.Errorf("the header %s is no time: %w", h.Key, err)
		}
		r.Timestamp = time.UnixMilli(millis)
	}
	return r, nil
}

// kinesisType is the type name of a record for a Kinesis egress.
const kinesisType = "type.googleapis.com/io.statefun.sdk.egress.KinesisEgressRecord"

// Kinesis are the records that functions sent to a Kinesis egress since the last look. The test fails if something else
// is among them.
func (h *Harness) Kinesis(id statefun.TypeName) []statefun.KinesisRecord {
	h.t.Helper()
	var records []statefun.KinesisRecord
	for _, m := range h.Egress(id) {
		r, err := kinesisRecord(m)
		if err != nil {
			h.t.Fatalf("statefuntest: egress %s: %v", id, err)
		}
		records = append(records, r)
	}
	return records
}

// kinesisRecord reads a KinesisEgressRecord: 1 partition_key, 2 value_bytes, 3 stream, 4 explicit_hash_key.
func kinesisRecord(m statefun.Message) (statefun.KinesisRecord, error) {
	r := statefun.KinesisRecord{Value: []byte{}}
	if m.Type() != kinesisType {
		return r, fmt.Errorf("a message of type %s is no Kinesis record", m.Type())
	}
	for b := m.Bytes(); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return r, fmt.Errorf("parse KinesisEgressRecord: %w", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return r, fmt.Errorf("parse KinesisEgressRecord: %w", protowire.ParseError(size))
		}
		if kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(b[n:])
			switch number {
			case 1:
				r.PartitionKey = string(content)
			case 2:
				r.Value = content
			case 3:
				r.Stream = string(content)
			case 4:
				r.ExplicitHashKey = string(content)
			}
		}
		b = b[n+size:]
	}
	return r, nil
}
