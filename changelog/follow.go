package changelog

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Follow keeps the store of one partition behind its changelog while somebody else owns the partition, so that a
// take-over here has only the tail to replay. Its methods are called by one goroutine.
type Follow struct {
	store     *state.Store
	partition int32
	topicID   [16]byte
	retention time.Duration // of tombstones; 0: not compared
	now       func() time.Time

	next  int64
	level time.Time // as of the store; zero: it had nothing
	end   int64     // the log's end that was seen last
	rows  []state.Row
}

// NewFollow returns a follower of a changelog partition from the offset next on, which is the store's position or, for
// a store that has nothing of the partition, the start of the log. retention is how long the changelog keeps
// tombstones.
func NewFollow(store *state.Store, partition int32, topicID [16]byte, next int64, retention time.Duration) (*Follow, error) {
	f := &Follow{store: store, partition: partition, topicID: topicID, retention: retention, now: time.Now, next: next, end: -1}
	pos, known, err := store.Position(partition)
	if err != nil {
		return nil, f.wrap(err)
	}
	if known {
		f.level = pos.Level
	}
	return f, nil
}

// Records applies fetched records, control records included, in the order of their offsets. stable is the end of what
// is committed, and asked the time before the fetch was asked for: with all of it applied the partition is level as of
// then. It returns ErrTooOld like Replay does.
func (f *Follow) Records(recs []*kgo.Record, stable int64, asked time.Time) error {
	f.end = max(f.end, stable)
	var bytes int64
	f.rows = f.rows[:0]
	next := f.next
	for _, rec := range recs {
		if rec.Offset < next {
			continue
		}
		next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		row, err := Decode(rec)
		if err != nil {
			return f.wrap(err)
		}
		f.rows = append(f.rows, row)
		bytes += int64(len(row.Key) + len(row.Value))
		if len(f.rows) < batchRows && bytes < batchBytes {
			continue
		}
		if err := f.apply(next, false, asked); err != nil {
			return err
		}
		bytes = 0
	}
	if next == f.next && len(f.rows) == 0 {
		return nil
	}
	return f.apply(next, next >= f.end, asked)
}

// apply writes the batch. The level moves only when nothing committed is left unread.
func (f *Follow) apply(next int64, level bool, asked time.Time) error {
	pos := state.Position{Offset: next, TopicID: f.topicID, Level: f.level}
	if f.level.IsZero() {
		pos.Level = asked // of a store that had nothing, when it began: no tombstone before the log's start matters to it
	}
	if level {
		if f.retention > 0 && !f.level.IsZero() && f.now().Sub(f.level) >= f.retention {
			return f.wrap(ErrTooOld)
		}
		pos.Level = asked
	}
	if err := f.store.Apply([]state.Change{{Partition: f.partition, Rows: f.rows, Position: pos}}); err != nil {
		return f.wrap(err)
	}
	f.next, f.level = next, pos.Level
	clear(f.rows) // they share the fetch's buffers
	f.rows = f.rows[:0]
	return nil
}

// Seen notes where the log ends, as a lookup tells it: a follower that has everything gets no records to learn it from.
func (f *Follow) Seen(end int64) { f.end = max(f.end, end) }

// Lag returns how many offsets of the log, as it was seen last, are not applied yet; false before the first fetch.
func (f *Follow) Lag() (offsets int64, known bool) {
	return max(f.end-f.next, 0), f.end >= 0
}

// Next returns the offset that is wanted next.
func (f *Follow) Next() int64 { return f.next }

func (f *Follow) wrap(err error) error {
	return fmt.Errorf("follow the changelog of partition %d: %w", f.partition, err)
}
