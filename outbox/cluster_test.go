package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// strict is a cluster with topic "out" of one partition, which refuses batches with a record "poison", and a target there.
type strict struct {
	t       *testing.T
	cluster *kfake.Cluster
	target  *Kafka
	metrics *Metrics

	mu      sync.Mutex
	settled []string // ids; those that were refused have a "!" behind
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return refusePoison(r.(*kmsg.ProduceRequest))
	})
	catalog := egress.NewCatalog(egress.Options{FactsAge: time.Hour})
	learn := func(_ context.Context, topic string) error {
		catalog.Learn(topic, egress.Facts{Partitions: 1, MaxMessageBytes: 1 << 20}, time.Now())
		return nil
	}
	client, err := kgo.NewClient(append(ProducerOptions(catalog), kgo.SeedBrokers(c.ListenAddrs()...), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	spawn := func(work func(context.Context)) { go work(t.Context()) }
	return &strict{t: t, cluster: c, target: NewKafka(client, catalog, learn, spawn), metrics: NewMetrics(prometheus.NewRegistry())}
}

func refusePoison(r *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
	response, bad := r.ResponseKind().(*kmsg.ProduceResponse), false
	for _, topic := range r.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			bad = bad || bytes.Contains(p.Records, []byte("poison"))
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, kerr.InvalidTimestamp.Code
			answer.Partitions = append(answer.Partitions, partition)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response, nil, bad
}

// lane delivers texts for topic "out" as one partition does, at most so many in a round. Their ids are texts, too.
func (s *strict) lane(ctx context.Context, partition int32, round int, texts []string) {
	store := &rows{rows: map[string][]byte{}}
	for i, text := range texts {
		payload := AppendRecord(nil, &kgo.Record{Topic: "out", Key: []byte("k"), Value: []byte(text)})
		id := fmt.Sprintf("%d/%d/%s", partition, i, text)
		store.rows[string(state.OutboxKey("t/out", uint64(i+1)))] = state.AppendOutbox(nil, state.Outbox{Since: time.Now(), ID: id, Payload: payload})
	}
	l := NewLane(Config{
		Partition: partition, Target: "t/out", Store: rounds{store, round}, Deliver: s.target, Metrics: s.metrics, Logger: slog.New(slog.DiscardHandler),
		Settled: func(_ context.Context, results []Result) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, r := range results {
				if r.Refusal != nil {
					r.ID += "!"
				}
				s.settled = append(s.settled, r.ID)
			}
		},
	})
	go l.Run(ctx)
}

// rounds is a store that gives at most n rows at a time.
type rounds struct {
	*rows
	n int
}

// Scan is Store's.
func (r rounds) Scan(from, to []byte, limit int, visit func(key, value []byte) error) error {
	return r.rows.Scan(from, to, min(limit, r.n), visit)
}

// until waits until n rows are settled, and gives those that were refused.
func (s *strict) until(n int) (refused []string) {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.mu.Lock()
		settled := slices.Clone(s.settled)
		s.mu.Unlock()
		if len(settled) >= n {
			return slices.DeleteFunc(settled, func(id string) bool { return !strings.HasSuffix(id, "!") })
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d are settled", len(settled), n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// firsts are n values of the topic, without copies, in the order in which a reader sees them.
func (s *strict) firsts(n int) (values []string) {
	s.t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.ListenAddrs()...), kgo.ConsumeTopics("out"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	seen := map[string]bool{}
	for len(values) < n {
		f := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			s.t.Fatalf("%d of %d records: %v", len(values), n, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if v := string(r.Value); !seen[v] {
				seen[v], values = true, append(values, v)
			}
		})
	}
	return values
}

// Partitions of the application share the producer of a target, which gives up all that it holds for a topic partition
// when the broker refuses one record of it.
func TestARefusedRecordTakesNoRecordOfAnotherLaneAlong(t *testing.T) {
	s := newStrict(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const lanes, n = 4, 20
	for lane := range int32(lanes) {
		texts := slices.Repeat([]string{"good"}, n)
		if lane == 0 {
			texts[3] = "poison"
		}
		s.lane(ctx, lane, n, texts)
	}
	if refused := s.until(lanes * n); len(refused) != 1 || refused[0] != "0/3/poison!" {
		t.Errorf("refused for ever: %v", refused)
	}
}

// What is behind a refused record in its round must not arrive before what is beside it is tried again.
func TestARefusedRecordLetsNothingOvertakeWhatIsBesideIt(t *testing.T) {
	s := newStrict(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const count, n = 40, 200
	var texts []string
	good := map[string]bool{}
	for i := range count * n {
		text := fmt.Sprintf("%06d", i)
		if i > n && i%n == 2 {
			text = "poison"
		} else {
			good[text] = true
		}
		texts = append(texts, text)
	}
	s.lane(ctx, 0, n, texts)
	if refused := s.until(len(texts)); len(refused) != len(texts)-len(good) {
		t.Errorf("%d were refused, want %d", len(refused), len(texts)-len(good))
	}
	want := slices.Sorted(maps.Keys(good))
	for i, got := range s.firsts(len(want)) {
		if got != want[i] {
			t.Fatalf("record %d is %s, want %s", i, got, want[i])
		}
	}
}

// A partition that is lost while its round is on its way leaves nothing behind for which the others would wait.
func TestALaneThatEndsInItsRoundGivesTheTurnBack(t *testing.T) {
	s := newStrict(t)
	came, lost := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		once.Do(func() { close(came) })
		s.cluster.SleepControl(func() { <-lost })
		return nil, nil, false
	})
	first, cancel := context.WithCancel(t.Context())
	s.lane(first, 0, 10, []string{"of the first"})
	<-came
	cancel()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	s.lane(ctx, 1, 10, []string{"of the second"})
	close(lost)
	s.until(1)
	if got := s.firsts(1); got[0] != "of the second" {
		t.Errorf("the topic begins with %v", got)
	}
}

// A broker that has just started may not know the id of a topic that is as it was. The producer forgets the topic then, and
// numbers its records anew: behind a record that was taken meanwhile, the broker would hold the next one for a copy.
func TestARecordBehindAnUnknownTopicIDIsWritten(t *testing.T) {
	s := newStrict(t)
	var flush func(context.Context)
	var later []func(context.Context)
	var mu sync.Mutex
	s.target.spawn = func(work func(context.Context)) {
		mu.Lock()
		defer mu.Unlock()
		if flush == nil {
			flush = work
			return
		}
		later = append(later, work) // a goroutine may begin late
	}
	deliver := func(id string) error {
		t.Helper()
		if err := s.target.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		item := Item{Outbox: state.Outbox{ID: id, Payload: AppendRecord(nil, &kgo.Record{Topic: "out", Value: []byte(id)})}}
		s.target.Deliver(t.Context(), item, func(err error) { told <- err })
		mu.Lock()
		flush = nil
		mu.Unlock()
		s.target.Send()
		flush(t.Context())
		return <-told
	}
	if err := deliver("before"); err != nil {
		t.Error(err)
	}
	const tries = 5 // of the client, before it gives a record up
	s.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "out", Err: kerr.UnknownTopicID, Count: tries})
	if err := deliver("refused"); !errors.Is(err, kerr.UnknownTopicID) {
		t.Fatal(err)
	}
	if err := deliver("first"); err != nil {
		t.Error(err)
	}
	for _, work := range later {
		work(t.Context())
	}
	if err := deliver("second"); err != nil {
		t.Error(err)
	}
	if n := s.end(); n != 3 {
		t.Errorf("three records were taken, the topic has %d", n)
	}
}

// end is the number of records in the topic.
func (s *strict) end() int64 {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.ListenAddrs()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(s.t.Context(), "out")
	if err != nil {
		s.t.Fatal(err)
	}
	end, _ := ends.Lookup("out", 0)
	return end.Offset
}
