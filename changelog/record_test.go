package changelog

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

func TestARowIsThisRecord(t *testing.T) {
	ada := protocol.Address{Type: protocol.TypeName{Namespace: "a", Name: "b"}, ID: "Ada"}
	r := Encode("app-changelog", 3, state.Row{
		Key: state.ValueKey(ada, "n"), Value: state.AppendValue(nil, state.Value{Type: "t/u", Bytes: []byte{7}}),
	})
	key, value := hex.EncodeToString(r.Key), hex.EncodeToString(r.Value)
	if key != "73"+"0161"+"0162"+"03416461"+"016e" || value != "01"+"03742f75"+"07" {
		t.Errorf("key %s, value %s", key, value)
	}
	if r.Topic != "app-changelog" || r.Partition != 3 || len(r.Headers) > 0 {
		t.Errorf("topic %s, partition %d, headers %v", r.Topic, r.Partition, r.Headers)
	}
}

func TestRowsComeBack(t *testing.T) {
	for fact, row := range map[string]state.Row{
		"a row":                     {Key: []byte("s"), Value: []byte("\x01v")},
		"a removed row":             {Key: []byte("s")},
		"a row with an empty value": {Key: []byte("s"), Value: []byte{}},
	} {
		got, err := Decode(Encode("t", 0, row))
		if err != nil || !reflect.DeepEqual(got, row) {
			t.Errorf("%s: %#v, %v", fact, got, err)
		}
	}
}

func TestARecordWithoutAKeyIsNamed(t *testing.T) {
	_, err := Decode(&kgo.Record{Topic: "app-changelog", Partition: 3, Offset: 17, Value: []byte("v")})
	if err == nil || !strings.Contains(err.Error(), "app-changelog partition 3 offset 17") {
		t.Error(err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("s"), []byte("\x01v"), false)
	f.Add([]byte("s"), []byte{}, true)
	f.Add([]byte("t"), []byte("\x01\x00\x00\x02"), false)
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		}
		row := state.Row{Key: key, Value: value}
		got, err := Decode(Encode("t", 0, row))
		if (err != nil) != (len(key) == 0 || state.CheckVersion(row) != nil) {
			t.Fatalf("key %x: %v", key, err)
		}
		if err == nil && !reflect.DeepEqual(got, row) {
			t.Errorf("%#v came back as %#v", row, got)
		}
	})
}
