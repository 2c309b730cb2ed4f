package conformance

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// badRecord is what differs wherever StateFun fails the job because of a record.
const badRecord = "the record goes to the dead-letter topic as it is, with the reason (invalidRecordHandling: dead-letter, skip or fail), and the records behind it are read. StateFun restarts the job at the same record for ever."

func sectionG() []Case {
	return []Case{
		{ID: "G1", Shows: "an ingress with all its settings: two topics, three targets, a property", Run: fullIngress},
		{ID: "G2", Shows: "a record of a topic with two targets becomes a message for each, without a caller, of the topic's value type", Alone: true, Run: twoTargets},
		{ID: "G3", Shows: "a record without a key", Differs: badRecord, Run: recordWithoutKey},
		{ID: "G4", Shows: "a key that is no UTF-8 becomes replacement characters, as Java decodes it", Run: binaryKey},
		{ID: "G5", Shows: "an empty key is the empty id", Run: emptyKey},
		{ID: "G6", Shows: "a record without a value", Differs: badRecord, Run: tombstone},
		{ID: "G7", Shows: "an empty value is a present value of no bytes", Run: emptyValue},
		{ID: "G8", Shows: "an ingress without a consumer group is refused", Run: noGroup},
		{ID: "G9", Shows: "consumerGroupId beats group.id in the properties, which counts otherwise", Run: groupInProperties},
		{
			ID: "G10", Shows: "auto.offset.reset given as a property only",
			Differs: "the Java builder, which lets the property count, is not part of this program; in a module it is as in G11.", Run: offsetResetProperty,
		},
		{
			ID: "G11", Shows: "auto.offset.reset in the properties of a module does nothing: the default of autoOffsetResetPosition, latest, wins",
			Differs: "a warning says so.", Run: offsetResetProperty,
		},
		{ID: "G12", Shows: "without a startupPosition reading starts with what comes after the start", Alone: true, Run: startsAtLatest},
		{ID: "G13", Shows: "startupPosition.type is told apart by case (in 2.2 and 3.0 modules it is not)", Run: caseOfStartupPosition},
		{
			ID: "G14", Shows: "specific-offsets: reading starts at the offsets of the partitions",
			Differs: "a name that Kafka allows for no topic, like a/b, is an error.", Alone: true, Run: specificOffsets,
		},
		{ID: "G15", Shows: "date: 2020-02-01 04:15:00.000 +0000 is one, 2020-02-01 04:15:00.00 Z is none", Run: startDate},
		{ID: "G16", Shows: "a partition that is new since the last run is read from its beginning, whatever the startupPosition", Alone: true, Run: newPartition},
		{ID: "G17", Shows: "of a topic that is given twice the later routing counts", Differs: "a warning says so.", Alone: true, Run: topicTwice},
		{
			ID: "G18", Shows: "an egress that is exactly-once with transactionTimeout: 15min",
			Differs: "every egress on the application's cluster is exactly-once, in the one transaction of the worker; the setting is checked and has no further effect.", Run: egressSettings,
		},
		{ID: "G19", Shows: "transactionTimeoutMillis beats transactionTimeout", Differs: "a warning says so.", Run: bothTimeouts},
		{
			ID: "G20", Shows: "exactly-once without a transaction time-out",
			Differs: "it is taken with a warning, as the setting has no effect here; StateFun fails to load.", Run: noTransactionTimeout,
		},
		{ID: "G21", Shows: "an egress record with an empty key has no key", Run: egressWithoutKey},
		{ID: "G22", Shows: "an egress record with an empty value has a value of no bytes", Run: egressWithoutValue},
		{ID: "G23", Shows: "an egress message of another type than KafkaProducerRecord", Differs: refusal, Endpoint: deadLetterPolicy, Run: otherEgressType},
		{ID: "G24", Shows: "headers of a record do not reach the function (unless forwardHeaders says so)", Run: headersDropped},
	}
}

func fullIngress(l *lab) {
	l.accepted(endpoint("com.foo.bar/*", l.url())+document("io.statefun.kafka.v1/ingress",
		"id: com.mycomp.foo/bar", "address: kafka-broker:9092", "consumerGroupId: my-consumer-group", "topics:",
		"  - topic: topic-1", "    valueType: com.foo.bar/baz", "    targets:", "      - com.foo.bar/f", "      - com.foo.bar/g",
		"  - topic: topic-2", "    valueType: com.foo.bar/baz", "    targets:", "      - com.foo.bar/h",
		"autoOffsetResetPosition: earliest", "startupPosition:", "  type: earliest", "properties:", "  - fetch.max.wait.ms: 100"),
		"1 ingress reading topic-1, topic-2", "kafka-broker:9092", "my-consumer-group")
}

func twoTargets(l *lab) {
	l.start(application(), endpoint(l.ns+"/*", l.url()), ingress(l.ns+"/in", route{l.in(), []string{l.fn("f"), l.fn("g")}}))
	l.send("k", "one")
	l.called(2)
	for _, name := range []string{"f", "g"} {
		c := l.calledFor(name, 1)[0]
		equal(l, "target", c.Target, address{l.ns, name, "k"})
		equal(l, "argument", c.Invocations[0].Argument, value{valueType, true, "one"})
		if c.Invocations[0].Caller != nil {
			l.Errorf("the caller is %v", c.Invocations[0].Caller)
		}
	}
}

// deadLettered sends a record that cannot become a message, and one behind it.
func deadLettered(l *lab, reason string, r *kgo.Record) {
	l.Helper()
	r.Topic, r.Headers = l.in(), []kgo.RecordHeader{{Key: "trace", Value: []byte("abc")}}
	l.produce(r)
	letter := l.deadLetters(1)[0]
	equal(l, "reason", header(letter, "statefun.dead-letter/reason"), reason)
	equal(l, "header of the record", header(letter, "trace"), "abc")
	equal(l, "key", string(letter.Key), string(r.Key))
	equal(l, "value", string(letter.Value), string(r.Value))
	equal(l, "has a key", letter.Key != nil, r.Key != nil)
	equal(l, "has a value", letter.Value != nil, r.Value != nil)
	l.send("next", "one")
	equal(l, "next target", l.called(1)[0].Target.ID, "next")
}

func recordWithoutKey(l *lab) { deadLettered(l, "no-key", &kgo.Record{Value: []byte("lost")}) }

func tombstone(l *lab) { deadLettered(l, "tombstone", &kgo.Record{Key: []byte("gone")}) }

func binaryKey(l *lab) {
	l.send("\xff\xfe", "one")
	equal(l, "id", l.called(1)[0].Target.ID, "\ufffd\ufffd")
	l.send("\xc0\x80", "two") // another key, and the same id
	equal(l, "id", l.called(2)[1].Target.ID, "\ufffd\ufffd")
}

func emptyKey(l *lab) {
	l.send("", "one")
	equal(l, "target", l.called(1)[0].Target, address{l.ns, "f", ""})
}

func emptyValue(l *lab) {
	l.send("x", "")
	equal(l, "argument", l.called(1)[0].Invocations[0].Argument, value{valueType, true, ""})
}

func noGroup(l *lab) {
	e, i, _ := plain(l)
	l.refused(e+strings.Replace(i, "  consumerGroupId: APP\n", "", 1), "consumerGroupId")
}

func groupInProperties(l *lab) {
	e, i, _ := plain(l)
	both := strings.Replace(i, "consumerGroupId: APP", "consumerGroupId: named\n  properties:\n    - group.id: property", 1)
	l.accepted(e+both, "application named")
	l.accepted(e+strings.Replace(both, "  consumerGroupId: named\n", "", 1), "application property")
}

func offsetResetProperty(l *lab) {
	e, i, _ := plain(l)
	l.accepted(e+strings.Replace(i, "consumerGroupId: APP", "consumerGroupId: APP\n  properties:\n    - auto.offset.reset: earliest", 1),
		"auto.offset.reset", "warning", "autoOffsetResetPosition is latest by default and wins")
}

func startsAtLatest(l *lab) {
	e, _, _ := plain(l)
	l.send("x", "before")
	l.start(application(), e, ingressWith(l.ns+"/in", nil, route{l.in(), []string{l.f()}}))
	l.send("x", "after")
	equal(l, "first message", l.called(1)[0].arguments(), "after")
}

func caseOfStartupPosition(l *lab) {
	e, _, _ := plain(l)
	of := func(position string) string {
		return e + ingressWith(l.ns+"/in", []string{"startupPosition:", "  type: " + position}, route{l.in(), []string{l.f()}})
	}
	l.refused(of("Earliest"), `"Earliest"`, "earliest", "group-offsets", "specific-offsets", "date", "latest")
	l.accepted(of("earliest"))
	l.accepted(module2{}.text(l)) // its position is written Earliest
}

func specificOffsets(l *lab) {
	e, _, _ := plain(l)
	of := func(lines ...string) string {
		lines = append([]string{"startupPosition:", "  type: specific-offsets", "  offsets:"}, lines...)
		return ingressWith(l.ns+"/in", lines, route{l.in(), []string{l.f()}})
	}
	l.refused(e+of("    - names/x: 91"), "names/x")
	l.refused(e+of("    - names: 91"), "names")
	before := &kgo.Record{Topic: l.in(), Key: []byte("x"), Value: []byte("first")}
	l.produce(before)
	l.send("x", "second", "third")
	l.start(application(), e, of(fmt.Sprintf("    - %s/%d: 2", l.in(), before.Partition)))
	l.send("x", "last")
	got := gather(l, "f", 2)
	equal(l, "messages", got[0].Argument.Bytes+" "+got[1].Argument.Bytes, "third last")
}

func startDate(l *lab) {
	e, _, _ := plain(l)
	of := func(date string) string {
		return e + ingressWith(l.ns+"/in", []string{"startupPosition:", "  type: date", "  date: " + date}, route{l.in(), []string{l.f()}})
	}
	l.accepted(of("2020-02-01 04:15:00.000 +0000"))
	l.refused(of("2020-02-01 04:15:00.00 Z"), "date", "2020-02-01 04:15:00.00 Z")
	l.refused(of("2520-02-01 04:15:00.000 +0000"), "future")
}

func newPartition(l *lab) {
	e, _, _ := plain(l)
	l.start(application(), e, ingressWith(l.ns+"/in", nil, route{l.in(), []string{l.f()}}))
	l.send("x", "one")
	l.called(1)
	equal(l, "exit code", l.worker.stop(), 0)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := l.bench.admin.UpdatePartitions(ctx, partitions+1, l.in()); err != nil {
		l.Fatal(err)
	}
	if err := l.bench.usable(ctx, partitions+1, l.in()); err != nil {
		l.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(l.bench.address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		l.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: l.in(), Partition: partitions, Key: []byte("new"), Value: []byte("while nobody ran")}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		l.Fatal(err)
	}
	if err := l.worker.start(); err != nil {
		l.Fatal(err)
	}
	equal(l, "message", lastOf(l, "new", 1).arguments(), "while nobody ran")
}

func topicTwice(l *lab) {
	e, _, _ := plain(l)
	i := ingress(l.ns+"/in", route{l.in(), []string{l.fn("first")}}, route{l.in(), []string{l.fn("second")}})
	l.accepted(e+i, "warning", "routed twice")
	l.start(application(), e, i)
	l.send("x", "one")
	equal(l, "target", l.called(1)[0].function, "second")
}

// egressOf is a module whose egress has further lines.
func egressOf(l *lab, lines ...string) string {
	e, i, _ := plain(l)
	return e + i + document("io.statefun.kafka.v1/egress", append([]string{"id: a/out", "address: BROKER"}, lines...)...)
}

func egressSettings(l *lab) {
	l.accepted(egressOf(l, "deliverySemantic:", "  type: exactly-once", "  transactionTimeout: 15min", "properties:", "  - linger.ms: 5"))
	l.accepted(egressOf(l, "deliverySemantic:", "  type: at-least-once"))
	l.accepted(egressOf(l, "deliverySemantic:", "  type: none"))
	l.refused(egressOf(l, "deliverySemantic:", "  type: Exactly-Once"), `did you mean "exactly-once"?`)
}

func bothTimeouts(l *lab) {
	l.accepted(egressOf(l, "deliverySemantic:", "  type: exactly-once", "  transactionTimeout: 15min", "  transactionTimeoutMillis: 60000"),
		"warning", "transactionTimeoutMillis wins")
	l.refused(egressOf(l, "deliverySemantic:", "  type: exactly-once", "  transactionTimeoutMillis: 15min"), "write transactionTimeout: 15min")
}

func noTransactionTimeout(l *lab) {
	l.accepted(egressOf(l, "deliverySemantic:", "  type: exactly-once"), "warning", "exactly-once without transactionTimeout")
}

func egressWithoutKey(l *lab) {
	l.answer("f", func(call) reply { return result(l.output("", "value")) })
	l.send("x", "one")
	if r := l.written(1)[0]; r.Key != nil {
		l.Errorf("the key is %q, not absent", r.Key)
	}
}

func egressWithoutValue(l *lab) {
	l.answer("f", func(call) reply { return result(l.output("key", "")) })
	l.send("x", "one")
	if r := l.written(1)[0]; r.Value == nil || len(r.Value) != 0 {
		l.Errorf("the value is %v, not one of no bytes", r.Value)
	}
}

func otherEgressType(l *lab) {
	refusedWith(l, "KafkaProducerRecord", nothingFirst,
		result(l.output("bad", "effect"), egressMessage("conformance", "out", "io.statefun.types/string", []byte("\x0a\x01x"))),
		result(l.output("bad", "effect"), egressMessage("conformance", "out", recordType, []byte("\xff\xff\xff"))))
}

func headersDropped(l *lab) {
	l.produce(&kgo.Record{Topic: l.in(), Key: []byte("x"), Value: []byte("one"), Headers: []kgo.RecordHeader{{Key: "needle", Value: []byte("thread")}}})
	body := string(l.called(1)[0].body)
	equal(l, "the request has the header", strings.Contains(body, "needle") || strings.Contains(body, "thread"), false)
}
