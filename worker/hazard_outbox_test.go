package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// far is a lab whose function sends each input to both clusters, and the other cluster, from which nothing is read.
func far(t *testing.T, version, application string) (*lab, *away) {
	t.Helper()
	a := newAway(t)
	text := awayModule(a.address(), application, earliest)
	from, to := strings.Index(text, "---\nkind: io.statefun.kafka.v1/ingress\nspec:\n  id: test/away"), strings.LastIndex(text, "---\n")
	l := twoClusters(t, a, text[:from]+text[to:], version, both)
	return l, a
}

// The worker dies with its disk when the transaction is committed and nothing is delivered: the next owner delivers, once
// and in order.
func TestAnOutboxIsDeliveredAfterACrashBehindTheCommit(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l, a := far(t, version, "")
		a.cutOff()
		l.up()
		l.spread("k", 0, 20)
		l.doneExactly("k", 20)
		if got := l.waiting(); got != 40 {
			t.Errorf("%d rows wait, want 40", got)
		}
		l.killAndWipe()
		a.come()
		l.up()
		for p := range 2 {
			a.counted(l, fmt.Sprint("k", p), 20)
		}
		l.until("nothing waits", func() bool { return l.waiting() == 0 })
		l.settled()
		l.kill()
		l.up()
		l.settled()
		for value, ids := range a.ids() {
			if len(ids) > 2 { // one of each key
				t.Errorf("%s was delivered %d times", value, len(ids))
			}
		}
		for key := range l.rows() {
			if key.key[0] == state.KindOutbox {
				t.Errorf("a row of partition %d is left", key.partition)
			}
		}
	})
}

// A cluster that is away for a while holds up nothing: functions are called, the egress here gets its records, the worker
// is ready, state is committed. When it is back it gets everything once and in the order sent.
func TestAClusterThatIsAwayForAWhileGetsEverythingInOrder(t *testing.T) {
	l, a := far(t, "", "")
	l.up()
	l.spread("k", 0, 10)
	for p := range 2 {
		a.counted(l, fmt.Sprint("k", p), 10)
	}
	a.cutOff()
	l.spread("k", 10, 100)
	l.doneExactly("k", 110)
	l.until("it shows what waits", func() bool { return l.metric("statefun_outbox_waiting_rows", "target", "test/far") >= 200 })
	l.until("it shows how long", func() bool { return l.metric("statefun_outbox_oldest_row_age_seconds", "target", "test/far") > 0.1 })
	if err := l.worker.Ready(); err != nil {
		t.Errorf("the worker is not ready: %v", err)
	}
	a.come()
	l.spread("k", 110, 10)
	for p := range 2 {
		a.counted(l, fmt.Sprint("k", p), 120)
	}
	l.until("nothing waits", func() bool { return l.waiting() == 0 })
	l.until("it shows that", func() bool { return l.metric("statefun_outbox_waiting_rows", "target", "test/far") == 0 })
	if got := len(a.read("out")); got > 240+2*1000 { // what was on its way when it went may come twice
		t.Errorf("%d records", got)
	}
}

// The worker dies when the other cluster has the record and the row's removal is not committed: the record is delivered
// again, and both copies have the same id, which no other record has.
func TestACopyOfARecordHasTheSameID(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l, a := far(t, version, "")
		a.cutOff()
		l.up()
		l.put("in", 0, "K", "r0")
		l.put("in", 0, "K", "r1")
		l.until("the rows are committed", func() bool { return l.waiting() == 2 && len(l.outputs()["K"]) == 2 })
		l.settled()
		blocked, release := l.blockEndTxn(kerr.CoordinatorNotAvailable) // it is not carried out
		a.come()
		<-blocked
		l.kill()
		release()
		l.up()
		l.until("nothing waits", func() bool { return l.waiting() == 0 })
		l.until("it was delivered", func() bool { return len(a.ids()) == 2 })
		a.counted(l, "K", 2)
		ids := a.ids()
		first, second := ids["1:r0"], ids["2:r1"]
		if first[0] == second[0] {
			t.Errorf("two records have the id %s", first[0])
		}
		for value, copies := range ids {
			for _, id := range copies {
				if id != copies[0] || !strings.HasPrefix(id, "app/") {
					t.Errorf("the copies of %s have the ids %v", value, copies)
				}
			}
		}
		if len(first) < 2 {
			t.Errorf("there is no copy: %v", ids)
		}
	})
}

// An abort while records are on their way: each record that the other cluster gets was committed here.
func TestAnOutboxRowOfAnAbortedTransactionIsNeverDelivered(t *testing.T) {
	l, a := far(t, "", "")
	l.up()
	l.settled()
	blocked, release := l.blockEndTxn(nil)
	l.put("in", 0, "K", "r0")
	<-blocked
	time.Sleep(soon)
	if got := a.read("out"); len(got) > 0 {
		t.Errorf("%d records were delivered before the commit", len(got))
	}
	l.kill()
	release()
	l.up()
	a.counted(l, "K", 1)
}

// A partition that moves takes its outbox along: the next owner delivers, its last one does not.
func TestAnOutboxMovesWithItsPartition(t *testing.T) {
	l, a := far(t, "", "")
	keys := []string{idIn(0, 2, 0), idIn(1, 2, 0)}
	a.cutOff()
	l.up()
	for i := range 10 {
		for p, key := range keys {
			l.put("in", int32(p), key, fmt.Sprint("r", i))
		}
	}
	l.until("all rows are committed", func() bool { return l.waiting() == 20 && len(l.outputs()[keys[0]])+len(l.outputs()[keys[1]]) == 20 })
	second := l.beside("w2")
	second.up()
	l.until("the rows are where their partition is", func() bool { return second.waiting() == 10 && l.waiting() == 10 })
	a.come()
	for _, key := range keys {
		a.counted(second, key, 10)
	}
	second.until("nothing waits", func() bool { return second.waiting()+l.waiting() == 0 })
}

// What waits has a limit, past which ingresses are not read; messages and calls that are under way go on.
func TestReadingWaitsForAFullOutbox(t *testing.T) {
	l, a := far(t, "", "  limits: {outboxRows: 10}\n")
	a.cutOff()
	l.up()
	l.settled()
	l.spread("k", 0, 30)
	l.until("it is full", func() bool { return l.waiting() >= 10 })
	time.Sleep(soon)
	l.spread("k", 30, 1) // a source waits from the first batch on that comes while it is full
	time.Sleep(soon)
	before := l.waiting()
	l.spread("k", 31, 20)
	time.Sleep(soon)
	if got := l.waiting(); got != before || got > 62 {
		t.Errorf("%d rows wait, and %d before; 10 are allowed and two batches of each source", got, before)
	}
	a.come()
	for p := range 2 {
		a.counted(l, fmt.Sprint("k", p), 51)
	}
	l.doneExactly("k", 51)
}

// A record that the other cluster will never take goes to the dead-letter topic, once, with where it came from and why;
// those behind it are delivered.
func TestARecordThatAnotherClusterNeverTakesIsADeadLetter(t *testing.T) {
	l, a := far(t, "", "")
	small := "500"
	if _, err := a.admin.CreateTopics(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &small}, "small"); err != nil {
		t.Fatal(err)
	}
	l.become(func(_ context.Context, call *callOf, r *reply) error {
		for _, v := range call.arguments {
			r.egressAt("test/far", "small", call.target.ID, string(v), "1700000000123")
		}
		return nil
	})
	l.up()
	l.put("in", 0, "K", "before")
	l.put("in", 0, "K", strings.Repeat("x", 1000))
	l.put("in", 0, "K", "behind")
	l.until("what is behind it came", func() bool { return len(a.read("small")) == 2 })
	l.until("it is a dead letter", func() bool { return len(l.read("app-dead-letter")) == 1 })
	letter := l.read("app-dead-letter")[0]
	headers := map[string]string{}
	for _, h := range letter.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(letter.Key) != "K" || len(letter.Value) != 1000 || headers[ingress.HeaderReason] != "too-large" || headers[ingress.HeaderTopic] != "small" ||
		headers[headerEgress] != "test/far" || headers[outbox.HeaderID] == "" || headers[ingress.HeaderApplication] != "app" ||
		headers[ingress.HeaderTimestamp] != "2023-11-14T22:13:20.123Z" {
		t.Errorf("the dead letter has key %s, %d bytes and %v", letter.Key, len(letter.Value), headers)
	}
	if got := l.metric("statefun_outbox_refused_rows_total", "target", "test/far", "reason", "too-large"); got != 1 {
		t.Errorf("the metric is %v", got)
	}
	l.until("nothing waits", func() bool { return l.waiting() == 0 })
	l.kill()
	l.up()
	l.settled()
	if got := len(l.read("app-dead-letter")); got != 1 {
		t.Errorf("%d dead letters", got)
	}
}

// An address that is not the application's may lead to its cluster all the same.
func TestNoAddressLeadsToTheApplicationsOwnTopics(t *testing.T) {
	l, a := far(t, "", "")
	for _, topic := range []string{"app-mailbox", "app-changelog"} {
		if _, err := a.admin.CreateTopics(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	l.become(func(_ context.Context, call *callOf, r *reply) error {
		r.egress("test/far", call.target.ID, "K", string(call.arguments[0]))
		return nil
	})
	l.up()
	l.put("in", 0, "app-mailbox", "r0")
	l.put("in", 0, "app-changelog", "r0")
	l.until("both are dead letters", func() bool { return len(l.read("app-dead-letter")) == 2 })
	if n := len(a.read("app-mailbox")) + len(a.read("app-changelog")); n != 0 {
		t.Errorf("%d records were written there", n)
	}
}

// A topic that is made a little later costs a wait and no record.
func TestATopicThatIsMissingForAMomentGetsItsRecords(t *testing.T) {
	l, a := far(t, "", "")
	l.become(func(_ context.Context, call *callOf, r *reply) error {
		r.egress("test/far", "later", call.target.ID, string(call.arguments[0]))
		return nil
	})
	l.up()
	l.put("in", 0, "K", "r0")
	l.until("it was tried", func() bool { return l.metric("statefun_outbox_failures_total", "target", "test/far") > 0 })
	if _, err := a.admin.CreateTopics(t.Context(), 1, 1, nil, "later"); err != nil {
		t.Fatal(err)
	}
	l.loop(func(*Worker) {})
	deadline := time.Now().Add(3 * patience)
	for len(a.read("later")) == 0 && time.Now().Before(deadline) {
		time.Sleep(soon)
	}
	if got := a.read("later"); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
	if got := len(l.read("app-dead-letter")); got != 0 {
		t.Errorf("%d dead letters", got)
	}
}

// Rows of an egress that the module has no more are kept, and delivered when it has it again.
func TestRowsOfAnEgressThatIsGoneAreKept(t *testing.T) {
	l, a := far(t, "", "")
	a.cutOff()
	l.up()
	l.put("in", 0, "K", "r0")
	l.until("the row is committed", func() bool { return l.waiting() == 1 && len(l.outputs()["K"]) == 1 })
	l.settled()
	l.kill()
	with := l.module
	l.module = loadModule(t, moduleText)
	l.up()
	l.says("rows for an egress that the module has not")
	l.kill()
	l.module = with
	a.come()
	l.up()
	a.counted(l, "K", 1)
}

// egressAt is egress with a timestamp, in milliseconds.
func (r *reply) egressAt(id, topic, key, value, millis string) {
	name, err := protocol.ParseTypeName(id)
	if err != nil {
		panic(err)
	}
	record := message(message(message(nil, 1, []byte(key)), 2, []byte(value)), 3, []byte(topic))
	header := message(message(nil, 1, []byte(protocol.TimestampKey)), 2, []byte(millis))
	header = protowire.AppendVarint(protowire.AppendTag(header, 3, protowire.VarintType), 1)
	record = message(record, 4, header)
	m := message(message(nil, 1, []byte(name.Namespace)), 2, []byte(name.Name))
	r.result = message(r.result, 4, message(m, 3, protocol.AppendTypedValue(nil, protocol.KafkaProducerRecordType, record)))
}

// A topic of another cluster is deleted and created anew while the worker runs: the new one gets what comes, and nothing is
// given up.
func TestATopicOfAnotherClusterThatIsCreatedAnewGetsItsRecords(t *testing.T) {
	l, a := far(t, "", "")
	l.up()
	l.put("in", 0, "K", "r0")
	a.until("it is there", func() bool { return len(a.read("out")) == 1 })
	if _, err := a.admin.DeleteTopic(t.Context(), "out"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.admin.CreateTopic(t.Context(), 2, 1, nil, "out"); err != nil {
		t.Fatal(err)
	}
	delete(a.logs, "out")
	l.put("in", 0, "K", "r1")
	a.until("the new topic has the next", func() bool { return len(a.read("out")) == 1 })
	if n := len(l.read("app-dead-letter")); n > 0 {
		t.Errorf("%d records were given up", n)
	}
}
