package worker

import "time"

const (
	// fewestCalls is what an endpoint may always have in flight: enough to keep a few cores busy on both sides.
	fewestCalls = 64

	// limitWindow is how often the limit is thought over.
	limitWindow = 100 * time.Millisecond

	// floorWindows is how many windows the shortest call is remembered: functions change.
	floorWindows = 100
)

// limit is how many calls an endpoint may have in flight. More calls help while they do not wait for each other:
// when a call takes hardly longer than the shortest did, the limit grows; when calls mostly queue, at the function
// or for the processor, it shrinks, because a deeper queue there only takes inputs out of reach of batching (after
// TCP Vegas).
type limit struct {
	calls, most int
	floor       time.Duration // shortest call of late
	windows     int
	began       time.Time
	sum         time.Duration
	n           int
	full        bool // the limit was reached in this window
}

func newLimit(most int) limit { return limit{calls: min(fewestCalls, most), most: most} }

func (l *limit) now() int { return l.calls }

// observe takes in a call that was answered while flight others were in flight.
func (l *limit) observe(took time.Duration, flight int, now time.Time) {
	l.sum += took
	l.n++
	l.full = l.full || flight+1 >= l.calls
	if l.floor == 0 || took < l.floor {
		l.floor, l.windows = took, 0
	}
	if now.Sub(l.began) < limitWindow || l.n < l.calls/2 {
		return
	}
	mean := l.sum / time.Duration(l.n)
	queued := float64(mean-l.floor) / float64(mean)
	switch {
	case queued < 0.3 && l.full:
		l.calls = min(l.calls+l.calls/4, l.most)
	case queued > 0.7:
		l.calls = max(l.calls-l.calls/8, min(fewestCalls, l.most))
	}
	l.began, l.sum, l.n, l.full = now, 0, 0, false
	if l.windows++; l.windows > floorWindows {
		l.floor, l.windows = mean, 0
	}
}
