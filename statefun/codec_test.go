package statefun_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// golden are encodings as every StateFun SDK writes them.
func TestSimpleValuesHaveTheEncodingOfAllSDKs(t *testing.T) {
	check(t, statefun.Bool, true, "\x08\x01")
	check(t, statefun.Bool, false, "")
	check(t, statefun.Int32, 1, "\x0d\x01\x00\x00\x00")
	check(t, statefun.Int32, -1, "\x0d\xff\xff\xff\xff")
	check(t, statefun.Int32, 0, "")
	check(t, statefun.Int64, math.MinInt64, "\x09\x00\x00\x00\x00\x00\x00\x00\x80")
	check(t, statefun.Int64, 0, "")
	check(t, statefun.Float32, 1, "\x0d\x00\x00\x80\x3f")
	check(t, statefun.Float64, -2, "\x09\x00\x00\x00\x00\x00\x00\x00\xc0")
	check(t, statefun.Float64, math.Copysign(0, -1), "\x09\x00\x00\x00\x00\x00\x00\x00\x80")
	check(t, statefun.String, "hé", "\x0a\x03h\xc3\xa9")
	check(t, statefun.String, "", "")
}

func check[T comparable](t *testing.T, typ statefun.Type[T], value T, want string) {
	t.Helper()
	encoded, err := typ.Encode(value)
	if err != nil || string(encoded) != want {
		t.Errorf("%s %v is %q, not %q (%v)", typ.Name(), value, encoded, want, err)
	}
	back, err := typ.Decode(encoded)
	if err != nil || back != value {
		t.Errorf("%s %v reads back as %v (%v)", typ.Name(), value, back, err)
	}
	sent, err := typ.Of(value).AppendBinary(nil)
	if err != nil {
		t.Error(err)
	}
	var m statefun.Message
	if err := m.UnmarshalBinary(sent); err != nil || string(m.Bytes()) != want || m.Type() != typ.Name() {
		t.Errorf("%s %v is sent as %q of type %s (%v)", typ.Name(), value, m.Bytes(), m.Type(), err)
	}
}

func TestWhatIsDecodedIsTheFunctionsOwn(t *testing.T) {
	source := []byte("abc")
	got, err := statefun.Bytes("test/raw").Decode(source)
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'x'
	if string(source) != "abc" {
		t.Error("changing a decoded value changes what it came from")
	}
}

func TestAnAbsentProtobufStateIsAnEmptyMessage(t *testing.T) {
	typ := statefun.Protobuf[*durationpb.Duration]()
	if typ.Name() != "type.googleapis.com/google.protobuf.Duration" {
		t.Errorf("the name is %s", typ.Name())
	}
	empty, err := typ.Decode(nil)
	if err != nil || empty == nil {
		t.Errorf("%v, %v", empty, err)
	}
}

func TestHeadersTravel(t *testing.T) {
	headers := []statefun.Header{{"k", []byte("1")}, {"null", nil}, {"empty", []byte{}}, {"k", []byte("2")}}
	sent, err := statefun.Int32.Of(5).WithHeaders(headers...).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	// 4 metadata { 1 key 2 value 3 has_value }, as the fork that invented it writes it.
	want := "\x0a\x15io.statefun.types/int\x10\x01\x1a\x05\x0d\x05\x00\x00\x00" +
		"\x22\x08\x0a\x01k\x12\x011\x18\x01" + "\x22\x06\x0a\x04null" + "\x22\x09\x0a\x05empty\x18\x01" + "\x22\x08\x0a\x01k\x12\x012\x18\x01"
	if string(sent) != want {
		t.Errorf("%q", sent)
	}
	var m statefun.Message
	if err := m.UnmarshalBinary(sent); err != nil {
		t.Fatal(err)
	}
	if got := m.Headers(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", headers) {
		t.Errorf("%#v", got)
	}
	if v, found := m.Header("k"); string(v) != "2" || !found {
		t.Errorf("the last k is %q", v)
	}
	if v, found := m.Header("null"); v != nil || !found {
		t.Errorf("null is %v, %v", v, found)
	}
	if _, found := m.Header("none"); found {
		t.Error("there is a header that there is not")
	}
	passedOn, err := m.TypedValue().WithHeaders(statefun.Header{Key: "more"}).AppendBinary(nil)
	if err != nil || string(passedOn) != want+"\x22\x06\x0a\x04more" {
		t.Errorf("%q %v", passedOn, err)
	}
}

func TestAMessageTellsWhereItCameFrom(t *testing.T) {
	text := func(key, value string) statefun.Header { return statefun.Header{Key: key, Value: []byte(value)} }
	sent, err := statefun.Int32.Of(5).WithHeaders(text("own", "1"), text("statefun.kafka/timestamp", "1700000000123"),
		text("statefun.kafka/topic", "orders"), text("statefun.kafka/partition", "3"), text("statefun.kafka/offset", "99")).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var m statefun.Message
	if err := m.UnmarshalBinary(sent); err != nil {
		t.Fatal(err)
	}
	want := statefun.Origin{Topic: "orders", Partition: 3, Offset: 99, Timestamp: time.UnixMilli(1700000000123)}
	if got := m.Origin(); got != want {
		t.Errorf("%+v", got)
	}
	if len(m.Headers()) != 1 {
		t.Errorf("what the runtime tells is no header: %v", m.Headers())
	}
	if _, found := m.Header("statefun.kafka/topic"); found {
		t.Error("what the runtime tells was found as a header")
	}
}

// FuzzSimple writes what it has read.
func FuzzSimple(f *testing.F) {
	for _, seed := range []string{"", "\x08\x01", "\x0d\x01\x00\x00\x00", "\x09\x01\x00\x00\x00\x00\x00\x00\x00", "\x0a\x01a", "\x0a\x01\xff", "\x10\x01\x08\x01"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		again(t, statefun.Bool, src)
		again(t, statefun.Int32, src)
		again(t, statefun.Int64, src)
		again(t, statefun.Float32, src)
		again(t, statefun.Float64, src)
		again(t, statefun.String, src)
		var m statefun.Message
		if m.UnmarshalBinary(src) == nil {
			m.Headers()
			m.Origin()
		}
	})
}

func again[T any](t *testing.T, typ statefun.Type[T], src []byte) {
	value, err := typ.Decode(src)
	if err != nil {
		return
	}
	first, err := typ.Encode(value)
	if err != nil {
		t.Fatalf("%v was read and cannot be written: %v", value, err)
	}
	if value, err = typ.Decode(first); err != nil {
		t.Fatal(err)
	}
	if second, err := typ.Encode(value); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%x became %x (%v)", first, second, err)
	}
}
