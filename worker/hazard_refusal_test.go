package worker

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// The fourth effect of an answer uses a cancellation token that is in use. Three egress records lie before it; were
// effects taken as they come, they would be in a transaction that other addresses commit.
func TestH6ADuplicateTokenInTheFourthEffectLeavesNothing(t *testing.T) {
	var bad atomic.Int64
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID != "bad" {
			return echo(ctx, call, r)
		}
		bad.Add(1)
		for _, v := range []string{"one", "two", "three"} {
			r.egress("test/out", "out", "bad", v)
		}
		r.send(functionAt("friend"), "from bad")
		r.set("count", "7")
		r.delay(functionAt("friend"), "later", 0, "token")
		r.delay(functionAt("friend"), "later", 0, "token")
		return nil
	})
	l.up()
	l.put("in", 0, "bad", "r0")
	l.until("the answer was refused twice", func() bool { return bad.Load() >= 2 })
	l.put("in", 0, "good", "r1")
	l.expect("good", "1:r1")
	out := l.outputs()
	if len(out["bad"]) > 0 || len(out["friend"]) > 0 {
		t.Errorf("a refused answer left %v", out)
	}
	for key := range l.rows() {
		if strings.Contains(key.key, "token") || strings.Contains(key.key, "friend") {
			t.Errorf("a refused answer left the row %q", key.key)
		}
	}
	l.become(echo)
	l.expect("bad", "1:r0")
}

// An answer holds a good egress record and one that its topic refuses. Found out only by the broker, it would abort
// the worker's transaction, and after it the next one, for ever; found out by the check, it is this address' alone.
func TestH6AnEgressRecordThatItsTopicRefusesIsTheAnswersFault(t *testing.T) {
	large := strings.Repeat("x", 2<<20)
	for name, refused := range map[string]struct{ egress, topic, value string }{
		"unknown topic":    {"test/out", "nowhere", "v"},
		"invalid name":     {"test/out", "not a topic!", "v"},
		"too large":        {"test/out", "out", large},
		"internal topic":   {"test/out", "app-changelog", "v"},
		"no such egress":   {"test/nothing", "out", "v"},
		"no topic at all":  {"test/out", "", "v"},
		"key of two MiB":   {"test/out", "out", "v"},
		"token of two MiB": {},
	} {
		t.Run(name, func(t *testing.T) {
			refusedAnswer(t, func(r *reply) {
				switch name {
				case "key of two MiB":
					r.egress(refused.egress, refused.topic, large, refused.value)
				case "token of two MiB":
					r.delay(functionAt("friend"), "later", 0, large)
				default:
					r.egress(refused.egress, refused.topic, "bad", refused.value)
				}
			})
		})
	}
}

// refusedAnswer runs a function whose address "bad" answers with a good record and a bad effect, and checks that
// only it is held back.
func refusedAnswer(t *testing.T, effect func(r *reply)) {
	var bad atomic.Int64
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID != "bad" {
			return echo(ctx, call, r)
		}
		bad.Add(1)
		r.egress("test/out", "out", "bad", "beside it")
		effect(r)
		return nil
	})
	l.up()
	l.put("in", 0, "bad", "r0")
	l.until("the answer was refused twice", func() bool { return bad.Load() >= 2 })
	l.put("in", 0, "good", "r1")
	l.expect("good", "1:r1")
	if n := l.metric("statefun_worker_transactions_aborted_total"); n > 0 {
		t.Errorf("%v transactions were aborted", n)
	}
	if out := l.outputs(); len(out["bad"]) > 0 {
		t.Errorf("a refused answer left %v", out["bad"])
	}
	l.become(echo)
	l.expect("bad", "1:r0")
}

// What no check can know is told by the broker: the record's fault aborts the transaction once. It is remembered, so
// the same answer is refused by the check from then on, and the others' effects commit.
func TestH6ARecordRefusedByTheBrokerAbortsOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		var bad atomic.Int64
		l := newLab(t, setting{partitions: 1, version: version, topics: []string{"strict"}}, func(ctx context.Context, call *callOf, r *reply) error {
			if call.target.ID != "bad" {
				return echo(ctx, call, r)
			}
			bad.Add(1)
			r.egress("test/out", "strict", "bad", "v")
			return nil
		})
		l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "strict", Err: kerr.InvalidRecord, Count: -1})
		l.up()
		l.put("in", 0, "bad", "r0")
		l.until("the answer came again and again", func() bool { return bad.Load() >= 4 })
		l.put("in", 0, "good", "r1")
		l.expect("good", "1:r1")
		if n := l.metric("statefun_worker_transactions_aborted_total", "reason", "record"); n != 1 {
			t.Errorf("%v transactions were aborted for the record, want 1", n)
		}
		if n := l.metric("statefun_worker_transactions_aborted_total"); n != 1 {
			t.Errorf("%v transactions were aborted, want 1", n)
		}
		if left := l.read("strict"); len(left) > 0 {
			t.Errorf("the refused record was committed: %v", left)
		}
	})
}

// A record whose timestamp is refused is known when it comes again, whether the function set the timestamp or the
// producer, which stamps the record of each transaction anew.
func TestH6ATimestampRefusedByTheBrokerAbortsOnce(t *testing.T) {
	for name, stamp := range map[string]string{"the function's": "1000", "the producer's": ""} {
		t.Run(name, func(t *testing.T) {
			var bad atomic.Int64
			l := newLab(t, setting{partitions: 1, topics: []string{"strict"}}, func(ctx context.Context, call *callOf, r *reply) error {
				if call.target.ID != "bad" {
					return echo(ctx, call, r)
				}
				bad.Add(1)
				argument := message(nil, 3, []byte("v"))
				if stamp != "" {
					header := message(message(nil, 1, []byte(protocol.TimestampKey)), 2, []byte(stamp))
					argument = message(argument, 4, protowire.AppendVarint(protowire.AppendTag(header, 3, protowire.VarintType), 1))
				}
				return r.egressRaw("strict", "bad", argument)
			})
			l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "strict", Err: kerr.InvalidTimestamp, Count: -1})
			l.up()
			l.put("in", 0, "bad", "r0")
			l.until("the answer came again and again", func() bool { return bad.Load() >= 4 })
			if n := l.metric("statefun_worker_transactions_aborted_total"); n != 1 {
				t.Errorf("%v transactions were aborted, want 1", n)
			}
		})
	}
}

// The broker refuses a batch as a whole for one record in it. The record is found by its own answer's retry, not by
// taking the first of the batch for it: an address whose record is good must not be refused for five minutes, let alone
// be given up. A timestamp may be what is refused, as functions may set it.
func TestH6TheBatchOfABadRecordIsNotBlamed(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.InvalidRecord, kerr.InvalidTimestamp} {
		t.Run(refusal.Message, func(t *testing.T) { batchOfABadRecord(t, refusal) })
	}
}

func batchOfABadRecord(t *testing.T, refusal *kerr.Error) {
	// What the broker refuses stands in no other record of the same request, such as the address' changelog rows.
	word := func(id string) string { return strings.ReplaceAll(id, "bad", "poison") }
	both := make(chan struct{}, 2)
	l := newLab(t, setting{partitions: 1, topics: []string{"strict"}, module: replaced("  functions: test/*", "  functions: test/*\n  onFailure: skip")}, func(ctx context.Context, call *callOf, r *reply) error {
		if strings.HasPrefix(call.target.ID, "blocker") {
			return echo(ctx, call, r)
		}
		r.egress("test/out", "strict", "same partition", word(call.target.ID))
		both <- struct{}{}
		return nil
	})
	holdsBad := func(r kmsg.Request) bool {
		for _, t := range r.(*kmsg.ProduceRequest).Topics {
			for _, p := range t.Partitions {
				if bytes.Contains(p.Records, []byte("poison")) {
					return true
				}
			}
		}
		return false
	}
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "strict", Err: refusal, Count: -1, When: holdsBad})
	l.up()
	blocked, release := l.blockEndTxn(nil)
	l.put("in", 0, "blocker", "r")
	<-blocked
	l.put("in", 0, "good", "r") // both are collected for the next transaction, the good one first
	<-both
	l.put("in", 0, "bad", "r")
	<-both
	l.loop(func(*Worker) {})
	l.become(func(ctx context.Context, call *callOf, r *reply) error {
		r.egress("test/out", "strict", "same partition", word(call.target.ID))
		return nil
	})
	release()
	l.until("the good record is written", func() bool { return len(l.read("strict")) == 1 })
}

// A topic that is not known yet makes the address wait for the look-up, and a look-up that fails because of the
// cluster is nobody's fault: an input must not be given up for it.
func TestH6ALookUpThatFailsIsNotTheAnswersFault(t *testing.T) {
	l := newLab(t, setting{partitions: 1, module: replaced("  functions: test/*", "  functions: test/*\n  onFailure: skip")}, echo)
	l.up()
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "out", Err: kerr.LeaderNotAvailable, Count: 2})
	l.put("in", 0, "X", "r0")
	l.expect("X", "1:r0")
}

// A record of 3 MiB fits its ingress compressed and no internal topic as it is read. Its dead-letter record must not
// abort transaction after transaction, and the other keys of its partition must not wait for it.
func TestH6ARecordTooLargeForTheInternalTopicsIsNoHostageTaker(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.reconnect(kgo.ProducerBatchCompression(kgo.SnappyCompression()), kgo.ProducerBatchMaxBytes(16<<20))
	l.put("in", 0, "large", strings.Repeat("x", 3<<20)) // stays where it is and holds the position
	l.put("in", 0, "X", "r1")
	l.expect("X", "1:r1")
	if n := l.metric("statefun_worker_transactions_aborted_total"); n > 0 {
		t.Errorf("%v transactions were aborted", n)
	}
}

// An answer is refused for a name of two MiB that the function made up. The reason goes along with the input into the
// dead-letter topic; as a whole it would fit nowhere, and abort one transaction after the other.
func TestH6TheReasonOfADeadLetterIsBounded(t *testing.T) {
	l := newLab(t, setting{partitions: 1, module: replaced("  functions: test/*", "  functions: test/*\n  onFailure: dead-letter")},
		func(ctx context.Context, call *callOf, r *reply) error {
			if call.target.ID == "bad" {
				r.egress("test/"+strings.Repeat("x", 2<<20), "out", "k", "v")
			}
			return echo(ctx, call, r)
		})
	l.up()
	l.put("in", 0, "bad", "r0")
	l.put("in", 0, "good", "r1")
	l.expect("good", "1:r1")
	l.until("the input is in the dead-letter topic", func() bool { return len(l.read("app-dead-letter")) == 1 })
	if n := l.metric("statefun_worker_transactions_aborted_total"); n > 0 {
		t.Errorf("%v transactions were aborted", n)
	}
}

// invalidRecordHandling: fail stops the worker before anything is decided about the record. Were the record in the
// batch, a cut between the batch and the failure would commit its offset, and the next start would pass over it.
func TestP5ARecordThatMustFailIsNeverDone(t *testing.T) {
	l := newLab(t, setting{partitions: 1, module: replaced("  startupPosition", "  invalidRecordHandling: fail\n  startupPosition")}, echo)
	l.up()
	var items int
	l.loop(func(w *Worker) {
		value := []byte("r0")
		b := w.ingress.decode(t.Context(), kgo.FetchTopicPartition{Topic: "in", FetchPartition: kgo.FetchPartition{Records: []*kgo.Record{
			{Topic: "in", Key: []byte("K"), Value: value, Offset: 0}, {Topic: "in", Value: value, Offset: 1}, {Topic: "in", Key: []byte("K"), Value: value, Offset: 2},
		}}})
		items = len(b.items)
		if b.end > 1 {
			t.Errorf("the batch passes over the record, up to %d", b.end)
		}
	})
	if items != 1 {
		t.Errorf("the batch has %d records, want those before the bad one", items)
	}
	if err := l.over(); err == nil || !strings.Contains(err.Error(), "invalidRecordHandling") {
		t.Errorf("the worker ended with %v", err)
	}
}

// One poisoned input among ten of its address goes by the policy; the nine others are worked on.
func TestH6APoisonedInputDoesNotTakeItsBatchAlong(t *testing.T) {
	hold := make(chan struct{})
	var once sync.Once
	l := newLab(t, setting{partitions: 1, module: replaced("  functions: test/*", "  functions: test/*\n  onFailure: dead-letter")},
		func(ctx context.Context, call *callOf, r *reply) error {
			first := false
			once.Do(func() { first = true })
			if first {
				<-hold // the others gather to a batch behind this one
			}
			for _, a := range call.arguments {
				if string(a) == "poison" {
					r.egress("test/unknown", "out", "k", "v")
				}
			}
			return echo(ctx, call, r)
		})
	l.up()
	l.put("in", 0, "K", "r0")
	for i := 1; i < 10; i++ {
		value := fmt.Sprint("r", i)
		if i == 6 {
			value = "poison"
		}
		l.put("in", 0, "K", value)
	}
	l.until("nine inputs wait behind the first", func() bool { return l.metric("statefun_worker_records_total") == 10 })
	l.loop(func(*Worker) {})
	close(hold)
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r3", "5:r4", "6:r5", "7:r7", "8:r8", "9:r9")
	if n := len(l.read("app-dead-letter")); n != 1 {
		t.Errorf("%d inputs are in the dead-letter topic", n)
	}
}
