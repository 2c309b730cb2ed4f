package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// fill is an ingress that the program itself fills, in the topic filled.
var fill = protocol.TypeName{Namespace: "test", Name: "fill"}

const filled = "app-ingress-fill"

// toItsKey sends each record to test/f under its key. A record "bad" has no message.
func toItsKey(r *kgo.Record, to func(protocol.Address, []byte)) error {
	if string(r.Value) == "bad" {
		return errors.New("it says bad")
	}
	to(functionAt(string(r.Key)), protocol.AppendTypedValue(nil, "test/command", r.Value))
	return nil
}

// ofProgram is a module without a file, with an ingress of the program's own.
func ofProgram(t *testing.T, partitions int, brokers []string) *module.Module {
	t.Helper()
	topic, endpoint := module.DefaultIngressTopic(), module.DefaultEndpoint()
	topic.Own = true
	endpoint.Functions, endpoint.Transport = module.Pattern{Namespace: "test", Name: "*"}, module.DefaultTransport(module.TransportInProcess)
	m, err := module.Assemble(nil, module.Parts{
		Application: &module.Application{ID: "app", Partitions: partitions},
		Endpoints:   []module.Endpoint{endpoint},
		Ingresses:   []module.Ingress{{ID: fill, Routed: true, Topics: []module.IngressTopic{topic}}},
		Egresses:    []module.Egress{{ID: protocol.TypeName{Namespace: "test", Name: "out"}}},
	}, module.Options{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newFilled is a lab whose only ingress is the program's own.
func newFilled(t *testing.T, s setting, f script) *lab {
	t.Helper()
	l := newLab(t, s, f)
	l.module = ofProgram(t, max(int(s.partitions), 1), l.brokers)
	l.change = func(c *Config) { c.Routes = map[protocol.TypeName]ingress.Route{fill: toItsKey} }
	return l
}

func (l *lab) begins(topic string, partition int32) int64 {
	return l.cluster.PartitionInfo(topic, partition).LogStartOffset
}

// trim makes the deletion of what is done due: it comes at the next step without a transaction.
func (l *lab) trim() { l.loop(func(w *Worker) { w.trimmed = w.now.Add(-trimEvery) }) }

func TestTheWorkerCreatesTheTopicThatTheProgramFills(t *testing.T) {
	l := newFilled(t, setting{partitions: 3}, echo)
	l.up()
	if n := len(l.cluster.PartitionInfos(filled)); n != 3 {
		t.Errorf("it has %d partitions, the application 3", n)
	}
	configs, err := l.admin.DescribeTopicConfigs(t.Context(), filled)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete", "max.message.bytes": "1048588"}
	for _, c := range configs[0].Configs {
		if wanted, is := want[c.Key]; is && c.MaybeValue() != wanted {
			t.Errorf("%s is %s, want %s", c.Key, c.MaybeValue(), wanted)
		}
	}
	for p := range int32(3) {
		l.put(filled, p, fmt.Sprint("K", p), "v")
	}
	for p := range int32(3) {
		l.expect(fmt.Sprint("K", p), "1:v")
	}
}

// The ingress says nothing of where to begin, which is at the latest record for all others. What was appended is owed.
func TestWhatWasAppendedBeforeAnybodyReadsIsRead(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	if err := l.cluster.CreateTopic(filled, 1, map[string]string{"retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	l.put(filled, 0, "X", "before")
	l.up()
	l.put(filled, 0, "X", "during")
	l.expect("X", "1:before", "2:during")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.put(filled, 0, "X", "between")
	l.up()
	l.expect("X", "1:before", "2:during", "3:between")
}

func TestATopicThatTheProgramFillsKeepsWhatIsNotDone(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		g := newGate("X")
		l := newFilled(t, setting{partitions: 1, version: version}, g.behind(echo))
		l.up()
		l.put(filled, 0, "Y", "m0")
		first := l.put(filled, 0, "X", "m1")
		l.put(filled, 0, "Y", "m2")
		l.expect("Y", "1:m0", "2:m2")
		l.until("the position is committed", func() bool { return l.groupOffset(filled, 0) == first })
		l.trim()
		l.until("the topic is relieved of what is done", func() bool { return l.begins(filled, 0) >= first })
		if at := l.begins(filled, 0); at != first {
			t.Errorf("the topic begins at %d, the record that is not done lies at %d", at, first)
		}
		l.killAndWipe()
		l.become(echo)
		l.up()
		l.expect("X", "1:m1")
		l.expect("Y", "1:m0", "2:m2")
		end := l.put(filled, 0, "X", "m3") + 1
		l.expect("X", "1:m1", "2:m3")
		l.until("all is done", func() bool { return l.groupOffset(filled, 0) == end })
		l.trim()
		l.until("nothing is kept", func() bool { return l.begins(filled, 0) == end })
	})
}

// A transaction that takes the record along is being ended when the topics are relieved. It aborts, and the worker dies
// with its disk: the record has to be there still.
func TestNothingIsDeletedBeforeItsCommit(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	l.up()
	l.put(filled, 0, "X", "m0")
	l.expect("X", "1:m0")
	l.until("the position is committed", func() bool { return l.groupOffset(filled, 0) == 1 })
	blocked, release := l.blockEndTxn(kerr.TransactionAbortable)
	l.put(filled, 0, "X", "m1")
	<-blocked
	l.loop(func(w *Worker) {
		if below := w.deletable(); w.running == nil || len(below) > 0 {
			t.Errorf("a transaction runs: %v, and %v is deleted", w.running != nil, below)
		}
		w.trim()
	})
	release()
	l.killAndWipe()
	if at := l.begins(filled, 0); at > 1 {
		t.Errorf("the topic begins at %d, the record at 1 was not committed", at)
	}
	l.up()
	l.expect("X", "1:m0", "2:m1")
}

// Under load a transaction runs nearly always. The deletion waits for a moment without one, and then it is made.
func TestADueDeletionIsMadeOnceNoTransactionRuns(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	l.up()
	blocked, release := l.blockEndTxn(nil)
	end := l.put(filled, 0, "X", "m0") + 1
	<-blocked
	l.trim()
	release()
	l.until("the topic is relieved", func() bool { return l.begins(filled, 0) == end })
}

func TestARecordThatTheRouteRefusesIsADeadLetter(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	l.up()
	l.put(filled, 0, "X", "bad")
	l.put(filled, 0, "X", "good")
	l.expect("X", "1:good")
	dead := l.read("app-dead-letter")
	if len(dead) != 1 || string(dead[0].Value) != "bad" {
		t.Fatalf("%d dead letters", len(dead))
	}
	headers := shownHeaders(dead[0].Headers)
	for _, want := range []string{"statefun.dead-letter/reason=undecodable", "it says bad", "statefun.dead-letter/topic=" + filled} {
		if !strings.Contains(headers, want) {
			t.Errorf("the dead letter's headers %s lack %q", headers, want)
		}
	}
}

// The second message of a record is too large for a row of the changelog, and small enough for what a topic takes: it
// could never be copied.
func TestARecordOfWhichOneMessageFitsNoRowIsADeadLetter(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	size := 0
	l.change = func(c *Config) {
		c.Routes = map[protocol.TypeName]ingress.Route{fill: func(r *kgo.Record, to func(protocol.Address, []byte)) error {
			if err := toItsKey(r, to); string(r.Value) != "large" || err != nil {
				return err
			}
			to(functionAt("Y"), protocol.AppendTypedValue(nil, "test/command", make([]byte, size)))
			return nil
		}}
	}
	l.up()
	l.loop(func(w *Worker) { size = w.names.maxRecordBytes - rowOverhead/2 })
	l.put(filled, 0, "X", "large")
	l.put(filled, 0, "X", "small")
	l.expect("X", "1:small")
	dead := l.read("app-dead-letter")
	if len(dead) != 1 || string(dead[0].Value) != "large" {
		t.Errorf("%d dead letters, want the record as a whole", len(dead))
	}
}

func TestAPanicOfTheRouteIsTheRecordsAndItsStackIsSaid(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	l.change = func(c *Config) {
		c.Routes = map[protocol.TypeName]ingress.Route{fill: func(r *kgo.Record, to func(protocol.Address, []byte)) error {
			if string(r.Value) == "bad" {
				panic("never thought of that")
			}
			return toItsKey(r, to)
		}}
	}
	l.up()
	l.put(filled, 0, "X", "bad")
	l.put(filled, 0, "X", "good")
	l.expect("X", "1:good")
	l.says("panicked", "stack=", "own_topic_test.go")
	if n := len(l.read("app-dead-letter")); n != 1 {
		t.Errorf("%d dead letters, want the record", n)
	}
}

// The goroutine that a route ends is not the one that reads: what comes behind its record is read all the same.
func TestARouteThatEndsItsGoroutineIsTheRecordsFault(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	l.change = func(c *Config) {
		c.Routes = map[protocol.TypeName]ingress.Route{fill: func(r *kgo.Record, to func(protocol.Address, []byte)) error {
			if string(r.Value) == "bad" {
				to(functionAt("X"), protocol.AppendTypedValue(nil, "test/command", r.Value))
				runtime.Goexit()
			}
			return toItsKey(r, to)
		}}
	}
	for i, value := range []string{"good", "bad", "bad", "good", "bad"} { // before the worker starts, so that it gets all at once
		if i == 0 {
			l.up()
			l.put(filled, 0, "X", value)
			l.expect("X", "1:good")
			l.kill()
			continue
		}
		l.put(filled, 0, "X", value)
	}
	l.up()
	l.expect("X", "1:good", "2:good")
	l.until("the bad ones are dead letters", func() bool { return len(l.read("app-dead-letter")) == 3 })
	if headers := shownHeaders(l.read("app-dead-letter")[0].Headers); !strings.Contains(headers, "ended its goroutine") {
		t.Errorf("the dead letter's headers are %s", headers)
	}
}

func TestNoFunctionWritesToATopicThatTheProgramFills(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, func(_ context.Context, call *callOf, r *reply) error {
		r.egress("test/out", filled, call.target.ID, "looped")
		return nil
	})
	l.up()
	l.put(filled, 0, "X", "v")
	l.says(filled, "belongs to the application itself")
}

func TestRoutesAndRoutedIngressesBelongTogether(t *testing.T) {
	brokers := []string{"localhost:1"}
	config := func(routes map[protocol.TypeName]ingress.Route, m *module.Module) error {
		_, err := New(Config{Module: m, Brokers: brokers, StateDir: t.TempDir(), Routes: routes, Functions: func(context.Context, protocol.TypeName, []byte) ([]byte, error) { return nil, nil }})
		return err
	}
	m := ofProgram(t, 1, brokers)
	if err := config(nil, m); err == nil || !strings.Contains(err.Error(), "ingress test/fill is routed by the program") {
		t.Errorf("without its route: %v", err)
	}
	other := protocol.TypeName{Namespace: "test", Name: "other"}
	if err := config(map[protocol.TypeName]ingress.Route{fill: toItsKey, other: toItsKey}, m); err == nil || !strings.Contains(err.Error(), "test/other") {
		t.Errorf("with a route too many: %v", err)
	}
	if err := config(map[protocol.TypeName]ingress.Route{fill: toItsKey}, m); err != nil {
		t.Errorf("with its route: %v", err)
	}
}
