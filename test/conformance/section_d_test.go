package conformance

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// addressBlocks is what differs wherever StateFun's address with a full backlog stops its task.
const addressBlocks = "an address with a backlog, of any length, holds back nobody but itself: its messages wait in Kafka or on disk. StateFun stops reading all ingresses of the task until a call of that address is done."

// checkpointed is what differs wherever StateFun writes calls in flight into a checkpoint.
const checkpointed = "there are no checkpoints. A record that is in flight stays where it is, in its topic, unread; only a message that was born inside the worker is copied, with the transaction that made it."

func sectionD() []Case {
	return []Case{
		{
			ID: "D1", Shows: "a limit of two calls (limits.inFlight), two are in flight: no more are made",
			Differs: "the limit is the worker's (1024 by default) and holds back calls. Reading goes on within the read budget; in StateFun the limit is a task's and holds back reading.",
			Alone:   true, Run: callLimit,
		},
		{ID: "D2", Shows: "a limit of one call, it is done: the next one is made", Alone: true, Run: callLimitReleases},
		{ID: "D3", Shows: "one address has a full backlog, far below the limit of calls", Differs: addressBlocks, Endpoint: []string{"maxNumBatchRequests: 1"}, Run: fullAddressBlocksNobody},
		{ID: "D4", Shows: "the call of an address with a backlog is done: its backlog goes out", Endpoint: []string{"maxNumBatchRequests: 1"}, Run: backlogGoesOut},
		{ID: "D5", Shows: "a call of another address is done: the address with a backlog still waits for its own", Differs: addressBlocks, Endpoint: []string{"maxNumBatchRequests: 1"}, Run: fullAddressWaitsForItself},
		{ID: "D6", Shows: "two addresses have a backlog: each goes on when its own call is done", Differs: addressBlocks, Endpoint: []string{"maxNumBatchRequests: 1"}, Run: twoFullAddresses},
		{
			ID: "D7", Shows: "a limit of calls of 0 or below",
			Differs: "the module is refused: every queue has a limit here. StateFun takes it as no limit.", Alone: true, Run: limitBelowOne,
		},
		{ID: "D8", Shows: "a message comes and is done: it is written nowhere", Differs: checkpointed, Alone: true, Run: doneIsNotStored},
		{ID: "D9", Shows: "a message is in flight: what must outlive a crash is stored, and no more", Differs: checkpointed, Alone: true, Run: inFlightIsStored},
		{ID: "D10", Shows: "messages of two addresses are in flight at a crash: each comes back to its own address", Alone: true, Run: storedPerAddress},
		{ID: "D11", Shows: "a backlog of two and then a success: the metric goes from 2 to 0", Alone: true, Run: backlogMetric},
		{ID: "D12", Shows: "a backlog that was there before a restart is done after it: the metric ends at 0 and is never below", Alone: true, Run: backlogMetricAfterRestart},
	}
}

func callLimit(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.start(l.documents("limits:", "  inFlight: 2")...)
	l.send("a", "1")
	l.send("b", "1")
	l.called(2)
	l.send("c", "1")
	l.send("d", "1")
	l.arrived(4)
	l.awaitMetric(2, "statefun_endpoint_ready_addresses")
	equal(l, "calls", len(l.called(2)), 2)
	l.awaitMetric(2, "statefun_worker_in_flight_calls")
	g.release()
	gather(l, "f", 4)
}

func callLimitReleases(l *lab) {
	gates := map[string]*gate{"a": newGate(), "b": newGate()}
	l.answer("f", func(c call) reply {
		gates[c.Target.ID].pass(c)
		return result(l.output(c.Target.ID, "done"))
	})
	l.start(l.documents("limits:", "  inFlight: 1")...)
	l.send("a", "1")
	l.called(1)
	l.send("b", "1")
	l.arrived(2)
	l.awaitMetric(1, "statefun_endpoint_ready_addresses")
	gates["a"].release()
	equal(l, "second call", l.called(2)[1].Target.ID, "b")
	gates["b"].release()
	l.written(2)
}

// crowd is a function whose addresses each have a gate; it counts what they were sent.
type crowd struct {
	*lab
	gates map[string]*gate
}

// newCrowd fills the addresses: each has one call in flight and two messages waiting, twice what a call may carry.
func newCrowd(l *lab, ids ...string) *crowd {
	l.Helper()
	c := &crowd{l, map[string]*gate{}}
	for _, id := range ids {
		c.gates[id] = newGate()
		l.Cleanup(c.gates[id].release)
	}
	l.answer("f", func(one call) reply {
		if g := c.gates[one.Target.ID]; g != nil {
			g.pass(one)
		}
		return result(l.output(one.Target.ID, one.arguments()))
	})
	for i, id := range ids {
		l.send(id, "1", "2", "3")
		l.arrived(3 * (i + 1))
		lastOf(l, id, 1)
	}
	return c
}

// outputs waits until an id has n outputs and returns them.
func (c *crowd) outputs(id string, n int) string {
	c.Helper()
	return keyed(c.readFrom(c.out(), n, func(r *kgo.Record) bool { return string(r.Key) == id }), id)
}

func fullAddressBlocksNobody(l *lab) {
	c := newCrowd(l, "full")
	l.send("other", "1")
	equal(l, "another address", c.outputs("other", 1), "1")
	equal(l, "the full address", c.outputs("full", 0), "")
}

func backlogGoesOut(l *lab) {
	c := newCrowd(l, "full")
	c.gates["full"].release()
	equal(l, "outputs", c.outputs("full", 3), "1 | 2 | 3")
}

func fullAddressWaitsForItself(l *lab) {
	c := newCrowd(l, "full")
	l.send("other", "1", "2")
	c.outputs("other", 2)
	equal(l, "the full address", c.outputs("full", 0), "")
	c.gates["full"].release()
	equal(l, "the full address", c.outputs("full", 3), "1 | 2 | 3")
}

func twoFullAddresses(l *lab) {
	c := newCrowd(l, "a", "b")
	c.gates["a"].release()
	equal(l, "a", c.outputs("a", 3), "1 | 2 | 3")
	equal(l, "b", c.outputs("b", 0), "")
	c.gates["b"].release()
	equal(l, "b", c.outputs("b", 3), "1 | 2 | 3")
}

func limitBelowOne(l *lab) {
	for _, limit := range []string{"0", "-1"} {
		l.refused(strings.Join(l.documents("limits:", "  inFlight: "+limit), ""), "inFlight", "1")
	}
}

// stored is whether a text is anywhere in the application's changelog or mailbox.
func (l *lab) stored(text string) bool {
	l.Helper()
	for _, topic := range []string{l.worker.app + "-changelog", l.worker.app + "-mailbox"} {
		if strings.Contains(l.dump(topic), text) {
			return true
		}
	}
	return false
}

// dump is the values of all records of a topic, also of those that are not committed.
func (l *lab) dump(topic string) string {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := l.bench.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		l.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.bench.address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		l.Fatal(err)
	}
	defer client.Close()
	var text strings.Builder
	left := map[int32]int64{}
	for p, end := range ends[topic] {
		if end.Offset > 0 {
			left[p] = end.Offset
		}
	}
	for len(left) > 0 {
		fetched := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			l.Fatalf("read %s: %v", topic, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			text.Write(r.Value)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return text.String()
}

func doneIsNotStored(l *lab) {
	l.answer("f", func(c call) reply { return result(l.output("x", "done")) })
	l.start()
	l.send("x", "needle")
	l.written(1)
	l.send("x", "another")
	l.written(2)
	equal(l, "stored", l.stored("needle"), false)
}

func inFlightIsStored(l *lab) {
	g := newGate()
	l.Cleanup(g.release)
	l.answer("f", func(c call) reply {
		if c.arguments() == "ingress-needle" {
			g.pass(c)
		}
		return result(message(l.fn("g"), "x", "local-needle"), l.output("x", "done"))
	})
	l.answer("g", func(c call) reply {
		g.pass(c)
		return done()
	})
	l.start()
	l.send("x", "ingress-needle")
	l.called(1)
	l.send("other", "go")
	l.written(1)
	l.calledFor("g", 1)
	equal(l, "the record in flight is stored", l.stored("ingress-needle"), false)
	equal(l, "the message in flight is stored", l.stored("local-needle"), true)
}

func storedPerAddress(l *lab) {
	g := l.hold("g", func(call) reply { return done() })
	l.answer("f", func(c call) reply {
		return result(message(l.fn("g"), "a", "for-a"), message(l.fn("g"), "b", "for-b"), l.output("x", "done"))
	})
	l.start()
	l.send("x", "go")
	l.written(1)
	l.calledFor("g", 2)
	l.restart()
	g.release()
	for _, c := range l.calledFor("g", 4) {
		equal(l, "arguments at "+c.Target.ID, c.arguments(), "for-"+c.Target.ID)
	}
}

// backlogOf is the metric of messages that wait at a function.
var backlogOf = "statefun_function_backlog_inputs"

func backlogMetric(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.start()
	l.send("x", "1")
	l.called(1)
	l.send("x", "2", "3")
	l.awaitMetric(2, backlogOf, l.f())
	g.release()
	l.awaitMetric(0, backlogOf, l.f())
}

func backlogMetricAfterRestart(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.start()
	l.send("x", "1")
	l.called(1)
	l.send("x", "2", "3", "4", "5", "6")
	l.awaitMetric(5, backlogOf, l.f())
	l.restart()
	l.called(2)
	g.release()
	gather(l, "f", 7)
	l.awaitMetric(0, backlogOf, l.f())
}
