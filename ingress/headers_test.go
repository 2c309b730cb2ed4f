package ingress

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func forwarding(maxBytes int) *Decoder {
	in := &module.Ingress{ID: protocol.TypeName{Namespace: "app", Name: "in"}}
	topic := &module.IngressTopic{Topic: "names", ValueType: "a/b", Targets: []protocol.TypeName{greeter}, ForwardHeaders: true}
	return NewDecoder(in, topic, func(protocol.TypeName) bool { return true }, maxBytes)
}

func withHeaders(headers ...kgo.RecordHeader) *kgo.Record {
	r := record([]byte("bob"), []byte("hello"))
	r.Headers, r.Timestamp = headers, time.UnixMilli(1_795_000_000_123)
	return r
}

func TestHeadersAndOriginTravelWhenTheTopicForwardsThem(t *testing.T) {
	said := []protocol.KafkaHeader{
		{Key: "statefun.kafka/timestamp", Value: []byte("1795000000123")}, {Key: "statefun.kafka/topic", Value: []byte("names")},
		{Key: "statefun.kafka/partition", Value: []byte("3")}, {Key: "statefun.kafka/offset", Value: []byte("41")},
	}
	for name, c := range map[string]struct {
		headers []kgo.RecordHeader
		want    []protocol.KafkaHeader
	}{
		"no header": {nil, nil},
		"order, duplicates, null and empty": {
			[]kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "a", Value: []byte{}}, {Key: "traceparent", Value: []byte("00-2")}, {Key: "n"}},
			[]protocol.KafkaHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "a", Value: []byte{}}, {Key: "traceparent", Value: []byte("00-2")}, {Key: "n"}},
		},
		"reserved names are taken out": {
			[]kgo.RecordHeader{{Key: "statefun.invalid/defect", Value: []byte("x")}, {Key: "statefun.kafka/timestamp", Value: []byte("1")}, {Key: "statefun.kafka/offset", Value: []byte("1")}, {Key: "statefun.dead-letter/reason", Value: []byte("no-key")}},
			[]protocol.KafkaHeader{{Key: "statefun.dead-letter/reason", Value: []byte("no-key")}},
		},
		"a name that is no UTF-8": {
			[]kgo.RecordHeader{{Key: "a\xffb", Value: []byte("v")}},
			[]protocol.KafkaHeader{{Key: "a\uFFFDb", Value: []byte("v")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := withHeaders(c.headers...)
			got, err := forwarding(0).Decode(r)
			if err != nil {
				t.Fatal(err)
			}
			want := protocol.AppendIngressInvocation(nil, "a/b", []byte("hello"), append(c.want, said...)...)
			if !bytes.Equal(got[0].Invocation, want) {
				t.Errorf("got  %q\nwant %q", got[0].Invocation, want)
			}
			for _, h := range r.Headers {
				clear(h.Value)
			}
			if !bytes.Equal(got[0].Invocation, want) {
				t.Error("the envelope is a view of the record's headers")
			}
		})
	}
}

func TestWithoutForwardingARecordWithHeadersIsByteForByteOneWithout(t *testing.T) {
	plain, err := decoder(0, greeter).Decode(record([]byte("bob"), []byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decoder(0, greeter).Decode(withHeaders(kgo.RecordHeader{Key: "a", Value: []byte("b")}))
	if err != nil || !reflect.DeepEqual(got, plain) {
		t.Errorf("%q, %v; want %q", got, err, plain)
	}
	r := withHeaders(kgo.RecordHeader{Key: "a", Value: []byte("b")})
	d, dst := decoder(0, greeter), make([]protocol.Envelope, 0, 1)
	if n := testing.AllocsPerRun(100, func() { _, _ = d.DecodeTo(dst, r) }); n > 2 {
		t.Errorf("%v allocations, want the key and the value", n)
	}
}

func TestARecordWithoutATimestampTellsWhereItLiesOnly(t *testing.T) {
	r := record([]byte("bob"), []byte("hello"))
	r.Timestamp = time.UnixMilli(-1)
	got, err := forwarding(0).Decode(r)
	want := protocol.AppendIngressInvocation(nil, "a/b", []byte("hello"), []protocol.KafkaHeader{
		{Key: "statefun.kafka/topic", Value: []byte("names")}, {Key: "statefun.kafka/partition", Value: []byte("3")}, {Key: "statefun.kafka/offset", Value: []byte("41")},
	}...)
	if err != nil || !bytes.Equal(got[0].Invocation, want) {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
}

func TestHeadersCountForTheSizeOfTheMessage(t *testing.T) {
	r := withHeaders(kgo.RecordHeader{Key: "a", Value: make([]byte, 2000)})
	if _, err := forwarding(1000).Decode(r); err == nil {
		t.Error("a record whose headers are over the limit was taken")
	}
	if _, err := decoder(1000, greeter).Decode(r); err != nil {
		t.Errorf("headers count although they are not forwarded: %v", err)
	}
}
