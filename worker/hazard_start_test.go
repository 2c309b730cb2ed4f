package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
)

// X's call hangs on a topic that forgets after two seconds. X's record is copied once it has waited a quarter of
// that, so the offset moves on; then the topic loses the record, the worker is killed, and X gets it all the same.
func TestH7AnInputThatWaitsTooLongIsCopied(t *testing.T) {
	g := newGate("X")
	l := newLab(t, setting{partitions: 1}, g.behind(echo))
	keep := "2000"
	if _, err := l.admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &keep}}, "in"); err != nil {
		t.Fatal(err)
	}
	l.up()
	l.put("in", 0, "X", "r0")
	end := l.put("in", 0, "Y", "r1") + 1
	l.expect("Y", "1:r1")
	if at := l.groupOffset("in", 0); at != 0 {
		t.Errorf("the offset is at %d before X is done or copied", at)
	}
	l.until("X is copied", func() bool { return l.groupOffset("in", 0) == end })
	l.killAndWipe()
	if err := l.cluster.DeleteRecords("in", 0, end); err != nil {
		t.Fatal(err)
	}
	l.become(echo)
	l.up()
	l.expect("X", "1:r0")
	l.expect("Y", "1:r1")
}

// mail writes a message to the mailbox topic, as another worker would.
func (l *lab) mail(partition int32, id, value string) int64 {
	l.t.Helper()
	e := protocol.Envelope{Target: functionAt(id), Invocation: protocol.AppendIngressInvocation(nil, "test/command", []byte(value))}
	key, data := router.Encode(e)
	r := &kgo.Record{Topic: "app-mailbox", Partition: partition, Key: key, Value: data}
	if err := l.manual.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	return r.Offset
}

// A message for X lies in the mailbox topic behind X's slow call, among messages that are done. The topic forgets
// nothing by itself, and its owner deletes only what lies below the committed position: not up to what was read.
func TestH7TheMailboxKeepsWhatIsNotDone(t *testing.T) {
	g := newGate("X")
	l := newLab(t, setting{partitions: 1}, g.behind(echo))
	l.up()
	configs, err := l.admin.DescribeTopicConfigs(t.Context(), "app-mailbox")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if strings.HasPrefix(c.Key, "retention.") && c.MaybeValue() != "-1" {
			t.Errorf("the mailbox topic forgets: %s is %s", c.Key, c.MaybeValue())
		}
	}
	l.mail(0, "Y", "m0")
	first := l.mail(0, "X", "m1")
	l.mail(0, "Y", "m2")
	l.expect("Y", "1:m0", "2:m2")
	l.until("the position is committed", func() bool { return l.groupOffset("app-mailbox", 0) == first })
	l.trim()
	start := func() int64 { return l.cluster.PartitionInfo("app-mailbox", 0).LogStartOffset }
	l.until("the mailbox is relieved of what is done", func() bool { return start() >= first })
	if at := start(); at != first {
		t.Errorf("the mailbox begins at %d, the message that is not done lies at %d", at, first)
	}
	l.kill()
	l.become(echo)
	l.up()
	l.expect("X", "1:m1")
	l.expect("Y", "1:m0", "2:m2")
}

// latest resolves to 10, five records are read, and the worker dies before the first of them is done. Resolved again,
// latest would be past them and what came meanwhile. The disk is gone as well, so the start must be in Kafka.
func TestH8LatestIsResolvedOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		g := newGate("K")
		l := newLab(t, setting{partitions: 1, version: version, module: replaced("{type: earliest}", "{type: latest}")}, g.behind(echo))
		for i := range 10 {
			l.put("in", 0, "K", fmt.Sprint("old", i))
		}
		l.up()
		for i := range 5 {
			l.put("in", 0, "K", fmt.Sprint("r", i))
		}
		l.until("K is called", func() bool { return g.held() == 1 })
		l.killAndWipe()
		for i := 5; i < 8; i++ {
			l.put("in", 0, "K", fmt.Sprint("r", i))
		}
		l.become(echo)
		l.up()
		l.expect("K", "1:r0", "2:r1", "3:r2", "4:r3", "5:r4", "6:r5", "7:r6", "8:r7")
	})
}

// refused starts a worker that must refuse, and gives why.
func (l *lab) refused(words ...string) {
	l.t.Helper()
	l.start()
	err := l.over()
	if err == nil {
		l.t.Fatal("the worker ended without an error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			l.t.Errorf("the error lacks %q: %v", word, err)
		}
	}
}

// served runs a worker until it has done n records of key K, and stops it cleanly.
func (l *lab) served(n int) {
	l.t.Helper()
	l.up()
	for i := range n {
		l.put("in", 0, "K", fmt.Sprint("r", i))
	}
	l.until("they are done", func() bool { return len(l.outputs()["K"]) == n && l.groupOffset("in", 0) >= int64(n) })
	if err := l.stop(); err != nil {
		l.t.Fatal(err)
	}
}

// The ingress topic is deleted and created anew. Its offsets mean other records now: going on from the old position
// would skip the first of them.
func TestH8ARecreatedIngressTopicIsRefused(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.served(3)
	if err := l.cluster.DeleteTopic("in"); err != nil {
		t.Fatal(err)
	}
	if err := l.cluster.CreateTopic("in", 1, nil); err != nil {
		t.Fatal(err)
	}
	l.reconnect()
	for i := range 5 {
		l.put("in", 0, "K", fmt.Sprint("new", i))
	}
	l.refused("topic in", "created anew")
}

// An operator moves the group's offset. The next commit would overwrite it without a word; it is refused by name
// instead, and taken over when told so.
func TestH8AnOffsetThatAnOperatorChangedIsRefusedOrAccepted(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.served(3)
	offsets := kadm.Offsets{}
	offsets.AddOffset("in", 0, 1, -1)
	if err := l.admin.CommitAllOffsets(t.Context(), "app", offsets); err != nil {
		t.Fatal(err)
	}
	l.refused("topic in partition 0", "offset 1", "at 3", "--accept-offset-reset")
	l.refused("--accept-offset-reset") // the refusal itself must not write over the operator's offset
	l.change = func(c *Config) { c.AcceptOffsetReset = true }
	l.up()
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r1", "5:r2")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.change = func(*Config) {}
	l.up()
	l.put("in", 0, "K", "r3")
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r1", "5:r2", "6:r3")
}

// The group's offsets expire while the application is down. The progress rows win: nothing is read twice though the
// ingress starts at the earliest record, and the guess that the barrier writes in the meantime is never taken for an
// operator's change, though the worker dies before it commits anything else.
func TestH8RowsWinOverAnExpiredGroupOffset(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.mail(0, "Y", "m0")
	l.expect("Y", "1:m0")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.served(3)
	if _, err := l.admin.DeleteGroups(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l.up()
		l.killAndWipe()
	}
	l.up()
	l.put("in", 0, "K", "r3")
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r3")
	l.expect("Y", "1:m0")
}

// Records were deleted that nobody had read. The error says how many offsets are gone; told to, the worker goes on
// with what is left.
func TestH8APositionBelowTheLogIsAnErrorThatCounts(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.served(3)
	for i := 3; i < 10; i++ {
		l.put("in", 0, "K", fmt.Sprint("r", i))
	}
	if err := l.cluster.DeleteRecords("in", 0, 8); err != nil {
		t.Fatal(err)
	}
	l.refused("topic in partition 0", "begins at offset 8", "5 offsets", "--accept-offset-reset")
	l.change = func(c *Config) { c.AcceptOffsetReset = true }
	l.up()
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r8", "5:r9")
}

// An ingress topic grows while the worker is down, and records are written to the new partition before it starts.
// Startup position latest is for an application that begins; here it would skip them.
func TestH8NewIngressPartitionsStartAtTheEarliestRecord(t *testing.T) {
	l := newLab(t, setting{partitions: 1, module: replaced("{type: earliest}", "{type: latest}")}, echo)
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.admin.CreatePartitions(t.Context(), 1, "in"); err != nil {
		t.Fatal(err)
	}
	l.reconnect()
	l.put("in", 1, "K2", "r1")
	l.up()
	l.expect("K2", "1:r1")
}

// The changelog's first offset moves while it is replayed, as compaction does on some brokers. To read from an offset
// that is gone must lead to a restore from the start, as it does when it is seen before the replay.
func TestH8AReplayThatMeetsTheLogsStartBeginsAnew(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.served(3)
	l.disk = vfs.NewCrashableMem()
	fetches := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "app-changelog", Err: kerr.KafkaStorageError, Count: -1})
	l.start()
	if err := fetches.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	l.cluster.Compact()
	if at := l.cluster.PartitionInfo("app-changelog", 0).LogStartOffset; at == 0 {
		t.Fatal("the compaction did not move the start of the log")
	}
	fetches.Remove()
	l.until("the partitions run", func() bool { return l.worker.Ready() == nil })
	l.put("in", 0, "K", "r3")
	l.expect("K", "1:r0", "2:r1", "3:r2", "4:r3")
}
