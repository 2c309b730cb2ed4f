package e2e

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reader collects what a read_committed consumer sees on some topics, from their beginning.
type reader struct {
	client *kgo.Client
	prefix []byte // of the keys of the records that are kept

	mu      sync.Mutex
	records []*kgo.Record
	changed chan struct{} // closed and replaced at every record
}

// read starts a reader that ends with the test. The topics must exist.
func (c *cluster) read(t *testing.T, topics ...string) *reader {
	t.Helper()
	return c.readKeys(t, "", topics...)
}

// readKeys starts a reader that passes over records whose key lacks the prefix.
func (c *cluster) readKeys(t *testing.T, prefix string, topics ...string) *reader {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.addr()),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		t.Fatalf("open a reader: %v", err)
	}
	r := &reader{client: client, prefix: []byte(prefix), changed: make(chan struct{})}
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

func (r *reader) add(records []*kgo.Record) {
	records = slices.DeleteFunc(records, func(got *kgo.Record) bool { return !bytes.HasPrefix(got.Key, r.prefix) })
	if len(records) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, records...)
	close(r.changed)
	r.changed = make(chan struct{})
}

// all is what was seen so far, and a channel that closes when there is more.
func (r *reader) all() (records []*kgo.Record, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[:len(r.records):len(r.records)], r.changed
}

// await waits until what was seen is enough.
func (r *reader) await(t *testing.T, limit time.Duration, what string, enough func([]*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	deadline := time.After(limit)
	for {
		records, more := r.all()
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

// awaitCount waits for n records and returns them all.
func (r *reader) awaitCount(t *testing.T, limit time.Duration, n int) []*kgo.Record {
	t.Helper()
	return r.await(t, limit, "records", func(records []*kgo.Record) bool { return len(records) >= n })
}

// quiet watches for the given time that nothing more than n records comes.
func (r *reader) quiet(t *testing.T, d time.Duration, n int) {
	t.Helper()
	over := time.After(d)
	for {
		records, more := r.all()
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
