package router

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func TestPartitionMatchesKafkaClients(t *testing.T) {
	// Made with the vectors of Kafka's own murmur2 test: the hash without its sign bit, modulo 7.
	for id, want := range map[string]int32{
		"21":                         int32((uint32(1<<32-973932308) & 0x7fffffff) % 7),
		"foobar":                     int32((uint32(1<<32-790332482) & 0x7fffffff) % 7),
		"a-little-bit-longer-string": int32((uint32(1<<32-1486304829) & 0x7fffffff) % 7),
		"abc":                        int32(479470107 % 7),
	} {
		if got := Partition(id, 7); got != want {
			t.Errorf("%q belongs to %d, want %d", id, got, want)
		}
	}
	kafka := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	rapid.Check(t, func(t *rapid.T) {
		// An empty key is a key for the Java client and ours; kgo's partitioner too takes only nil as none.
		key := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		if key == nil {
			key = []byte{}
		}
		want := kafka.Partition(&kgo.Record{Key: key}, n)
		if got := Partition(string(key), int32(n)); got != int32(want) {
			t.Fatalf("%q of %d: %d, want %d", key, n, got, want)
		}
	})
}

func pattern(t *testing.T, s string) module.Pattern {
	t.Helper()
	p, err := module.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheExactTypeBeatsItsNamespace(t *testing.T) {
	m := &module.Module{Endpoints: []module.Endpoint{
		{Functions: pattern(t, "a/*")},
		{Functions: pattern(t, "a/f")},
		{Functions: pattern(t, "b/g")},
	}}
	r := New(m)
	tests := []struct {
		ns, name string
		want     int // index of the endpoint; -1: none
	}{
		{"a", "f", 1},
		{"a", "other", 0},
		{"a.b", "f", -1},
		{"", "f", -1},
		{"b", "g", 2},
		{"b", "f", -1},
	}
	for _, test := range tests {
		fn := protocol.TypeName{Namespace: test.ns, Name: test.name}
		got, ok := r.Endpoint(fn)
		if ok != (test.want >= 0) || ok != r.Known(fn) {
			t.Errorf("%s: found %v", fn, ok)
			continue
		}
		if ok && got != &m.Endpoints[test.want] {
			t.Errorf("%s: endpoint of %s, want %s", fn, got.Functions, m.Endpoints[test.want].Functions)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.Endpoint(protocol.TypeName{Namespace: "a", Name: "other"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestGoldenMailboxRecord(t *testing.T) {
	e := protocol.Envelope{
		Target:     protocol.Address{Type: protocol.TypeName{Namespace: "ns", Name: "f"}, ID: "id"},
		Invocation: protocol.AppendInvocation(nil, nil, nil),
	}
	key, value := Encode(e)
	if string(key) != "id" || hex.EncodeToString(value) != "01"+"026e73"+"0166"+"026964"+"1200" {
		t.Errorf("key %q value %x", key, value)
	}
	got, err := Decode(value)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v; want %+v", got, err, e)
	}
	clear(value)
	if !reflect.DeepEqual(got, e) {
		t.Error("the envelope is a view of the record")
	}
}

func TestARecordThatIsNoEnvelopeIsRefused(t *testing.T) {
	for name, value := range map[string][]byte{"tombstone": nil, "newer version": {2, 0, 0, 0}, "cut short": {1, 5, 'a'}} {
		if got, err := Decode(value); err == nil {
			t.Errorf("%s gave %+v", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	_, value := Encode(protocol.Envelope{Target: protocol.Address{ID: "id"}, Invocation: []byte{0x12, 0}})
	f.Add(value)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		key, value := Encode(e)
		again, err := Decode(value)
		if err != nil || again.Target != e.Target || string(again.Invocation) != string(e.Invocation) || string(key) != e.Target.ID {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
