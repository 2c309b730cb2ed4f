package protocol

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func TestAddressesAndTypedValuesAreByteForByteTheOfficialOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAddress(t)
		b := AppendAddress(nil, a)
		if want := encode(t, fromAddress(t, a)); !bytes.Equal(b, want) {
			t.Fatalf("address %x, want %x", b, want)
		}
		if got, err := ParseAddress(b); err != nil || got != a {
			t.Fatalf("address %v, %v; want %v", got, err, a)
		}

		name, content := rapid.String().Draw(t, "typename"), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value")
		b = AppendTypedValue(nil, name, content)
		m := set(set(set(official(t, officialTypedValue), "typename", name), "has_value", true), "value", content)
		if want := encode(t, m); !bytes.Equal(b, want) || len(b) != SizeTypedValue(name, content) {
			t.Fatalf("typed value %x, want %x", b, want)
		}
		gotName, has, got, err := ParseTypedValue(b)
		if err != nil || gotName != name || !has || !bytes.Equal(got, content) {
			t.Fatalf("typed value %q %v %x, %v", gotName, has, got, err)
		}
	})
}

func TestGoldenAddressAndTypedValue(t *testing.T) {
	a := Address{TypeName{"ns", "f"}, "1"}
	if got := hex.EncodeToString(AppendAddress(nil, a)); got != "0a026e731201661a0131" {
		t.Errorf("address %s", got)
	}
	if a.String() != "ns/f/1" {
		t.Errorf("address is written %s", a)
	}
	if got := hex.EncodeToString(AppendTypedValue(nil, "a/b", nil)); got != "0a03612f621001" {
		t.Errorf("empty typed value %s", got)
	}
}

func TestAKafkaRecordIsReadAsTheOfficialParserReadsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := official(t, officialRecord)
		fill(t, m)
		got, err := ParseKafkaProducerRecord(encode(t, m))
		want := KafkaProducerRecord{Key: value(m, "key").String(), Topic: value(m, "topic").String(), Value: value(m, "value_bytes").Bytes()}
		if err != nil || got.Key != want.Key || got.Topic != want.Topic || !bytes.Equal(got.Value, want.Value) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	})
}

func TestHeadersOfAKafkaRecordKeepOrderDuplicatesAndNull(t *testing.T) {
	header := func(key string, content []byte, has uint64) []byte {
		h := appendText(nil, 1, key)
		if content != nil {
			h = appendBytes(h, 2, content)
		}
		return appendBytes(nil, 4, protowire.AppendVarint(protowire.AppendTag(h, 3, protowire.VarintType), has))
	}
	b := join(header("a", []byte("1"), 1), appendText(nil, 3, "out"), header("a", nil, 1), header("n", []byte("x"), 0))
	got, err := ParseKafkaProducerRecord(b)
	want := []KafkaHeader{{"a", []byte("1")}, {"a", []byte{}}, {"n", nil}}
	if err != nil || !reflect.DeepEqual(got.Headers, want) {
		t.Errorf("%+v, %v; want %+v", got.Headers, err, want)
	}
}

func FuzzParseTypedValue(f *testing.F) {
	f.Add(AppendTypedValue(nil, "io.statefun.types/int", []byte{1, 0, 0, 0}))
	f.Add(oneMetadata(nil, "k", "v"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, has, content, err := ParseTypedValue(b)
		m, officialErr := decode(t, officialTypedValue, b)
		if (err == nil) != (officialErr == nil) {
			t.Fatalf("ours %v, official %v", err, officialErr)
		}
		if err == nil && (name != value(m, "typename").String() || has != value(m, "has_value").Bool() || !bytes.Equal(content, value(m, "value").Bytes())) {
			t.Fatalf("%q %v %x, want %v", name, has, content, m)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	f.Add(AppendAddress(nil, Address{TypeName{"ns", "f"}, "id"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseAddress(b)
		m, officialErr := decode(t, officialAddress, b)
		if (err == nil) != (officialErr == nil) {
			t.Fatalf("ours %v, official %v", err, officialErr)
		}
		if err == nil && got != toAddress(m) {
			t.Fatalf("%v, want %v", got, m)
		}
	})
}

func FuzzParseKafkaProducerRecord(f *testing.F) {
	f.Add(appendText(appendText(nil, 1, "key"), 3, "topic"))
	f.Add(appendBytes(nil, 4, appendText(nil, 1, "header")))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseKafkaProducerRecord(b)
		m, officialErr := decode(t, officialRecord, b)
		if officialErr != nil && err == nil {
			t.Fatalf("ours accepts, official: %v", officialErr)
		}
		if err == nil && (got.Key != value(m, "key").String() || got.Topic != value(m, "topic").String() || !bytes.Equal(got.Value, value(m, "value_bytes").Bytes())) {
			t.Fatalf("%+v, want %v", got, m)
		}
	})
}
