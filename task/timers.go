package task

import (
	"container/heap"
	"fmt"
	"math"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// timerRef is the place of a delayed message's row.
type timerRef struct {
	fireAt int64
	seq    uint64
}

func (a timerRef) before(b timerRef) bool {
	return a.fireAt < b.fireAt || a.fireAt == b.fireAt && a.seq < b.seq
}

// timers has the delayed messages that fire first. All rows below the horizon are in near; those at and above it
// are only in the store and in the overlay.
type timers struct {
	near    timerHeap
	horizon timerRef
}

type timerHeap []timerRef

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timerRef)) }

// Pop is heap.Interface's.
func (h *timerHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (ts *timers) next() (fireAt int64, is bool) {
	if len(ts.near) == 0 {
		return 0, false
	}
	return ts.near[0].fireAt, true
}

// delay schedules or cancels one delayed message. Its rows lie with the sender, whose id is the scope of tokens.
func (t *Task) delay(c *Call, d *Delayed, now time.Time) error {
	if d.Cancel {
		return t.cancel(c.Target.ID, d.Token)
	}
	ref := timerRef{fireAt: now.Add(d.Delay).UnixMilli(), seq: t.nextSeq()}
	t.put(state.TimerKey(ref.fireAt, ref.seq), state.AppendTimer(nil, state.Timer{Sender: c.Target.ID, Token: d.Token, Envelope: d.Envelope}))
	if d.Token != "" {
		t.put(state.TokenKey(c.Target.ID, d.Token), state.AppendToken(nil, state.Token{FireAtMs: ref.fireAt, Seq: ref.seq}))
	}
	if ref.before(t.timers.horizon) {
		heap.Push(&t.timers.near, ref)
		t.timers.shorten(t.limits.timers)
	}
	return nil
}

// shorten lets go of the far half of the near timers once there are too many; their rows stay.
func (ts *timers) shorten(limit int) {
	if len(ts.near) <= 2*limit {
		return
	}
	sorted := make(timerHeap, 0, limit)
	for range limit {
		sorted = append(sorted, heap.Pop(&ts.near).(timerRef))
	}
	ts.near, ts.horizon = sorted, ts.near[0]
}

// cancel drops the delayed message of a token; a token that is not live is no fault.
func (t *Task) cancel(id, token string) error {
	key := state.TokenKey(id, token)
	row, err := t.lookup(key)
	if err != nil || row == nil {
		return err
	}
	ref, err := state.ParseToken(row)
	if err != nil {
		return fmt.Errorf("partition %d: cancellation token %q of id %q: %w", t.Partition, token, id, err)
	}
	t.put(key, nil)
	t.put(state.TimerKey(ref.FireAtMs, ref.Seq), nil)
	return nil
}

// Fire gives at most limit delayed messages whose time has come, in the order they fire. Their rows are gone with
// the next cut, which also carries the messages.
func (t *Task) Fire(nowMillis int64, limit int) (due []protocol.Envelope, err error) {
	for len(due) < limit && len(t.timers.near) > 0 && t.timers.near[0].fireAt <= nowMillis {
		ref := heap.Pop(&t.timers.near).(timerRef)
		e, live, err := t.fire(ref)
		if err != nil {
			return due, fmt.Errorf("partition %d: delayed message: %w", t.Partition, err)
		}
		if live {
			due = append(due, e)
		}
		if len(t.timers.near) == 0 {
			if err := t.loadTimers(); err != nil {
				return due, err
			}
		}
	}
	return due, nil
}

func (t *Task) fire(ref timerRef) (e protocol.Envelope, live bool, err error) {
	key := state.TimerKey(ref.fireAt, ref.seq)
	row, err := t.lookup(key)
	if err != nil || row == nil { // nil: cancelled
		return e, false, err
	}
	timer, err := state.ParseTimer(row)
	if err != nil {
		return e, false, err
	}
	if e, err = protocol.ParseEnvelope(timer.Envelope); err != nil {
		return e, false, err
	}
	t.put(key, nil)
	if timer.Token == "" {
		return e, true, nil
	}
	tokenKey := state.TokenKey(timer.Sender, timer.Token)
	if row, err = t.lookup(tokenKey); err != nil || row == nil {
		return e, true, err
	}
	token, err := state.ParseToken(row)
	if err == nil && token.FireAtMs == ref.fireAt && token.Seq == ref.seq {
		t.put(tokenKey, nil)
	}
	return e, true, err
}

// loadTimers brings the next delayed messages into memory: those of the store from the horizon on, and those of
// the overlay that lie among them.
func (t *Task) loadTimers() error {
	from := t.timers.horizon
	last := timerRef{fireAt: math.MaxInt64, seq: math.MaxUint64}
	if from == last {
		return nil
	}
	_, to := state.KindRange(state.KindTimer)
	n := 0
	var read timerRef
	err := t.Store.Scan(state.TimerKey(from.fireAt, from.seq), to, t.limits.timers, func(key, _ []byte) (err error) {
		read.fireAt, read.seq, err = state.ParseTimerKey(key)
		t.timers.near = append(t.timers.near, read)
		n++
		return err
	})
	if err != nil {
		return fmt.Errorf("partition %d: read delayed messages: %w", t.Partition, err)
	}
	t.timers.horizon = last
	if n == t.limits.timers {
		t.timers.horizon = timerRef{read.fireAt, read.seq + 1}
	}
	for _, l := range []*layer{&t.committing, &t.collecting} {
		for i := range l.rows {
			if l.rows[i].Value == nil || l.rows[i].Key[0] != state.KindTimer {
				continue
			}
			ref := timerRef{}
			if ref.fireAt, ref.seq, err = state.ParseTimerKey(l.rows[i].Key); err != nil {
				return fmt.Errorf("partition %d: %w", t.Partition, err)
			}
			if !ref.before(from) && ref.before(t.timers.horizon) {
				t.timers.near = append(t.timers.near, ref)
			}
		}
	}
	heap.Init(&t.timers.near)
	return nil
}
