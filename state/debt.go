package state

import (
	"sync"
	"time"
)

// What is not flushed is replayed from the changelog after a crash, at 200,000 rows a second or more. A flush begins
// when that would take about a second.
const (
	replayRowsLimit  = 150_000
	replayBytesLimit = 64 << 20
	// replayAgeLimit keeps the position on disk, and the time it was level, young where there are few rows.
	replayAgeLimit = 5 * time.Minute
)

// replayDebt counts what a crash would make the next start replay. Pebble calls it with its locks held; it calls
// nobody while it holds its own, but for the clock.
type replayDebt struct {
	now func() time.Time

	mu      sync.Mutex
	written tally     // all that was applied
	begun   tally     // of that, what the flush that began last covers
	flushed tally     // of that, what is known to be on disk
	oldest  time.Time // when the first batch after begun was applied; zero when there is none
	asked   bool      // a flush was asked for and has not begun yet
}

type tally struct{ rows, bytes int64 }

func newReplayDebt(now func() time.Time) *replayDebt { return &replayDebt{now: now} }

// add counts a batch that is about to be applied.
func (d *replayDebt) add(rows, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written.rows += rows
	d.written.bytes += bytes
	if d.oldest.IsZero() {
		d.oldest = d.now()
	}
}

// flushDue says whether a flush must be asked for now, and takes it as asked for.
func (d *replayDebt) flushDue() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	due := d.written.rows-d.begun.rows >= replayRowsLimit ||
		d.written.bytes-d.begun.bytes >= replayBytesLimit ||
		!d.oldest.IsZero() && d.now().Sub(d.oldest) >= replayAgeLimit
	if !due || d.asked {
		return false
	}
	d.asked = true
	return true
}

// flushBegan also comes for flushes that Pebble starts because a memtable is full. A batch applied between the change
// of memtables and this event is taken for flushed, which is one batch off in a limit of many.
func (d *replayDebt) flushBegan() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun, d.oldest, d.asked = d.written, time.Time{}, false
}

func (d *replayDebt) flushEnded() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flushed = d.begun
}

// unflushed returns the rows and bytes that are not known to be on disk.
func (d *replayDebt) unflushed() (rows, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written.rows - d.flushed.rows, d.written.bytes - d.flushed.bytes
}
