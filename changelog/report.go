package changelog

import (
	"log/slog"
	"time"
)

// Report is how far a replay is.
type Report struct {
	Rows, Bytes int64
	From        int64 // the offset it began at
	Next        int64 // the offset it wants next
	Barrier     int64 // the offset it ends with
	Done        bool
	Elapsed     time.Duration // since its first records
}

// Report returns how far the replay is.
func (r *Replay) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.report
	if !r.began.IsZero() {
		report.Elapsed = r.now().Sub(r.began)
	}
	return report
}

// RowsPerSecond returns how fast the replay was so far.
func (p Report) RowsPerSecond() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Rows) / p.Elapsed.Seconds()
}

// Remaining guesses how long the rest takes, from the offsets passed so far; false while there is nothing to go by.
func (p Report) Remaining() (time.Duration, bool) {
	passed, left := p.Next-p.From, p.Barrier+1-p.Next
	if p.Done || left <= 0 {
		return 0, true
	}
	if passed <= 0 || p.Elapsed <= 0 {
		return 0, false
	}
	return time.Duration(float64(p.Elapsed) / float64(passed) * float64(left)), true
}

// LogValue is for slog.
func (p Report) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Int64("rows", p.Rows),
		slog.Int64("bytes", p.Bytes),
		slog.Int64("rowsPerSecond", int64(p.RowsPerSecond())),
		slog.Int64("offset", p.Next),
		slog.Int64("barrier", p.Barrier),
		slog.Duration("elapsed", p.Elapsed.Round(time.Millisecond)),
	}
	if left, known := p.Remaining(); known {
		attrs = append(attrs, slog.Duration("remaining", left.Round(time.Millisecond)))
	}
	return slog.GroupValue(attrs...)
}
