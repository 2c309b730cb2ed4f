package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBadRecords sends records that no function can take: each goes to the dead-letter topic as it is, with the reason
// and where it came from, and the records around it go on.
func TestBadRecords(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		s := newScripted(t, c)
		w := s.app.startReady()
		dead := c.read(t, s.app.topic("dead-letter"))
		header := kgo.RecordHeader{Key: "trace", Value: []byte("abc\x00\xff")}
		tests := []struct {
			name   string
			record kgo.Record
			reason string
		}{
			{"without a key", kgo.Record{Topic: s.app.topic("in"), Value: []byte("no key")}, "no-key"},
			{"a tombstone", kgo.Record{Topic: s.app.topic("in"), Key: []byte("gone")}, "tombstone"},
			{"for a function that no endpoint serves", kgo.Record{Topic: s.app.topic("lost"), Key: []byte("k"), Value: []byte("v\xff")}, "unknown-target"},
		}
		sent := 0
		for i, test := range tests {
			bad := test.record
			bad.Headers = []kgo.RecordHeader{header}
			c.send(t, s.input("good", i*2), &bad, s.input("good", i*2+1))
			sent++
			got := dead.AwaitCount(t, 20*time.Second, sent)[sent-1]
			checkDeadLetter(t, test.name, &bad, got, test.reason, s.app.id)
		}
		s.awaitProcessed(t, "good", 2*len(tests))
		if n := w.metric("dead_letter"); n < float64(len(tests)) {
			t.Errorf("the metrics count %v dead letters, not %d", n, len(tests))
		}
		w.stop()
		dead.Quiet(t, 200*time.Millisecond, len(tests))
	})
}

// TestTooLargeRecord raises the limit of an ingress topic while the worker runs, and sends a record that the
// application's own topics, made before, would not take: it could never be copied into the changelog.
func TestTooLargeRecord(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		s := newScripted(t, c)
		c.createTopic(t, s.app.topic("dead-letter"), 1, "max.message.bytes", "8000000")
		w := s.app.startReady()
		dead := c.read(t, s.app.topic("dead-letter"))
		c.alterTopic(t, s.app.topic("in"), "max.message.bytes", "4000000")
		large := s.input("large", 0)
		large.Value = append(large.Value, bytes.Repeat([]byte(" "), 3_000_000)...)
		large.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("abc\x00\xff")}}
		c.send(t, s.input("good", 0), large, s.input("good", 1))
		checkDeadLetter(t, "too large", large, dead.AwaitCount(t, 20*time.Second, 1)[0], "too-large", s.app.id)
		s.awaitProcessed(t, "good", 2)
		w.stop()
		s.checkLives()
	})
}

// checkDeadLetter holds a dead-letter record against the record it stands for.
func checkDeadLetter(t *testing.T, name string, bad, got *kgo.Record, reason, app string) {
	t.Helper()
	if !bytes.Equal(got.Key, bad.Key) || (got.Key == nil) != (bad.Key == nil) {
		t.Errorf("%s: the dead letter's key is %q, not %q", name, got.Key, bad.Key)
	}
	if !bytes.Equal(got.Value, bad.Value) || (got.Value == nil) != (bad.Value == nil) {
		t.Errorf("%s: the dead letter's value is %q, not %q", name, got.Value, bad.Value)
	}
	headers := map[string]string{}
	for _, h := range got.Headers {
		headers[strings.TrimPrefix(h.Key, "statefun.dead-letter/")] = string(h.Value)
	}
	want := map[string]string{
		"trace": "abc\x00\xff", "reason": reason, "topic": bad.Topic, "application": app,
		"partition": fmt.Sprint(bad.Partition), "offset": fmt.Sprint(bad.Offset),
	}
	for key, value := range want {
		if headers[key] != value {
			t.Errorf("%s: header %s of the dead letter is %q, not %q", name, key, headers[key], value)
		}
	}
}

// badFunction is one way in which a function can fail its address.
type badFunction struct {
	id    string
	order order           // what its input makes the function do
	fault func(*scripted) // what its host does instead; nil: nothing
	mend  func(*scripted)
}

// badFunctions are all ways; each has an id, and so an address, of its own.
func badFunctions() []badFunction {
	mended := func(id string) func(*scripted) { return func(s *scripted) { s.faults.set(id, nil) } }
	return []badFunction{
		{"answers-500", order{}, func(s *scripted) { s.faults.set("answers-500", failing) }, mended("answers-500")},
		{"answers-garbage", order{}, func(s *scripted) { s.faults.set("answers-garbage", garbage) }, mended("answers-garbage")},
		{"answers-a-gigabyte", order{}, func(s *scripted) { s.faults.set("answers-a-gigabyte", gigabyte) }, mended("answers-a-gigabyte")},
		{"hangs", order{}, func(s *scripted) { s.faults.set("hangs", hanging) }, mended("hangs")},
		{"unknown-egress", order{Egress: "e2e.bad/nowhere"}, nil, func(s *scripted) { s.obey("unknown-egress", order{}) }},
		{"unknown-type", order{SendTo: "e2e.nobody/home"}, nil, func(s *scripted) { s.obey("unknown-type", order{}) }},
		{"duplicate-token", order{Tokens: []string{"t", "t"}}, nil, func(s *scripted) { s.obey("duplicate-token", order{}) }},
		{"missing-topic", order{Topic: "later"}, nil, func(s *scripted) { s.app.cluster.createTopic(s.t, s.app.topic("later"), 1) }},
		{"invalid-topic-name", order{Topic: "no such name!"}, nil, func(s *scripted) { s.obey("invalid-topic-name", order{}) }},
		{"too-large-for-its-topic", order{Topic: "small", Size: 100_000}, nil,
			func(s *scripted) { s.app.cluster.alterTopic(s.t, s.app.topic("small"), "max.message.bytes", "1000000") }},
	}
}

// TestBadFunctions breaks many functions at once. Only their own addresses wait, and nothing of their answers is seen;
// when they are mended they go on where they stood.
func TestBadFunctions(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		s := newScripted(t, c)
		c.createTopic(t, s.app.topic("small"), 1, "max.message.bytes", "10000")
		cases := badFunctions()
		w := s.app.startReady()
		for _, b := range cases {
			if b.fault != nil {
				b.fault(s)
			}
			s.obey(b.id, b.order)
			c.send(t, s.input(b.id, 0), s.input(b.id, 1))
		}
		c.send(t, s.inputOf("away", "is-away", 0), s.inputOf("away", "is-away", 1))
		for _, b := range cases {
			await(t, 30*time.Second, "a call of "+b.id, func() bool { return s.faults.count(b.id) > 0 })
		}
		// All else goes on, in rounds, so that a worker that stops and comes back again does not pass.
		const rounds, ids = 10, 20
		for round := range rounds {
			for i := range ids {
				c.send(t, s.input(fmt.Sprintf("healthy-%d", i), round))
			}
			for i := range ids {
				s.awaitProcessed(t, fmt.Sprintf("healthy-%d", i), round+1)
			}
		}
		for _, b := range cases {
			if n := s.processed(b.id); n != 0 {
				t.Errorf("%s: %d records of a refused answer were committed", b.id, n)
			}
		}
		if !w.ready() {
			t.Error("the worker is unready because of functions that fail")
		}
		if peak := w.PeakMemory(); peak > 600<<20 {
			t.Errorf("the worker took %d MiB", peak>>20)
		}
		for _, b := range cases {
			b.mend(s)
		}
		s.away.open()
		for _, b := range cases {
			t.Run("mended/"+b.id, func(t *testing.T) { s.awaitProcessed(t, b.id, 2) })
		}
		t.Run("mended/is-away", func(t *testing.T) { s.awaitProcessed(t, "is-away", 2) })
		t.Logf("peak memory of the worker %d MiB", w.PeakMemory()>>20)
		w.stop()
		s.checkLives()
	})
}
