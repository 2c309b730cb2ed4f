// Package ingress turns Kafka records into messages, and those that cannot become one into dead-letter records.
package ingress

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Why a record cannot become a message. The set is fixed, so that it can label metrics.
const (
	NoKey         = "no-key"
	Tombstone     = "tombstone"
	TooLarge      = "too-large"
	UnknownTarget = "unknown-target"
	Undecodable   = "undecodable"
)

// An Invalid is the reason why a record cannot become a message.
type Invalid struct {
	// Reason is one of the constants above.
	Reason string
	// Detail says which record it is, what is wrong with it and the way out.
	Detail error
	// Stack is where the program's own code panicked, if that is the reason.
	Stack []byte
}

// Error returns the reason with its detail.
func (i *Invalid) Error() string { return i.Reason + ": " + i.Detail.Error() }

// Unwrap returns the detail.
func (i *Invalid) Unwrap() error { return i.Detail }

// A Decoder makes messages of the records of one topic. It is safe for concurrent use if known is.
type Decoder struct {
	ingress  protocol.TypeName
	topic    *module.IngressTopic
	known    func(protocol.TypeName) bool
	maxBytes int
	route    Route // nil: the module says where records go
}

// NewDecoder returns the decoder for a topic of an ingress. known reports whether an endpoint serves a function
// type. An envelope of more than maxBytes would fit no row of the changelog and is refused; 0 means no bound.
func NewDecoder(in *module.Ingress, topic *module.IngressTopic, known func(protocol.TypeName) bool, maxBytes int) *Decoder {
	return &Decoder{ingress: in.ID, topic: topic, known: known, maxBytes: maxBytes}
}

// Decode returns one envelope a target, in list order. The error is an *Invalid, and then there are none: a
// record is taken as a whole or not at all.
func (d *Decoder) Decode(r *kgo.Record) ([]protocol.Envelope, error) {
	return d.DecodeTo(make([]protocol.Envelope, 0, len(d.topic.Targets)), r)
}

// DecodeTo is Decode appending to dst, which is returned as it was when there is an error. Nothing of r is kept
// (it would pin the fetch it came in): key and value are copied, one allocation each, shared by all targets.
func (d *Decoder) DecodeTo(dst []protocol.Envelope, r *kgo.Record) ([]protocol.Envelope, error) {
	if d.route != nil {
		return d.called(dst, r)
	}
	if r.Key == nil && d.topic.Routes == nil {
		return dst, d.invalid(NoKey, r, "it has no key, and the key is the id of the target: produce it with a UTF-8 key")
	}
	if r.Value == nil {
		return dst, d.invalid(Tombstone, r, "it has no value (a tombstone), and a function needs one: produce an empty value instead")
	}
	before := len(dst)
	dst, err := d.targets(dst, r)
	if err != nil || len(dst) == before {
		return dst[:before], err
	}
	var carried []protocol.KafkaHeader
	if d.topic.ForwardHeaders {
		carried = metadata(r)
	}
	size := protocol.SizeIngressInvocation(d.topic.ValueType, r.Value, carried...)
	if err := d.check(dst[before:], r, size); err != nil {
		return dst[:before], err
	}
	invocation := protocol.AppendIngressInvocation(make([]byte, 0, size), d.topic.ValueType, r.Value, carried...)
	for i := before; i < len(dst); i++ {
		dst[i].Invocation = invocation
	}
	return dst, nil
}

// targets appends an envelope without an Invocation for each target of a record.
func (d *Decoder) targets(dst []protocol.Envelope, r *kgo.Record) ([]protocol.Envelope, error) {
	if d.topic.Routes != nil {
		return d.routed(dst, r)
	}
	if len(d.topic.Targets) == 0 {
		return dst, nil
	}
	id := javaString(r.Key)
	for _, target := range d.topic.Targets {
		dst = append(dst, protocol.Envelope{Target: protocol.Address{Type: target, ID: id}})
	}
	return dst, nil
}

// check refuses targets that nobody serves, and messages of that size that no row takes.
func (d *Decoder) check(envelopes []protocol.Envelope, r *kgo.Record, size int) error {
	for i := range envelopes {
		if err := d.checkTarget(envelopes[i].Target, r, size); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) checkTarget(target protocol.Address, r *kgo.Record, size int) error {
	if !d.known(target.Type) {
		return d.invalid(UnknownTarget, r, "no endpoint serves its target %s: add one to the module or take the target off the topic", target.Type)
	}
	whole := protocol.SizeEnvelope(target, size)
	if d.maxBytes > 0 && whole > d.maxBytes {
		return d.invalid(TooLarge, r, "as a message it has %d bytes, over the limit of %d: raise max.message.bytes of the internal topics or produce less", whole, d.maxBytes)
	}
	return nil
}

func (d *Decoder) invalid(reason string, r *kgo.Record, format string, args ...any) *Invalid {
	what := fmt.Errorf(format, args...)
	return &Invalid{
		Reason: reason,
		Detail: fmt.Errorf("ingress %s: record %s[%d]@%d: %w", d.ingress, r.Topic, r.Partition, r.Offset, what),
	}
}
