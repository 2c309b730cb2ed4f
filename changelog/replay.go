package changelog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// A fetch is applied in batches of this size, so that a large one neither fills memory a second time nor makes a batch
// that Pebble would have to sort on its own.
const (
	batchRows  = 10_000
	batchBytes = 4 << 20
)

// ErrTooOld is returned at the end of a replay during which tombstones may have been compacted away unseen. The
// partition must be wiped and restored from the start of its changelog.
var ErrTooOld = errors.New("the state on disk is older than the changelog keeps tombstones")

// Replay brings the store of one partition up to its barrier. Records is called by one goroutine; Report by any.
type Replay struct {
	store     *state.Store
	partition int32
	topicID   [16]byte
	barrier   int64
	from      int64
	retention time.Duration // of tombstones; 0: not compared
	now       func() time.Time

	level    time.Time // of the store before the replay; of a store that had nothing, when the replay began
	hadLevel bool
	rows     []state.Row // of the batch being filled; kept for its capacity
	bytes    int64       // of them

	mu     sync.Mutex
	began  time.Time // zero until the first records come
	report Report
}

// NewReplay returns a replay of the records of one changelog partition, from an offset to the barrier at that offset.
// Where the store already stands higher than from, records below its position are skipped.
func NewReplay(store *state.Store, partition int32, topicID [16]byte, from, barrier int64) *Replay {
	r := &Replay{store: store, partition: partition, topicID: topicID, from: from, barrier: barrier, now: time.Now}
	r.report = Report{Next: from, Barrier: barrier, Done: from > barrier}
	return r
}

// KeepsTombstones tells the replay how long the changelog keeps tombstones, so that it can tell ErrTooOld.
func (r *Replay) KeepsTombstones(retention time.Duration) { r.retention = retention }

// Records applies fetched records, in the order of their offsets, and says whether the barrier is reached; records
// behind it are left alone. level is the time of the barrier, which becomes the partition's level when it is reached.
func (r *Replay) Records(recs []*kgo.Record, level time.Time) (done bool, err error) {
	if err := r.begin(level); err != nil {
		return false, r.wrap(err)
	}
	r.rows, r.bytes = r.rows[:0], 0
	next, done := r.reached()
	for _, rec := range recs {
		if done {
			break
		}
		if rec.Offset < next {
			continue
		}
		row, err := Decode(rec)
		if err != nil {
			return false, r.wrap(err)
		}
		if rec.Partition != r.partition {
			return false, r.wrap(fmt.Errorf("a record of partition %d came along", rec.Partition))
		}
		r.rows = append(r.rows, row)
		r.bytes += int64(len(row.Key) + len(row.Value))
		next, done = rec.Offset+1, rec.Offset >= r.barrier
		if done || len(r.rows) == batchRows || r.bytes >= batchBytes {
			if err := r.apply(next, done, level); err != nil {
				return false, r.wrap(err)
			}
		}
	}
	if len(r.rows) > 0 {
		if err := r.apply(next, done, level); err != nil {
			return false, r.wrap(err)
		}
	}
	return done, nil
}

// begin looks, with the first records, where the store stands.
func (r *Replay) begin(level time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.began.IsZero() {
		return nil
	}
	pos, known, err := r.store.Position(r.partition)
	if err != nil {
		return err
	}
	if known && pos.Offset < r.from {
		return fmt.Errorf("the store stands at offset %d and the records begin at %d: wipe the partition, or begin at its position",
			pos.Offset, r.from)
	}
	r.level = level
	if known {
		r.level, r.hadLevel, r.report.Next = pos.Level, true, pos.Offset
	}
	r.report.From = r.report.Next
	r.report.Done = r.report.Next > r.barrier
	r.began = r.now()
	return nil
}

func (r *Replay) reached() (next int64, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.Next, r.report.Done
}

// apply writes the batch. Only the one that reaches the barrier makes the partition level with its changelog.
func (r *Replay) apply(next int64, done bool, level time.Time) error {
	if done && r.tooOld() {
		return ErrTooOld
	}
	pos := state.Position{Offset: next, TopicID: r.topicID, Level: r.level}
	if done {
		pos.Level = level
	}
	err := r.store.Apply([]state.Change{{Partition: r.partition, Rows: r.rows, Position: pos}})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Rows += int64(len(r.rows))
	r.report.Bytes += r.bytes
	r.report.Next, r.report.Done = next, done
	clear(r.rows) // they share the fetch's buffers
	r.rows, r.bytes = r.rows[:0], 0
	return nil
}

func (r *Replay) tooOld() bool {
	return r.retention > 0 && r.hadLevel && r.now().Sub(r.level) >= r.retention
}

func (r *Replay) wrap(err error) error {
	return fmt.Errorf("replay the changelog of partition %d: %w", r.partition, err)
}
