package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"
)

// sectionK is the dialect of the maintained fork: headers of records as metadata of values, records that are invalid.
func sectionK() []Case {
	const stays = "the record is a dead letter; StateFun fails the job, the fork skips the record."
	return []Case{
		{ID: "K1", Shows: "forwardHeaders: headers reach the function in their order, twice, empty and null, with where the record lies; names under statefun.kafka/ and statefun.invalid/ are taken out", Alone: true, Run: headersReachFunctions},
		{ID: "K2", Shows: "headers of a KafkaProducerRecord become those of the record, statefun.kafka/timestamp its time", Run: headersLeave},
		{ID: "K3", Shows: "metadata of a message goes along to another function, now and later, and through a kill -9", Alone: true, Run: metadataGoesAlong},
		{ID: "K4", Shows: "forwardHeaders and invalidRecordHandling of a topic beat those of its ingress", Alone: true, Run: topicBeatsIngress},
		{ID: "K5", Shows: "invalidRecordHandling is not given", Differs: stays, Alone: true, Run: invalidByDefault},
		{ID: "K6", Shows: "invalidRecordHandling: fail: the worker ends and names the record", Alone: true, Run: invalidEndsTheWorker},
	}
}

// entries of metadata and headers are written alike: key 1, value 2, has_value 3.
func entry(key string, value *string) []byte {
	e := appendBytes(nil, 1, []byte(key))
	if value != nil {
		e = append(appendBytes(e, 2, []byte(*value)), 0x18, 1)
	}
	return e
}

// shown writes entries as key=value, a null one as its key alone.
func shown(entries [][]byte) string {
	var all []string
	for _, e := range entries {
		text := string(bytesField(e, 1))
		if strings.HasSuffix(string(e), "\x18\x01") {
			text += "=" + string(bytesField(e, 2))
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// metadataOf is the metadata of the first invocation of a call.
func metadataOf(c call) string {
	return shown(bytesFields(bytesField(bytesFields(bytesField(c.body, 100), 3)[0], 2), 4))
}

// topicsOf is an ingress with lines of its own and of its topics; each topic goes to the case's f.
func topicsOf(l *lab, lines []string, topics ...string) string {
	all := append([]string{"id: " + l.ns + "/in", "address: BROKER", "consumerGroupId: APP", "startupPosition: {type: earliest}"}, lines...)
	all = append(all, "topics:")
	for _, t := range topics {
		name, more, _ := strings.Cut(t, "; ")
		all = append(all, "  - topic: "+name, "    valueType: "+valueType, "    targets: ["+l.f()+"]")
		if more != "" {
			all = append(all, "    "+strings.ReplaceAll(more, "\n", "\n    "))
		}
	}
	return document("io.statefun.kafka.v1/ingress", all...)
}

var carriedHeaders = []kgo.RecordHeader{
	{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}, {Key: "a", Value: []byte("1")},
	{Key: "a", Value: []byte("2")}, {Key: "empty", Value: []byte{}}, {Key: "null"},
	{Key: "statefun.kafka/topic", Value: []byte("forged")}, {Key: "statefun.invalid/reason", Value: []byte("forged")},
}

const carriedText = "traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=1 a=2 empty= null"

func headersReachFunctions(l *lab) {
	l.start(application(), endpoint(l.ns+"/*", l.url()), topicsOf(l, []string{"forwardHeaders: true"}, l.in()), egress("conformance/out"))
	r := &kgo.Record{Topic: l.in(), Key: []byte("x"), Value: []byte("one"), Headers: carriedHeaders, Timestamp: time.Now().Add(-time.Hour)}
	l.produce(r)
	want := fmt.Sprintf("%s statefun.kafka/timestamp=%d statefun.kafka/topic=%s statefun.kafka/partition=%d statefun.kafka/offset=%d",
		carriedText, r.Timestamp.UnixMilli(), l.in(), r.Partition, r.Offset)
	equal(l, "metadata", metadataOf(l.called(1)[0]), want)
}

func headersLeave(l *lab) {
	one, two, none, at := "1", "2", "", time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	stamp := fmt.Sprint(at.UnixMilli())
	r := record(l.out(), "x", "done")
	for _, e := range [][]byte{entry("a", &one), entry("a", &two), entry("empty", &none), entry("null", nil), entry("statefun.kafka/timestamp", &stamp), entry("statefun.kafka/topic", &one)} {
		r = appendBytes(r, 4, e)
	}
	l.script(result(egressMessage("conformance", "out", recordType, r)))
	l.send("x", "one")
	got := l.written(1)[0]
	equal(l, "headers", fmt.Sprintf("%q", got.Headers), fmt.Sprintf("%q", []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "empty", Value: []byte{}}, {Key: "null"}}))
	equal(l, "timestamp", got.Timestamp.UnixMilli(), at.UnixMilli())
}

func metadataGoesAlong(l *lab) {
	one := "1"
	with := func(number protowire.Number, delay []byte) []byte {
		to := appendBytes(appendBytes(appendBytes(nil, 1, []byte(l.ns)), 2, []byte("g")), 3, []byte("x"))
		argument := appendBytes(appendBytes(append(appendBytes(nil, 1, []byte(valueType)), 0x10, 1), 3, []byte("hello")), 4, entry("trace", &one))
		m := appendBytes(appendBytes(delay, 2, to), 3, argument)
		if delay == nil {
			m = appendBytes(appendBytes(nil, 1, to), 2, argument)
		}
		return appendBytes(nil, number, m)
	}
	output := fromText(fromFunction, "invocation_result { "+l.output("x", "sent")+" }")
	body := append(with(2, nil), with(3, []byte{0x08, 0x05})...)
	l.script(reply{body: append(appendBytes(nil, 100, body), output...)})
	g := l.hold("g", func(call) reply { return done() })
	l.start()
	l.send("x", "one")
	l.written(1)
	l.calledFor("g", 1)
	l.restart()
	g.release()
	gather(l, "g", 3)
	for _, c := range l.calledFor("g", 2) {
		for _, i := range bytesFields(bytesField(c.body, 100), 3) {
			equal(l, "metadata", shown(bytesFields(bytesField(i, 2), 4)), "trace=1")
		}
	}
}

func topicBeatsIngress(l *lab) {
	second := l.in() + "-b"
	if err := l.bench.createTopics(second); err != nil {
		l.Fatal(err)
	}
	l.start(application(), endpoint(l.ns+"/*", l.url()), egress("conformance/out"),
		topicsOf(l, []string{"forwardHeaders: true", "invalidRecordHandling: {type: skip, logLevel: info}"}, l.in()+"; forwardHeaders: false\ninvalidRecordHandling: dead-letter", second))
	for _, topic := range []string{l.in(), second} {
		l.produce(&kgo.Record{Topic: topic, Value: []byte("no key")}, &kgo.Record{Topic: topic, Key: []byte(topic), Value: []byte("one"), Headers: carriedHeaders[:1]})
	}
	equal(l, "reason", header(l.deadLetters(1)[0], "statefun.dead-letter/reason"), "no-key")
	l.awaitMetric(1, "statefun_worker_invalid_records_total", `topic="`+second+`"`, `handling="skip"`)
	for _, c := range l.called(2) {
		equal(l, "headers of "+c.Target.ID, strings.HasPrefix(metadataOf(c), "traceparent="), c.Target.ID == second)
	}
	equal(l, "dead letters", len(l.deadLetters(1)), 1)
}

func invalidByDefault(l *lab) {
	l.start()
	l.produce(&kgo.Record{Topic: l.in(), Value: []byte("no key")})
	equal(l, "reason", header(l.deadLetters(1)[0], "statefun.dead-letter/reason"), "no-key")
}

func invalidEndsTheWorker(l *lab) {
	l.start(application(), endpoint(l.ns+"/*", l.url()), egress("conformance/out"), topicsOf(l, []string{"invalidRecordHandling: fail"}, l.in()))
	l.produce(&kgo.Record{Topic: l.in(), Value: []byte("no key")})
	await(l.T, "the end of the worker", func() (bool, <-chan struct{}) {
		select {
		case <-l.worker.done:
			return true, nil
		default:
			return false, nil
		}
	})
	equal(l, "exit code", l.worker.cmd.ProcessState.ExitCode(), 1)
	l.says(l.worker.tail(), l.in(), "no-key", "offset")
}
