package main

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestValuesOfTheSDKsTypesAreTheirWrapperMessages(t *testing.T) {
	tests := []struct {
		name, typename, text, golden string
	}{
		{"string", typeString, "Ada", "0a03416461"},
		{"empty string is no bytes", typeString, "", ""},
		{"string beyond ASCII", typeString, "ä", "0a02c3a4"},
		{"int", typeInt, "3", "0d03000000"},
		{"negative int", typeInt, "-1", "0dffffffff"},
		{"zero int is no bytes", typeInt, "0", ""},
		{"long", typeLong, "4294967296", "090000000001000000"},
		{"negative long", typeLong, "-2", "09feffffffffffffff"},
		{"true", typeBool, "true", "0801"},
		{"false is no bytes", typeBool, "false", ""},
		{"float", typeFloat, "1.5", "0d0000c03f"},
		{"minus zero is not the default", typeFloat, "-0", "0d00000080"},
		{"double", typeDouble, "-0.5", "09000000000000e0bf"},
		{"text of another type as it is", "shop/order", `{"a":1}`, hex.EncodeToString([]byte(`{"a":1}`))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := encodeValue(tt.typename, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if b == nil || hex.EncodeToString(b) != tt.golden {
				t.Errorf("encoded %x (nil: %v), want %s", b, b == nil, tt.golden)
			}
			text, err := decodeValue(tt.typename, b)
			if err != nil || text != tt.text {
				t.Errorf("decoded %q, %v, want %q", text, err, tt.text)
			}
		})
	}
}

func TestValuesThatAreNotOfTheTypeAreRefused(t *testing.T) {
	for _, tt := range []struct{ typename, text string }{
		{typeInt, "x"}, {typeInt, "2147483648"}, {typeInt, ""}, {typeLong, "1.5"}, {typeBool, "yes"}, {typeFloat, "1e99"}, {typeDouble, "one"},
	} {
		if b, err := encodeValue(tt.typename, tt.text); err == nil || !strings.Contains(err.Error(), strconv.Quote(tt.text)) || !strings.Contains(err.Error(), tt.typename) {
			t.Errorf("%s %q: encoded %x, error %v", tt.typename, tt.text, b, err)
		}
	}
	for _, tt := range []struct{ typename, bytes string }{
		{typeString, "0d03000000"}, {typeInt, "0a03416461"}, {typeInt, "0d0300"}, {typeLong, "ff"}, {typeBool, "0b"}, {typeString, "0a05416461"},
	} {
		b, _ := hex.DecodeString(tt.bytes)
		if text, err := decodeValue(tt.typename, b); err == nil {
			t.Errorf("%s %s: decoded %q", tt.typename, tt.bytes, text)
		}
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	b, _ := hex.DecodeString("1001" + "0d01000000" + "1a0161" + "0d03000000")
	if text, err := decodeValue(typeInt, b); err != nil || text != "3" {
		t.Fatalf("decoded %q, %v, want the last field 1", text, err)
	}
}

func TestBytesThatAreNoTextAreShownInBase64(t *testing.T) {
	if text, _ := decodeValue("", []byte{0xff, 0}); text != "base64:/wA=" {
		t.Fatalf("shown %q", text)
	}
}

func FuzzDecodeValue(f *testing.F) {
	types := []string{typeString, typeInt, typeLong, typeBool, typeFloat, typeDouble}
	for i := range types {
		f.Add(i, []byte("\x0a\x03Ada"))
		f.Add(i, []byte("\x0d\x00\x00\xc0\x7f"))
		f.Add(i, []byte("\x09\x00\x00\x00\x00\x01\x00\x00\x00"))
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		typename := types[((i%len(types))+len(types))%len(types)]
		text, err := decodeValue(typename, b)
		if err != nil {
			return
		}
		again, err := encodeValue(typename, text)
		if err != nil {
			t.Fatalf("%s decoded to %q, which does not encode: %v", typename, text, err)
		}
		if back, err := decodeValue(typename, again); err != nil || back != text {
			t.Fatalf("%s %q became %q: %v", typename, text, back, err)
		}
	})
}

func FuzzEncodeDouble(f *testing.F) {
	f.Add(1.5)
	f.Add(math.Inf(-1))
	f.Fuzz(func(t *testing.T, v float64) {
		b, err := encodeValue(typeDouble, strconv.FormatFloat(v, 'g', -1, 64))
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(v) {
			return
		}
		if want := fixed64(math.Float64bits(v)); math.Float64bits(v) != 0 && !bytes.Equal(b, want) {
			t.Fatalf("%v encoded as %x, want %x", v, b, want)
		}
	})
}
