package invoker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// freeBytes is what an answer takes of the heap without asking for room, while it is read: nearly all answers are smaller, and
// a thousand of this size are what connections cost anyway.
const freeBytes = 64 << 10

// Bodies bounds what the answers to all calls of a worker hold together: from when they are read until they are applied. An answer
// that finds no room waits where it is, which holds its function back, until others are applied.
//
// Not all may wait for each other: one of them goes on without room when the answers that were read and wait to be applied
// hold little. There are always some under load, and one may wait for its topic to be looked up. So all hold at most the
// limit, an eighth of it, and one largest answer. It is safe for concurrent use; nil bounds nothing.
type Bodies struct {
	limit   int64
	reading atomic.Int64 // room that answers have which are being read; written under mu
	whole   atomic.Int64 // of answers that were read
	waiting atomic.Int32

	mu      sync.Mutex
	beyond  *share        // goes on without room
	changed chan struct{} // closed when there may be room, and replaced
}

// NewBodies returns an empty bound of so many bytes.
func NewBodies(limit int64) *Bodies {
	return &Bodies{limit: limit, changed: make(chan struct{})}
}

// Held is how many bytes answers hold that are read or were read and are not applied.
func (b *Bodies) Held() int64 { return b.reading.Load() + b.whole.Load() }

// Full says whether no more calls are to be made, because answers wait to be applied. Those that are still read do not count:
// a function that has said how long its answer is, and hangs, would keep all others from being called.
func (b *Bodies) Full() bool { return b.whole.Load() >= b.limit }

// Applied gives back the room of an answer of so many bytes, once nothing of it is needed.
func (b *Bodies) Applied(bytes int) {
	b.whole.Add(-int64(bytes))
	b.tell()
}

// read notes an answer that was read. Its reader gives back its own room after that, so that it is never counted less than once.
func (b *Bodies) read(bytes int) {
	if b != nil {
		b.whole.Add(int64(bytes))
	}
}

// tell wakes those who wait. A waiter says that it waits before it looks, so it either sees what was given back or is seen.
func (b *Bodies) tell() {
	if b.waiting.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// A share is the room of one answer while it is read, by the goroutine that reads it.
type share struct {
	bodies   *Bodies // nil: all room that it likes
	ctx      context.Context
	deadline time.Time
	held     int64
}

// grow waits until the answer may take size bytes in all. The error is a time-out when the deadline passes before.
func (s *share) grow(size int64) error {
	if s.bodies == nil || size <= freeBytes || size <= s.held || s.bodies.grant(s, size) {
		return nil
	}
	b := s.bodies
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	late := time.NewTimer(time.Until(s.deadline))
	defer late.Stop()
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if b.grant(s, size) {
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-late.C:
			return fmt.Errorf("%w: %w: others hold %d bytes (limits.answers)", os.ErrDeadlineExceeded, ErrNoRoom, b.Held())
		}
	}
}

// ErrNoRoom is why a call failed whose answer waited for room until its time was used up: others held it, and nothing is
// said of the function.
var ErrNoRoom = errors.New("waiting for room for the answer")

// grant gives a share room for size bytes, if there is any.
func (b *Bodies) grant(s *share, size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	more := size - s.held
	if b.beyond != s && b.Held()+more > b.limit {
		if b.beyond != nil || b.whole.Load() > b.limit/8 {
			return false
		}
		b.beyond = s
	}
	s.held = size
	b.reading.Add(more)
	return true
}

// close gives all room back.
func (s *share) close() {
	b := s.bodies
	if b == nil || s.held == 0 {
		return
	}
	b.mu.Lock()
	b.reading.Add(-s.held)
	s.held = 0
	if b.beyond == s {
		b.beyond = nil
	}
	b.mu.Unlock()
	b.tell()
}
