// Package reader reads topics for tests as a consumer of them does: committed records only, from the first on.
package reader

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what is read.
type Options struct {
	Brokers string   // HOST:PORT
	Topics  []string // which must exist
	// KeyPrefix leaves out the records whose key does not begin so.
	KeyPrefix string
}

// A Reader collects what comes. Its methods are safe for concurrent use.
type Reader struct {
	prefix []byte

	mu      sync.Mutex
	records []*kgo.Record
	byKey   map[place][]*kgo.Record
	changed chan struct{} // closed and replaced when there is more
}

// place is where the records of one key of a topic are kept.
type place struct{ topic, key string }

// Start reads until the end of the test.
func Start(t testing.TB, o Options) *Reader {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.Brokers),
		kgo.ConsumeTopics(o.Topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		t.Fatalf("open a reader: %v", err)
	}
	r := &Reader{prefix: []byte(o.KeyPrefix), byKey: map[place][]*kgo.Record{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r.add(client.PollFetches(ctx).Records())
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	return r
}

func (r *Reader) add(records []*kgo.Record) {
	records = slices.DeleteFunc(records, func(got *kgo.Record) bool { return !bytes.HasPrefix(got.Key, r.prefix) })
	if len(records) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, records...)
	for _, record := range records {
		at := place{record.Topic, string(record.Key)}
		r.byKey[at] = append(r.byKey[at], record)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// All is what was seen so far, and a channel that closes when there is more.
func (r *Reader) All() (records []*kgo.Record, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[:len(r.records):len(r.records)], r.changed
}

// More is a channel that closes when something came after this call.
func (r *Reader) More() <-chan struct{} {
	_, more := r.All()
	return more
}

// Of is what was seen of a topic and key.
func (r *Reader) Of(topic, key string) []*kgo.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := r.byKey[place{topic, key}]
	return records[:len(records):len(records)]
}

// Keys are the keys seen of a topic, in order.
func (r *Reader) Keys(topic string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := map[string]bool{}
	for at := range r.byKey {
		if at.topic == topic {
			keys[at.key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// Await waits until what was seen is enough, and fails the test when it is not within the limit.
func (r *Reader) Await(t testing.TB, limit time.Duration, what string, enough func([]*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	deadline := time.After(limit)
	for {
		records, more := r.All()
		if enough(records) {
			return records
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("waited %v for %s; %d records came", limit, what, len(records))
		}
	}
}

// AwaitCount waits for n records and returns all.
func (r *Reader) AwaitCount(t testing.TB, limit time.Duration, n int) []*kgo.Record {
	t.Helper()
	return r.Await(t, limit, "records", func(records []*kgo.Record) bool { return len(records) >= n })
}

// Quiet watches for the given time that nothing more than n records comes.
func (r *Reader) Quiet(t testing.TB, d time.Duration, n int) {
	t.Helper()
	over := time.After(d)
	for {
		records, more := r.All()
		if len(records) > n {
			t.Fatalf("record %d came where %d were expected: %s", len(records), n, records[n].Value)
		}
		select {
		case <-more:
		case <-over:
			return
		}
	}
}
