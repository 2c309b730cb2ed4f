package worker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// latest is moduleText with the startup position that skips what a partition has, which only an application that
// begins may do.
var latest = replaced("{type: earliest}", "{type: latest}")

// fourOf is a module for an application of four partitions, whatever its ingress topic has.
func fourOf(text string) string {
	return strings.Replace(text, "  id: app", "  id: app\n  partitions: 4", 1)
}

// looking makes a worker look for new partitions often.
func looking(c *Config) { c.LookEvery = 20 * time.Millisecond }

// growTo gives a topic more partitions.
func (l *lab) growTo(topic string, partitions int) {
	l.t.Helper()
	answers, err := l.admin.UpdatePartitions(l.t.Context(), partitions, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.reconnect()
}

// begun tells whether a partition of topic "in" has a committed progress row.
func (l *lab) begun(owner, partition int32) bool {
	return l.rows()[rowKey{owner, string(state.ProgressKey("in", partition))}] != nil
}

// crowd writes records under keys of its own, numbers them for each key, and remembers how many there are of each.
type crowd struct {
	l    *lab
	sent map[string]int
}

func (c *crowd) put(partition int32, n int) {
	for i := range n {
		key := fmt.Sprintf("p%dk%d", partition, i%7)
		c.l.put("in", partition, key, fmt.Sprint("r", c.sent[key]))
		c.sent[key]++
	}
}

// load writes to the first two partitions until stop is called, with a client that knows of no others.
func (c *crowd) load(name string) (stop func()) {
	client := c.l.manual
	stopped, over := make(chan struct{}), make(chan struct{})
	n := 0
	go func() {
		defer close(over)
		for ; ; n++ {
			select {
			case <-stopped:
				return
			default:
			}
			r := &kgo.Record{Topic: "in", Partition: int32(n % 2), Key: fmt.Append(nil, name, n%2), Value: fmt.Append(nil, "r", n/2)}
			if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				c.l.t.Error(err)
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-over
		c.sent[name+"0"], c.sent[name+"1"] = (n+1)/2, n/2
	}
}

// done waits for all outputs and checks that each key counts up without a gap and in the order sent.
func (c *crowd) done() {
	c.l.t.Helper()
	c.l.until("all is done", func() bool {
		out := c.l.outputs()
		for key, n := range c.sent {
			if len(out[key]) < n {
				return false
			}
		}
		return true
	})
	for key, values := range c.l.outputs() {
		for i, v := range values {
			if v != fmt.Sprintf("%d:r%d", i+1, i) {
				c.l.t.Fatalf("output %d of %s is %s, of %v", i, key, v, values)
			}
		}
		if len(values) != c.sent[key] {
			c.l.t.Errorf("%s has %d outputs, want %d", key, len(values), c.sent[key])
		}
	}
}

// The topic grows twice under load, the second time to a count that is no multiple of the application's, so that
// records cross. What lies in the new partitions before the worker sees them is read too; nobody's reader is replaced.
func TestNewIngressPartitionsAreReadWhileTheWorkerRuns(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version, module: latest}, echo)
		l.change = looking
		l.up()
		l.settled()
		var before *reader
		l.loop(func(w *Worker) { before = w.ingress })
		c := &crowd{l, map[string]int{}}
		for _, count := range []int{4, 7} {
			stop := c.load(fmt.Sprint("load", count))
			l.growTo("in", count)
			for p := range int32(count) {
				c.put(p, 40)
			}
			l.until("the new partitions have begun", func() bool { return l.begun(int32(count-1)%2, int32(count-1)) })
			for p := range int32(count) {
				c.put(p, 40)
			}
			stop()
		}
		c.done()
		l.loop(func(w *Worker) {
			if w.ingress != before {
				t.Error("the reader was replaced, so all other partitions paused")
			}
		})
		if got := l.metric("statefun_worker_crossings_total"); got == 0 {
			t.Error("nothing crossed")
		}
	})
}

// The worker dies while the transaction with the new partition's start is on its way: nothing of it is committed. What
// came before the growth was seen must be read all the same.
func TestACrashBeforeTheStartOfANewPartitionIsCommitted(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version, module: latest}, echo)
		l.change = looking
		l.up()
		l.settled()
		blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
		l.growTo("in", 3)
		l.put("in", 2, "K", "r0")
		<-blocked
		if l.worker.ingress.feed(module.TopicPartition{Topic: "in", Partition: 2}) != nil {
			t.Error("the partition is read before its start is committed")
		}
		l.kill()
		release()
		if l.begun(0, 2) {
			t.Fatal("the start was committed")
		}
		l.put("in", 2, "K", "r1")
		l.up()
		l.expect("K", "1:r0", "2:r1")
	})
}

// The worker dies when the start is committed and nothing of the new partition is done; its disk is gone too.
func TestACrashAfterTheStartOfANewPartitionIsCommitted(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		g := newGate("K")
		l := newLab(t, setting{version: version, module: latest}, g.behind(echo))
		l.change = looking
		l.up()
		l.settled()
		l.growTo("in", 3)
		l.put("in", 2, "K", "r0")
		l.until("K is called", func() bool { return g.held() == 1 })
		if !l.begun(0, 2) {
			t.Error("a record of the partition was read before its start was committed")
		}
		l.put("in", 2, "K", "r1")
		l.killAndWipe()
		l.put("in", 2, "K", "r2")
		l.become(echo)
		l.up()
		l.expect("K", "1:r0", "2:r1", "3:r2")
	})
}

// An abort between the growth and its commit sends the tasks back to what is committed; the growth is found anew.
func TestAGrowthThatIsAbortedComesAgain(t *testing.T) {
	l := newLab(t, setting{module: latest}, echo)
	l.change = looking
	l.up()
	l.settled()
	blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, func(r kmsg.Request) (kmsg.Response, error, bool) {
		answer := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, t := range r.(*kmsg.TxnOffsetCommitRequest).Topics {
			topic := kmsg.TxnOffsetCommitResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: 29}) // TOPIC_AUTHORIZATION_FAILED
			}
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	l.growTo("in", 3)
	l.put("in", 2, "K", "r0")
	<-blocked
	release()
	l.expect("K", "1:r0")
	if l.metric("statefun_worker_transactions_aborted_total") != 1 {
		t.Error("no transaction was aborted")
	}
}

// The topic has fewer partitions than the application when it begins, so two of the application's partitions have read
// nothing of it. They know all the same that it is being read, and the partitions that it gets are read from their
// first records: while stopped, and from an empty disk after that.
func TestATopicSmallerThanTheApplicationGrowsWhileItIsStopped(t *testing.T) {
	l := newLab(t, setting{partitions: 2, module: fourOf(latest)}, echo)
	l.put("in", 0, "old", "skipped") // latest holds for the beginning
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.growTo("in", 4)
	for p := range int32(4) {
		l.put("in", p, fmt.Sprint("K", p), "r0")
	}
	l.up()
	for p := range int32(4) {
		l.expect(fmt.Sprint("K", p), "1:r0")
	}
	l.killAndWipe()
	l.growTo("in", 8)
	for p := range int32(8) {
		l.put("in", p, fmt.Sprint("K", p), "r1")
	}
	l.up()
	for p := range int32(4) {
		l.expect(fmt.Sprint("K", p), "1:r0", "2:r1")
		l.expect(fmt.Sprint("K", p+4), "1:r1")
	}
	if got := l.outputs()["old"]; got != nil {
		t.Errorf("the startup position was not kept to: %v", got)
	}
}

// A new partition is read by one worker and goes on where it was with another, who has not looked since the topic grew.
func TestANewPartitionMovesToAWorkerThatHasNotSeenItGrow(t *testing.T) {
	l := newLab(t, setting{module: latest}, echo)
	l.up() // looks every 30 s
	l.settled()
	l.growTo("in", 4)
	for p := range int32(4) {
		l.put("in", p, fmt.Sprint("K", p), "r0")
	}
	other := l.beside("w2")
	other.start()
	l.until("each has a partition", func() bool {
		return l.owns(0) && other.owns(1) || l.owns(1) && other.owns(0)
	})
	moved := int32(3) // of application partition 1
	if other.owns(0) {
		moved = 2
	}
	l.expect(fmt.Sprint("K", moved), "1:r0")
	if err := other.stop(); err != nil {
		t.Fatal(err)
	}
	l.until("the first worker has all", func() bool { return l.owns(0, 1) })
	l.put("in", moved, fmt.Sprint("K", moved), "r1")
	l.expect(fmt.Sprint("K", moved), "1:r0", "2:r1")
	l.loop(func(w *Worker) { w.lookSoon() }) // what its own partition has got
	for p := range int32(4) {
		if p != moved {
			l.expect(fmt.Sprint("K", p), "1:r0")
		}
	}
}

// newIngress and newFunction are what a newer module has more.
const (
	newIngress = `
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: test/more
  address: localhost:1
  consumerGroupId: app
  startupPosition: {type: latest}
  topics:
    - topic: more
      valueType: test/command
      targets: [test/f]
`
	newFunction = `
---
kind: io.statefun.endpoints.v2/http
spec:
  functions: new/*
  urlPathTemplate: http://localhost:1/
`
)

// A new ingress starts by its startup position though the application has long begun. Taken out of the module its
// progress stays, and reading goes on there when it comes back; what came meanwhile is read.
func TestAnIngressComesIntoTheModuleGoesAndComesBack(t *testing.T) {
	l := newLab(t, setting{topics: []string{"more"}}, echo)
	l.put("more", 0, "K", "before")
	l.served(2)
	old := l.module
	l.module = loadModule(t, moduleText+newIngress)
	l.up()
	l.put("more", 0, "L", "r0")
	l.expect("L", "1:r0")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	with := l.module
	l.module = old
	l.put("more", 0, "L", "r1")
	l.growTo("more", 3)
	l.put("more", 2, "M", "r0")
	l.up()
	l.put("in", 0, "K", "r2")
	l.expect("K", "1:r0", "2:r1", "3:r2")
	l.killAndWipe()
	l.module = with
	l.up()
	l.put("more", 0, "L", "r2")
	l.expect("L", "1:r0", "2:r1", "3:r2")
	l.expect("M", "1:r0")
	l.expect("K", "1:r0", "2:r1", "3:r2")
}

// In a rolling restart the second worker has the new module already. Its function sends to a new function whose id
// lies with the first worker, which does not know it: the message is kept there, which a metric tells, and done when
// the partition moves. The first worker reads nothing of the new ingress.
func TestTwoModulesInOneGroup(t *testing.T) {
	forward := func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.Type.Namespace == "test" {
			for _, a := range call.arguments {
				to, value, _ := strings.Cut(string(a), "=")
				r.send(protocol.Address{Type: protocol.TypeName{Namespace: "new", Name: "g"}, ID: to}, value)
			}
			return nil
		}
		return echo(ctx, call, r)
	}
	l := newLab(t, setting{topics: []string{"more"}}, forward)
	l.up()
	newer := l.beside("w2")
	module := loadModule(t, moduleText+newIngress+newFunction)
	newer.change = func(c *Config) { c.WorkerID, c.Module = "w2", module }
	newer.start()
	l.until("each has a partition", func() bool {
		return l.owns(0) && newer.owns(1) || l.owns(1) && newer.owns(0)
	})
	mine, theirs := int32(0), int32(1)
	if l.owns(1) {
		mine, theirs = 1, 0
	}
	id, far := idIn(mine, 2, 0), idIn(theirs, 2, 0)
	for i := range 3 {
		l.put("in", theirs, far, fmt.Sprintf("%s=m%d", id, i))
	}
	l.put("more", theirs, far, far+"=near")
	newer.expect(far, "1:near")
	l.until("the messages are kept", func() bool {
		return l.metric("statefun_worker_unserved_addresses") == 1 && l.metric("statefun_worker_pending_inputs") == 3
	})
	// What its own function sends to the new one is refused and tried again until the partition moves.
	l.put("in", mine, id, far+"=late")
	l.says("call failed, address is parked", "no endpoint of the module serves")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	newer.until("the newer worker has all", func() bool { return newer.owns(0, 1) })
	newer.expect(id, "1:m0", "2:m1", "3:m2")
	newer.expect(far, "1:near", "2:late")
	newer.put("more", mine, id, id+"=more")
	newer.expect(id, "1:m0", "2:m1", "3:m2", "4:more")
}

// newerRow is what a newer version of the program might have written.
func newerRow(key, value []byte, version byte) *kgo.Record {
	r := &kgo.Record{Topic: "app-changelog", Partition: 0, Key: key, Value: append([]byte(nil), value...)}
	r.Value[0] = version
	return r
}

// A worker that takes over a partition in which a newer version has written stops with an error that says so, whatever
// kind of row it is, changes nothing, and a worker that can read it would go on.
func TestARowOfANewerVersionStopsTheTakeOver(t *testing.T) {
	envelope := protocol.AppendEnvelope(nil, protocol.Envelope{Target: functionAt("K"), Invocation: protocol.AppendIngressInvocation(nil, "test/command", []byte("v"))})
	later := append([]byte{2}, envelope[1:]...)
	for what, r := range map[string]*kgo.Record{
		"value":            newerRow(state.ValueKey(functionAt("K"), "count"), state.AppendValue(nil, state.Value{Type: "test/state"}), 2),
		"progress":         newerRow(state.ProgressKey("in", 0), state.AppendProgress(nil, state.Progress{}), 2),
		"pending envelope": {Topic: "app-changelog", Key: state.PendingKey(functionAt("K"), 1<<40), Value: state.AppendPending(nil, state.Pending{Envelope: later})},
		"unknown kind":     {Topic: "app-changelog", Key: []byte("z"), Value: []byte{1}},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t, setting{partitions: 1}, echo)
			l.served(2)
			was := l.rows()[rowKey{0, string(r.Key)}]
			if err := l.manual.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			end := l.groupOffset("in", 0)
			for range 2 {
				l.refused("partitions [0]", "newer version of statefun-kafka", "app-changelog partition 0 offset")
				l.dead()
			}
			if at := l.groupOffset("in", 0); at != end {
				t.Errorf("the group's offset went from %d to %d", end, at)
			}
			back := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: was} // as its own version would
			if err := l.manual.ProduceSync(t.Context(), back).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := l.cluster.DeleteRecords("app-changelog", 0, 0); err != nil {
				t.Fatal(err)
			}
			if l.rows()[rowKey{0, string(state.ProgressKey("in", 0))}] == nil {
				t.Error("the progress row is gone")
			}
		})
	}
}

// A newer worker has sent a message in a newer format. It is no invalid record, which would go to the dead-letter
// topic: this worker stops before it, the message stays where it is, and so does what comes behind it.
func TestAMessageOfANewerVersionStopsItsReader(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	at := l.mail(0, "K", "m0")
	l.expect("K", "1:m0")
	l.until("it is done", func() bool { return l.groupOffset("app-mailbox", 0) > at })
	done := l.groupOffset("app-mailbox", 0)
	r := &kgo.Record{Topic: "app-mailbox", Key: []byte("K"), Value: []byte{2, 0, 0, 0}}
	if err := l.manual.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.mail(0, "K", "m1")
	err := l.over()
	if err == nil || !strings.Contains(err.Error(), "newer version of statefun-kafka") || !strings.Contains(err.Error(), "app-mailbox partition 0") {
		t.Errorf("the worker ended with %v", err)
	}
	if l.groupOffset("app-mailbox", 0) != done || len(l.read("app-dead-letter")) != 0 || len(l.outputs()["K"]) != 1 {
		t.Errorf("the group is at %d, before it was %d; dead letters %d; outputs %v", l.groupOffset("app-mailbox", 0), done, len(l.read("app-dead-letter")), l.outputs()["K"])
	}
}

// Offsets with a newer version's metadata are not taken for an operator's change.
func TestOffsetMetadataOfANewerVersionIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "foreign",
		"by hand":                        "foreign",
		"statefun-kafka/1 w/n/1 w sure":  "ours",
		"statefun-kafka/2 w/n/1 w sure":  "newer version",
		"statefun-kafka/1 w/n/1 w x y z": "newer version",
	} {
		_, ours, err := parseOffsetMetadata(text)
		if got := map[bool]string{true: "ours", false: "foreign"}[ours]; err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", text, ours, err, want)
		}
	}
}

// Sizes are looked at by take-overs beside the loop.
func TestSizesOnlyGrow(t *testing.T) {
	var s sizes
	var all sync.WaitGroup
	for i := range int32(50) {
		all.Go(func() { s.seen("in", i+1) })
	}
	all.Wait()
	if before, grown := s.seen("in", 3); before != 50 || grown || s.of("in") != 50 {
		t.Errorf("%d, %v, %d", before, grown, s.of("in"))
	}
}
