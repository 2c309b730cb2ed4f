package worker

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// openSinks finds the program's own code for the sinks of the module.
func (w *Worker) openSinks() error {
	w.sends.sinks = map[string]outbox.Target{}
	var problems []error
	for _, s := range w.Module.Sinks {
		target := w.Sinks[s.ID]
		if target == nil {
			problems = append(problems, fmt.Errorf("%s:%d: sink %s: the worker was given nothing to deliver to: set Config.Sinks", s.Position.File, s.Position.Line, s.ID))
		}
		w.sends.sinks[s.ID.String()] = target
	}
	for id := range w.Sinks {
		if _, declared := w.sends.sinks[id.String()]; !declared {
			problems = append(problems, fmt.Errorf("sink %s of Config.Sinks is not in the module: functions could send nothing there", id))
		}
	}
	return errors.Join(problems...)
}

// packSink makes a message to a sink a parcel: a record without a topic, whose key is the type of the value.
func (w *Worker) packSink(a *answer, m *protocol.EgressMessage) error {
	typename, _, value, err := protocol.ParseTypedValue(m.Argument)
	if err != nil {
		return fmt.Errorf("sink %s: %w", m.Egress, err)
	}
	metadata, err := protocol.Metadata(m.Argument)
	if err != nil {
		return fmt.Errorf("sink %s: %w", m.Egress, err)
	}
	r := &kgo.Record{Key: []byte(typename), Value: value}
	for _, h := range metadata {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	p := parcel{m.Egress.String(), outbox.AppendRecord(nil, r)}
	if n := w.parcelSize(a, p); n > w.names.maxRecordBytes {
		return fmt.Errorf("sink %s: what is sent there goes through the changelog, which takes %d bytes a record: a value of type %s has %d with what is added: raise max.message.bytes of %s, or send less",
			m.Egress, w.names.maxRecordBytes, typename, n, w.names.changelog)
	}
	a.parcels = append(a.parcels, p)
	return nil
}

// headerType names the type of a dead-letter record's value, where it is not the argument of a function.
const headerType = ingress.HeaderPrefix + "type"

// sinkHeaders are those that tell of a message for a sink, behind the ones that it carries.
func sinkHeaders(record *kgo.Record) []kgo.RecordHeader {
	metadata := make([]protocol.KafkaHeader, len(record.Headers))
	for i, h := range record.Headers {
		metadata[i] = protocol.KafkaHeader(h)
	}
	return append(ingress.Headers(metadata), kgo.RecordHeader{Key: headerType, Value: record.Key})
}
