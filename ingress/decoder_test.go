package ingress

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

var (
	greeter = protocol.TypeName{Namespace: "ns", Name: "greeter"}
	counter = protocol.TypeName{Namespace: "ns", Name: "counter"}
	nobody  = protocol.TypeName{Namespace: "ns", Name: "nobody"}
)

func decoder(maxBytes int, targets ...protocol.TypeName) *Decoder {
	in := &module.Ingress{ID: protocol.TypeName{Namespace: "app", Name: "in"}}
	topic := &module.IngressTopic{Topic: "names", ValueType: "a/b", Targets: targets}
	return NewDecoder(in, topic, func(fn protocol.TypeName) bool { return fn != nobody }, maxBytes)
}

func record(key, value []byte) *kgo.Record {
	return &kgo.Record{Topic: "names", Partition: 3, Offset: 41, Key: key, Value: value}
}

func TestARecordBecomesOneEnvelopeATargetInListOrder(t *testing.T) {
	r := record([]byte("bob"), []byte("hello"))
	got, err := decoder(0, greeter, counter).Decode(r)
	invocation, _ := hex.DecodeString("120e" + "0a03612f62" + "1001" + "1a0568656c6c6f")
	want := []protocol.Envelope{
		{Target: protocol.Address{Type: greeter, ID: "bob"}, Invocation: invocation},
		{Target: protocol.Address{Type: counter, ID: "bob"}, Invocation: invocation},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	if &got[0].Invocation[0] != &got[1].Invocation[0] {
		t.Error("the targets do not share their bytes")
	}
	clear(r.Key)
	clear(r.Value)
	if !reflect.DeepEqual(got, want) {
		t.Error("the envelopes are views of the record")
	}
}

func TestAnEmptyKeyIsTheEmptyIdAndAnEmptyValueIsPresent(t *testing.T) {
	got, err := decoder(0, greeter).Decode(record([]byte{}, []byte{}))
	if err != nil || len(got) != 1 || got[0].Target.ID != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	_, argument, err := protocol.ParseInvocation(got[0].Invocation)
	if err != nil {
		t.Fatal(err)
	}
	if name, has, value, err := protocol.ParseTypedValue(argument); name != "a/b" || !has || len(value) != 0 || err != nil {
		t.Errorf("argument %q %v %x, %v", name, has, value, err)
	}
}

func TestARecordThatCannotBecomeAMessageIsInvalidAsAWhole(t *testing.T) {
	key, value := []byte("bob"), []byte("hello")
	exact := protocol.SizeEnvelope(protocol.Address{Type: counter, ID: "bob"}, protocol.SizeIngressInvocation("a/b", value))
	tests := []struct {
		name    string
		decoder *Decoder
		record  *kgo.Record
		reason  string // empty: valid
		detail  string
	}{
		{"no key", decoder(0, greeter), record(nil, value), NoKey, "ingress app/in: record names[3]@41: it has no key"},
		{"no value", decoder(0, greeter), record(key, nil), Tombstone, "no value"},
		{"one of two targets unknown", decoder(0, greeter, nobody), record(key, value), UnknownTarget, "ns/nobody"},
		{"as large as allowed", decoder(exact, counter), record(key, value), "", ""},
		{"one byte too large", decoder(exact-1, counter), record(key, value), TooLarge, "over the limit"},
		{"too large for the longer target only", decoder(exact-1, protocol.TypeName{Namespace: "n", Name: "f"}, counter), record(key, value), TooLarge, "over the limit"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := []protocol.Envelope{{Target: protocol.Address{ID: "earlier"}}}
			got, err := test.decoder.DecodeTo(before, test.record)
			if test.reason == "" {
				if err != nil || len(got) != 2 {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Reason != test.reason || !strings.Contains(invalid.Error(), test.detail) {
				t.Errorf("%v, want %s with %q", err, test.reason, test.detail)
			}
			if !reflect.DeepEqual(got, before) {
				t.Errorf("envelopes came with the error: %+v", got)
			}
		})
	}
}

func TestDecodingAllocatesTheKeyAndTheBytesOnly(t *testing.T) {
	d, r := decoder(1<<20, greeter, counter), record([]byte("some-user"), make([]byte, 100))
	dst := make([]protocol.Envelope, 0, 2)
	allocations := testing.AllocsPerRun(100, func() {
		if _, err := d.DecodeTo(dst, r); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 2 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestADeadLetterIsTheRecordWithItsProvenance(t *testing.T) {
	r := record([]byte{0xff}, nil)
	r.Timestamp = time.UnixMilli(1700000000123)
	r.Headers = []kgo.RecordHeader{
		{Key: "a", Value: []byte("1")},
		{Key: HeaderReason, Value: []byte("from an earlier time")},
		{Key: "a", Value: nil},
	}
	why := &Invalid{Reason: Tombstone, Detail: errors.New("no value")}
	got := DeadLetter("app-dead-letter", r, why, "app")
	want := &kgo.Record{
		Topic: "app-dead-letter",
		Key:   []byte{0xff},
		Headers: []kgo.RecordHeader{
			{Key: "a", Value: []byte("1")},
			{Key: "a", Value: nil},
			{Key: "statefun.dead-letter/reason", Value: []byte("tombstone")},
			{Key: "statefun.dead-letter/detail", Value: []byte("no value")},
			{Key: "statefun.dead-letter/topic", Value: []byte("names")},
			{Key: "statefun.dead-letter/partition", Value: []byte("3")},
			{Key: "statefun.dead-letter/offset", Value: []byte("41")},
			{Key: "statefun.dead-letter/timestamp", Value: []byte("2023-11-14T22:13:20.123Z")},
			{Key: "statefun.dead-letter/application", Value: []byte("app")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	r.Key[0] = 'x'
	if !bytes.Equal(got.Key, []byte{0xff}) {
		t.Error("the dead letter is a view of the record")
	}

	empty := DeadLetter("d", record(nil, []byte{}), why, "app")
	if empty.Key != nil || empty.Value == nil {
		t.Errorf("key %#v value %#v: absent and empty are not kept apart", empty.Key, empty.Value)
	}
}

func BenchmarkDecodeTo(b *testing.B) {
	d, r := decoder(1<<20, greeter), record([]byte("some-user"), make([]byte, 100))
	dst := make([]protocol.Envelope, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = d.DecodeTo(dst, r)
	}
}
