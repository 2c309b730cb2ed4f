package changelog

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// A row as a record:
//
//	key     the row's key, as package state draws it
//	value   the row's value; none (not: an empty one) when the row is removed
//
// The partition is the record's; there are no headers.

// Encode returns the record of a row. It shares the row's bytes.
func Encode(topic string, partition int32, r state.Row) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Key: r.Key, Value: r.Value}
}

// EncodeAll returns the records of rows of one partition, as Encode does, in one piece of memory.
func EncodeAll(topic string, partition int32, rows []state.Row) []kgo.Record {
	records := make([]kgo.Record, len(rows))
	for i, r := range rows {
		records[i] = kgo.Record{Topic: topic, Partition: partition, Key: r.Key, Value: r.Value}
	}
	return records
}

// Decode is the reverse of Encode. The row shares the record's bytes. A row of a newer version of this program is
// refused here, before it gets into a store.
func Decode(r *kgo.Record) (state.Row, error) {
	if len(r.Key) == 0 {
		return state.Row{}, fmt.Errorf("changelog %s partition %d offset %d: the record has no key, so no worker wrote it: find out what else produces to this topic",
			r.Topic, r.Partition, r.Offset)
	}
	row := state.Row{Key: r.Key, Value: r.Value}
	if err := state.CheckVersion(row); err != nil {
		return state.Row{}, fmt.Errorf("changelog %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return row, nil
}
