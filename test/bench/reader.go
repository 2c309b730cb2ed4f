package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// settle is how long the reader goes on after the last expected output, to meet duplicates.
	settle = 500 * time.Millisecond
	// lead is left out at the start of the drain rate: what becomes visible in it may be one large first transaction.
	lead = 50 * time.Millisecond
)

// arrival is one poll that brought outputs.
type arrival struct {
	at    time.Time
	total int // outputs up to and with this poll
}

// reader reads the egress topic with read_committed and checks as it goes.
type reader struct {
	client *kgo.Client
	ended  chan struct{}

	mu       sync.Mutex
	check    *checker
	arrivals []arrival
	latency  []time.Duration // by seq; 0: not seen
	marks    []mark
	watch    *watch
	err      error
}

// watch asks when partitions are served: the first output for an input of each that was due after a moment.
type watch struct {
	after  time.Time
	serves map[int32]time.Time // of the partitions asked for; zero: not yet
	open   int                 // partitions without
	done   chan struct{}       // closed when there is none
	of     func(key string) int32
}

// see takes in one output.
func (w *watch) see(key []byte, sent, now time.Time) {
	if w == nil || w.open == 0 || !sent.After(w.after) {
		return
	}
	p := w.of(string(key))
	if at, asked := w.serves[p]; !asked || !at.IsZero() {
		return
	}
	w.serves[p] = now
	if w.open--; w.open == 0 {
		close(w.done)
	}
}

// served watches partitions from now on; of tells the partition of a key. The watch before it is over.
func (r *reader) served(partitions []int32, after time.Time, of func(key string) int32) *watch {
	w := &watch{after: after, serves: map[int32]time.Time{}, open: len(partitions), done: make(chan struct{}), of: of}
	for _, p := range partitions {
		w.serves[p] = time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = w
	return w
}

// mark asks to be told when a number of outputs has come.
type mark struct {
	outputs int
	reached chan struct{}
}

// startReader reads topic from its start until stop.
func startReader(broker, topic string, w *workload) (*reader, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(250*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("open the reader: %w", err)
	}
	r := &reader{client: cl, ended: make(chan struct{}), check: newChecker(w), latency: make([]time.Duration, len(w.ids))}
	go r.run()
	return r, nil
}

func (r *reader) run() {
	defer close(r.ended)
	for {
		fetches := r.client.PollFetches(context.Background())
		now := time.Now()
		if fetches.IsClientClosed() {
			return
		}
		r.mu.Lock()
		for _, e := range fetches.Errors() {
			r.err = fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			if p, ok := r.check.add(k.Key, k.Value); ok {
				r.latency[p.Seq] = max(1, now.Sub(p.Sent))
				r.watch.see(k.Key, p.Sent, now)
			}
		})
		if fetches.NumRecords() > 0 {
			r.arrivals = append(r.arrivals, arrival{now, r.check.outputs})
		}
		r.marks = slices.DeleteFunc(r.marks, func(m mark) bool {
			if r.check.outputs < m.outputs {
				return false
			}
			close(m.reached)
			return true
		})
		r.mu.Unlock()
	}
}

// reached is closed when n outputs have come.
func (r *reader) reached(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	ch := make(chan struct{})
	if r.check.outputs >= n {
		close(ch)
	} else {
		r.marks = append(r.marks, mark{n, ch})
	}
	return ch
}

// progress is the number of outputs so far.
func (r *reader) progress() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.check.outputs
}

// finish waits for duplicates and ends the reading.
func (r *reader) finish() {
	time.Sleep(settle)
	r.stop()
}

// problems is what the checker or the client found wrong; call after finish.
func (r *reader) problems() []string {
	out := r.check.problems()
	if r.err != nil {
		out = append(out, r.err.Error())
	}
	return out
}

// stop ends the reading; the fields may be read freely after it.
func (r *reader) stop() {
	r.client.Close()
	<-r.ended
}

// first and last are the arrivals of the first and last output; call after stop.
func (r *reader) first() time.Time { return r.arrivals[0].at }

func (r *reader) last() time.Time {
	i := slices.IndexFunc(r.arrivals, func(a arrival) bool { return a.total == r.check.outputs })
	return r.arrivals[i].at
}

// rate is outputs a second between the first and the last output, the lead left out on both counts.
func (r *reader) rate() float64 {
	from, before := r.first().Add(lead), 0
	for _, a := range r.arrivals {
		if !a.at.After(from) {
			before = a.total
		}
	}
	span := r.last().Sub(from)
	if span <= 0 {
		return 0
	}
	return float64(r.check.outputs-before) / span.Seconds()
}
