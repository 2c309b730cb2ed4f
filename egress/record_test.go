package egress

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func field(num protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), value)
}

func message(typename string, fields ...[]byte) protocol.EgressMessage {
	var record []byte
	for _, f := range fields {
		record = append(record, f...)
	}
	return protocol.EgressMessage{
		Egress:   protocol.TypeName{Namespace: "app", Name: "out"},
		Argument: protocol.AppendTypedValue(nil, typename, record),
	}
}

func TestAMessageBecomesARecord(t *testing.T) {
	key, value, topic := field(1, "k"), field(2, "v"), field(3, "greetings")
	header := func(parts ...string) []byte { return field(4, strings.Join(parts, "")) }
	present := string(protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1))
	tests := []struct {
		name string
		in   [][]byte
		want *kgo.Record
	}{
		{"key and value", [][]byte{key, value, topic}, &kgo.Record{Topic: "greetings", Key: []byte("k"), Value: []byte("v")}},
		{"an empty key is no key", [][]byte{field(1, ""), value, topic}, &kgo.Record{Topic: "greetings", Value: []byte("v")}},
		{"no value is an empty one, not a tombstone", [][]byte{key, topic}, &kgo.Record{Topic: "greetings", Key: []byte("k"), Value: []byte{}}},
		{
			"headers of the fork, one of them null",
			[][]byte{topic, header(string(field(1, "a")), string(field(2, "1")), present), header(string(field(1, "n")))},
			&kgo.Record{Topic: "greetings", Value: []byte{}, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "n"}}},
		},
		{
			"the header that is the timestamp",
			[][]byte{topic, header(string(field(1, "statefun.kafka/timestamp")), string(field(2, "1795000000123")), present)},
			&kgo.Record{Topic: "greetings", Value: []byte{}, Headers: []kgo.RecordHeader{}, Timestamp: time.UnixMilli(1_795_000_000_123)},
		},
		{
			"headers that tell where another record lies are left out",
			[][]byte{topic, header(string(field(1, "statefun.kafka/topic")), string(field(2, "in")), present), header(string(field(1, "a")), string(field(2, "1")), present),
				header(string(field(1, "statefun.kafka/partition")), string(field(2, "3")), present), header(string(field(1, "statefun.kafka/offset")), string(field(2, "41")), present)},
			&kgo.Record{Topic: "greetings", Value: []byte{}, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Encode(message(protocol.KafkaProducerRecordType, test.in...))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestAMessageThatIsNoRecordIsRefusedByName(t *testing.T) {
	const right = protocol.KafkaProducerRecordType
	tests := []struct {
		name string
		in   protocol.EgressMessage
		want string
	}{
		{"another type", message("io.statefun.types/string", field(3, "t")), `not "io.statefun.types/string"`},
		{"a type that ends like that of 2.x", message("type.googleapis.com/x.org.apache.flink.statefun.flink.io.KafkaProducerRecord", field(3, "t")), "takes values of type"},
		{"no topic", message(right, field(1, "k")), "names no topic"},
		{"an illegal topic", message(right, field(3, "a b")), `"a b" is not a legal topic name`},
		{"a topic of 250 characters", message(right, field(3, strings.Repeat("a", 250))), "not a legal topic name"},
		{"a topic that is a folder", message(right, field(3, "..")), "not a legal topic name"},
		{"a key that is not UTF-8", message(right, field(1, "\xff"), field(3, "t")), "UTF-8"},
		{"bytes that are no record", message(right, []byte{0x0a, 9}), "parse KafkaProducerRecord"},
		{"no argument", protocol.EgressMessage{Egress: protocol.TypeName{Namespace: "app", Name: "out"}}, "takes values of type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Encode(test.in)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "egress app/out") {
				t.Errorf("%+v, %v; want an error with %q", got, err, test.want)
			}
		})
	}
	if _, err := Encode(message(right, field(3, strings.Repeat("a", 249)))); err != nil {
		t.Errorf("a topic of 249 characters: %v", err)
	}
}

func TestPartitionIsKafkasForKeysAndTheSaltsForNone(t *testing.T) {
	kafka := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rapid.Check(t, func(t *rapid.T) {
		key := append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")...)
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		salt := rapid.Uint32().Draw(t, "salt")
		if got, want := Partition(key, int32(n), salt), kafka.Partition(&kgo.Record{Key: key}, n); got != int32(want) {
			t.Fatalf("%q of %d: %d, want %d", key, n, got, want)
		}
		if got := Partition(nil, int32(n), salt); got != int32(salt%uint32(n)) {
			t.Fatalf("no key of %d: %d", n, got)
		}
	})
}

func TestSizeIsTheSizeOfABatchOfOne(t *testing.T) {
	empty := kmsg.NewRecordBatch()
	if got := len(empty.AppendTo(nil)); got != batchHead {
		t.Fatalf("an empty batch has %d bytes, not %d", got, batchHead)
	}
	rapid.Check(t, func(t *rapid.T) {
		bytes := func(name string) []byte {
			if rapid.Bool().Draw(t, name+" is null") {
				return nil
			}
			return make([]byte, rapid.SampledFrom([]int{0, 1, 63, 64, 8191, 8192, 100_000}).Draw(t, name))
		}
		r := &kgo.Record{Key: bytes("key"), Value: bytes("value")}
		wire := kmsg.NewRecord()
		wire.Key, wire.Value = r.Key, r.Value
		for range rapid.IntRange(0, 2).Draw(t, "headers") {
			h := kgo.RecordHeader{Key: strings.Repeat("h", rapid.IntRange(0, 100).Draw(t, "header")), Value: bytes("header value")}
			r.Headers = append(r.Headers, h)
			wire.Headers = append(wire.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		wire.Length = int32(len(wire.AppendTo(nil)) - 1) // the length itself took one byte as 0
		if got, want := Size(r), batchHead+len(wire.AppendTo(nil)); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}

func FuzzEncode(f *testing.F) {
	f.Add(message(protocol.KafkaProducerRecordType, field(1, "k"), field(2, "v"), field(3, "t")).Argument)
	f.Add(message(protocol.KafkaProducerRecordType, field(4, "")).Argument)
	f.Fuzz(func(t *testing.T, argument []byte) {
		r, err := Encode(protocol.EgressMessage{Argument: argument})
		if err == nil && (!legalTopic(r.Topic) || r.Value == nil || r.Key != nil && len(r.Key) == 0) {
			t.Fatalf("%+v", r)
		}
	})
}

func TestARecordOfA2xFunctionIsTakenWhateverItsTypeURLBeginsWith(t *testing.T) {
	for _, prefix := range []string{"type.googleapis.com", "com.googleapis", "", "a/b"} {
		r, err := Encode(message(prefix+"/org.apache.flink.statefun.flink.io.KafkaProducerRecord", field(1, "k"), field(2, "v"), field(3, "t")))
		if err != nil || string(r.Key) != "k" || string(r.Value) != "v" || r.Topic != "t" {
			t.Errorf("%q: %+v, %v", prefix, r, err)
		}
	}
}
