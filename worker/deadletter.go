package worker

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// headerAddress names the address in the dead-letter record of a function's input.
const headerAddress = ingress.HeaderPrefix + "address"

// detailBytes bounds the reason in a dead-letter record: it may hold names of any length that the function made up.
const detailBytes = 512

// deadLetterInput writes an input of a function to the dead-letter topic: what the function was to be called with, the
// headers that it carries, why, and where the record lies that it came with, if it is an ingress record's.
func (w *Worker) deadLetterInput(d task.Dropped, err error) {
	detail := err.Error()
	headers, origin := carried(d.Invocation)
	if s := d.Source; s != nil && s.Topic != w.names.mailbox {
		origin[ingress.HeaderTopic] = s.Topic
		origin[ingress.HeaderPartition], origin[ingress.HeaderOffset] = strconv.Itoa(int(s.Partition)), strconv.FormatInt(d.Offset, 10)
	}
	provenance := []kgo.RecordHeader{
		{Key: ingress.HeaderReason, Value: []byte(reason(err))},
		{Key: ingress.HeaderDetail, Value: []byte(detail[:min(len(detail), detailBytes)])},
		{Key: headerAddress, Value: []byte(d.Target.String())},
		{Key: ingress.HeaderApplication, Value: []byte(w.ApplicationID)},
	}
	for _, name := range []string{ingress.HeaderTopic, ingress.HeaderPartition, ingress.HeaderOffset, ingress.HeaderTimestamp} {
		if text, known := origin[name]; known {
			provenance = append(provenance, kgo.RecordHeader{Key: name, Value: []byte(text)})
		}
	}
	letter := &kgo.Record{Topic: w.names.deadLetter, Key: []byte(d.Target.ID), Value: d.Invocation}
	// The value has the headers too, so together they may be more than the topic takes, and such a record would abort one
	// transaction after the other.
	if letter.Headers = slices.Concat(headers, provenance); egress.Size(letter) > w.names.deadLetterBytes {
		letter.Headers = provenance
	}
	w.collectDeadLetter(letter)
}

// carried gives the headers that an input carries as metadata, and what that tells of the ingress record that it is. Of a
// function's message it is nothing: there the metadata is what the function says, and may be anything.
func carried(invocation []byte) (headers []kgo.RecordHeader, origin map[string]string) {
	origin = map[string]string{}
	caller, argument, err := protocol.ParseInvocation(invocation)
	if err != nil {
		return nil, origin
	}
	metadata, err := protocol.Metadata(argument)
	if err != nil {
		return nil, origin
	}
	for i := range metadata {
		name, is := originHeaders[metadata[i].Key]
		if !is || caller != nil {
			continue
		}
		origin[name] = string(metadata[i].Value)
		if name == ingress.HeaderTimestamp {
			ms, _ := strconv.ParseInt(origin[name], 10, 64) // the runtime's digits
			origin[name] = time.UnixMilli(ms).UTC().Format(letterTime)
		}
	}
	return ingress.Headers(metadata), origin
}

// originHeaders are the names in a dead-letter record of what a message tells of its ingress record.
var originHeaders = map[string]string{
	protocol.TopicKey: ingress.HeaderTopic, protocol.PartitionKey: ingress.HeaderPartition,
	protocol.OffsetKey: ingress.HeaderOffset, protocol.TimestampKey: ingress.HeaderTimestamp,
}

func (w *Worker) collectDeadLetter(r *kgo.Record) {
	r.Partition = egress.Partition(r.Key, w.names.deadLetterPartitions, uint32(w.counter))
	w.collect(r)
	w.metrics.deadLetters.Inc()
}

// reason classes a failure for the header of a dead-letter record; docs/guarantees.md lists what there is.
func reason(err error) string {
	var call *invoker.Error
	var retyped *task.Retyped
	switch {
	case errors.Is(err, errRefused):
		return "refused"
	case errors.As(err, &retyped):
		return "state-type"
	case errors.Is(err, errOverflow):
		return "overflow"
	case isTooLarge(err):
		return "request-too-large"
	case errors.As(err, &call):
		return call.Kind
	}
	return "other"
}
