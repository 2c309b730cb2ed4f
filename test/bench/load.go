package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load hands in inputs at a steady pace from one number on, beside whatever else happens, until it is stopped.
type load struct {
	work      *workload
	from      int
	perSecond int
	began     time.Time
	next      atomic.Int64    // number of the input that comes next
	acks      []time.Duration // from due to the broker's answer, by number; of the client's goroutine until ended
	cancel    context.CancelFunc
	ended     chan struct{}
	err       error // read after ended
}

// errExhausted says that the test lasted longer than its workload.
var errExhausted = errors.New("the workload is used up before the end")

func startLoad(ctx context.Context, cl *kgo.Client, topic string, w *workload, from, perSecond int) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{work: w, from: from, perSecond: perSecond, began: time.Now(), cancel: cancel, ended: make(chan struct{}),
		acks: make([]time.Duration, len(w.ids))}
	l.next.Store(int64(from))
	go func() {
		defer close(l.ended)
		l.err = l.run(ctx, cl, topic)
	}()
	return l
}

// due is when an input has to be handed in. It is the time in its record too, so that a producer that falls behind
// does not hide the wait.
func (l *load) due(seq int) time.Time {
	return l.began.Add(time.Duration(seq-l.from) * time.Second / time.Duration(l.perSecond))
}

// at is the number of the first input that is due at t or later.
func (l *load) at(t time.Time) int {
	seq := l.from + int(t.Sub(l.began)*time.Duration(l.perSecond)/time.Second)
	for seq < l.sent() && l.due(seq).Before(t) {
		seq++
	}
	return min(max(seq, l.from), l.sent())
}

// sent is how many inputs there are by now, those before the load included.
func (l *load) sent() int { return int(l.next.Load()) }

func (l *load) run(ctx context.Context, cl *kgo.Client, topic string) error {
	var first firstError
	for seq := l.from; ctx.Err() == nil; seq++ {
		if seq == len(l.work.ids) {
			return errExhausted
		}
		if wait := time.Until(l.due(seq)); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				continue
			}
		}
		// Not with ctx: what is counted as sent has to arrive.
		cl.Produce(context.WithoutCancel(ctx), l.work.record(topic, seq, l.due(seq)), func(r *kgo.Record, err error) {
			l.acks[seq] = time.Since(l.due(seq))
			first.promise(r, err)
		})
		l.next.Store(int64(seq + 1))
	}
	if err := cl.Flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("write to %s: %w", topic, err)
	}
	return first.get()
}

// stop ends the load; all that it sent has arrived then. It may be called twice.
func (l *load) stop() error {
	l.cancel()
	<-l.ended
	return l.err
}
