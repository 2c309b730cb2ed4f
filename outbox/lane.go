package outbox

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statefun-kafka/statefun-kafka/state"
)

const (
	// roundRows and roundBytes bound what a lane holds in memory.
	roundRows  = 1000
	roundBytes = 1 << 20

	// firstPause and longestPause bound the wait before items are tried again that could not be delivered.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second

	// roundTime ends a round that takes its time, so that what was delivered is settled now and then: the more of it a
	// crash finds unsettled, the more is delivered again.
	roundTime = time.Second

	// slowAfter is how long a target may be silent in a round before a line of the log says so.
	slowAfter = 5 * time.Second
)

// Store is what a lane reads of the rows of its partition.
type Store interface {
	// Scan visits at most limit rows of [from, to) in key order.
	Scan(from, to []byte, limit int, visit func(key, value []byte) error) error
}

// Config is what a lane is made of.
type Config struct {
	Partition int32
	Target    string // the name that its rows have
	Store     Store
	Deliver   Target
	// Settled takes what became of items. The lane waits for it, so that no more than a round is on its way.
	Settled func(ctx context.Context, results []Result)
	// Failed is told of a row that the store cannot give, after which the lane ends.
	Failed  func(error)
	Metrics *Metrics
	Logger  *slog.Logger
}

// Lane delivers the rows of one partition to one target, in the order of their numbers.
type Lane struct {
	Config
	woken  chan struct{}
	oldest atomic.Int64 // when the first row was put that is not delivered, in milliseconds; 0: none waits

	next  uint64      // number of the first row that was not read
	slow  atomic.Bool // it was said that the target does not answer
	pause time.Duration
}

// NewLane returns a lane; nothing is delivered before Run.
func NewLane(c Config) *Lane { return &Lane{Config: c, woken: make(chan struct{}, 1)} }

// Wake says that there may be rows. Any goroutine may call it.
func (l *Lane) Wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// Oldest is when the first row was put that waits; false when none does. Any goroutine may call it.
func (l *Lane) Oldest() (time.Time, bool) {
	ms := l.oldest.Load()
	return time.UnixMilli(ms), ms != 0
}

// Run delivers until ctx is done.
func (l *Lane) Run(ctx context.Context) {
	for ctx.Err() == nil {
		items, err := l.read()
		if err != nil {
			l.Failed(err)
			return
		}
		if len(items) == 0 {
			l.oldest.Store(0)
			select {
			case <-l.woken:
			case <-ctx.Done():
			}
			continue
		}
		l.deliver(ctx, items)
	}
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// read gives the rows of the next round.
func (l *Lane) read() (items []Item, err error) {
	_, to := state.PrefixRange(state.OutboxPrefix(l.Target))
	bytes := 0
	err = l.Store.Scan(state.OutboxKey(l.Target, l.next), to, roundRows, func(key, value []byte) error {
		_, seq, err := state.ParseOutboxKey(key)
		if err != nil {
			return err
		}
		row, err := state.ParseOutbox(append([]byte(nil), value...))
		if err != nil {
			return err
		}
		items = append(items, Item{Seq: seq, Bytes: len(key) + len(value), Outbox: row})
		if bytes += len(value); bytes >= roundBytes {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if len(items) > 0 {
		l.next = items[len(items)-1].Seq + 1
	}
	return items, err
}

// deliver hands items on until each is settled.
func (l *Lane) deliver(ctx context.Context, items []Item) {
	alone := 0 // that many are handed on one by one
	for len(items) > 0 && ctx.Err() == nil {
		l.oldest.Store(items[0].Since.UnixMilli())
		together := items
		if alone > 0 {
			together = items[:1]
		}
		results, rest, doubt, fault := l.round(ctx, together, alone > 0)
		if len(results) > 0 {
			l.pause = 0
			l.Settled(ctx, results)
		}
		if doubt {
			alone = len(items)
		}
		alone = max(alone-len(results), 0)
		items = append(rest, items[len(together):]...)
		if fault != nil && ctx.Err() == nil {
			l.wait(ctx, fault)
		}
	}
}

// round hands items on in their order and waits for all of them. It stops with the first that fails at once: what comes
// behind could overtake it. Doubt is set when an item was refused that may have suffered for another.
func (l *Lane) round(ctx context.Context, items []Item, alone bool) (results []Result, rest []Item, doubt bool, fault error) {
	r := &flight{left: make(chan struct{}, 1), outcomes: make([]error, len(items)), ended: make([]bool, len(items))}
	if err := l.Deliver.Begin(ctx); err != nil {
		return nil, items, false, err
	}
	handed := l.hand(ctx, r, items)
	l.Deliver.Send()
	if !l.await(ctx, r, handed) {
		return nil, items, false, ctx.Err() // nobody knows: whoever owns the partition next delivers them again
	}
	for i, item := range items {
		var refusal *Refusal
		switch {
		case i >= handed:
			rest = append(rest, item)
		case r.outcomes[i] == nil:
			results = append(results, Result{Item: item})
			l.Metrics.delivered.WithLabelValues(l.Target).Inc()
		case errors.As(r.outcomes[i], &refusal) && (refusal.Certain || alone):
			results = append(results, Result{Item: item, Refusal: refusal})
			l.Metrics.refused.WithLabelValues(l.Target, refusal.Reason).Inc()
		case refusal != nil:
			doubt, rest = true, append(rest, item)
		default:
			l.Metrics.failures.WithLabelValues(l.Target).Inc()
			rest = append(rest, item)
			if fault == nil {
				fault = r.outcomes[i]
			}
		}
	}
	return results, rest, doubt, fault
}

// hand hands items on, and tells how many: all, unless one fails at once or the round takes long.
func (l *Lane) hand(ctx context.Context, r *flight, items []Item) (handed int) {
	silent := time.AfterFunc(slowAfter, func() { l.saySlow(1) })
	defer silent.Stop()
	end := time.Now().Add(roundTime)
	for i := range items {
		if r.failed() || ctx.Err() != nil || i > 0 && time.Now().After(end) {
			break
		}
		handed++
		silent.Reset(slowAfter)
		l.Deliver.Deliver(ctx, items[i], func(err error) { r.done(i, err) })
	}
	return handed
}

// saySlow says once that the target is silent.
func (l *Lane) saySlow(rows int) {
	if l.slow.CompareAndSwap(false, true) {
		l.Logger.Warn("the outbox waits for its target, which does not answer; its rows are kept", "target", l.Target, "partition", l.Partition, "rows", rows)
	}
}

// await returns true when all that was handed on has ended, false when ctx is done first.
func (l *Lane) await(ctx context.Context, r *flight, handed int) bool {
	slow := time.NewTimer(slowAfter)
	defer slow.Stop()
	for !r.all(handed) {
		select {
		case <-r.left:
		case <-slow.C:
			l.saySlow(handed)
		case <-ctx.Done():
			return false
		}
	}
	if l.slow.CompareAndSwap(true, false) {
		l.Logger.Info("the outbox goes on", "target", l.Target, "partition", l.Partition)
	}
	return true
}

// wait pauses after a fault, longer each time.
func (l *Lane) wait(ctx context.Context, fault error) {
	if l.pause == 0 {
		l.Logger.Warn("the outbox cannot deliver, its rows are kept and tried again", "target", l.Target, "partition", l.Partition, "error", fault)
	}
	l.pause = min(max(2*l.pause, firstPause), longestPause)
	timer := time.NewTimer(l.pause + rand.N(l.pause/4))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// flight is a round that was handed on.
type flight struct {
	mu       sync.Mutex
	outcomes []error
	ended    []bool
	count    int
	fault    bool
	left     chan struct{} // told when something has ended
}

func (f *flight) done(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended[i] {
		return
	}
	f.ended[i], f.outcomes[i] = true, err
	f.count++
	var refusal *Refusal
	if err != nil && (!errors.As(err, &refusal) || !refusal.Certain) {
		f.fault = true
	}
	select {
	case f.left <- struct{}{}:
	default:
	}
}

func (f *flight) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

func (f *flight) all(handed int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count == handed
}
