package ingress

import (
	"encoding/hex"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMalformedKeysDecodeAsOnTheJVM(t *testing.T) {
	// Printed by Java 17: new String(key, UTF_8), encoded again.
	tests := []struct{ key, want string }{
		{"fffe", "efbfbdefbfbd"},
		{"80", "efbfbd"},
		{"c080", "efbfbdefbfbd"},
		{"c1bf", "efbfbdefbfbd"},
		{"c2", "efbfbd"},
		{"c241", "efbfbd41"},
		{"e0", "efbfbd"},
		{"e080", "efbfbdefbfbd"},
		{"e08080", "efbfbdefbfbdefbfbd"},
		{"e0a0", "efbfbd"},
		{"e0a041", "efbfbd41"},
		{"ec", "efbfbd"},
		{"ec80", "efbfbd"},
		{"ec8041", "efbfbd41"},
		{"eda080", "efbfbd"},
		{"edbfbf", "efbfbd"},
		{"eda0", "efbfbd"},
		{"eda041", "efbfbd41"},
		{"edbf", "efbfbd"},
		{"f0", "efbfbd"},
		{"f080", "efbfbdefbfbd"},
		{"f090", "efbfbd"},
		{"f09080", "efbfbd"},
		{"f0908041", "efbfbd41"},
		{"f0804141", "efbfbdefbfbd4141"},
		{"f08f8080", "efbfbdefbfbdefbfbdefbfbd"},
		{"f48f", "efbfbd"},
		{"f490", "efbfbdefbfbd"},
		{"f4908080", "efbfbdefbfbdefbfbdefbfbd"},
		{"f48fbf", "efbfbd"},
		{"f5808080", "efbfbdefbfbdefbfbdefbfbd"},
		{"f580", "efbfbdefbfbd"},
		{"f8", "efbfbd"},
		{"f09080f0", "efbfbdefbfbd"},
		{"e1e180", "efbfbdefbfbd"},
		{"41c2e18041", "41efbfbdefbfbd41"},
		{"c3a9ff", "c3a9efbfbd"},
		{"f09f9880ff", "f09f9880efbfbd"},
		{"efbfbdff", "efbfbdefbfbd"},
		{"f1f8a0efeef5bf9f", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
		{"a0c28041f3f4ee", "efbfbdc28041efbfbdefbfbdefbfbd"},
		{"eca0eef7fffff0ff", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
		{"eced9fc2f39fed8f", "efbfbdefbfbdefbfbdefbfbdefbfbd"},
		{"c1e1f490feffeefec2", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"},
		{"bff0f3fbe07ffbf7a0", "efbfbdefbfbdefbfbdefbfbdefbfbd7fefbfbdefbfbdefbfbd"},
		{"f390ffbf419f7f00", "efbfbdefbfbdefbfbd41efbfbd7f00"},
		{"8041807ff1a0ff9f", "efbfbd41efbfbd7fefbfbdefbfbdefbfbd"},
		{"feff7f90c2ec9f", "efbfbdefbfbd7fefbfbdefbfbdefbfbd"},
		{"90f09fe07f8feded", "efbfbdefbfbdefbfbd7fefbfbdefbfbdefbfbd"},
		{"f400fe7fdf8fc1", "efbfbd00efbfbd7fdf8fefbfbd"},
		{"f3c090fb00e0bff3", "efbfbdefbfbdefbfbdefbfbd00efbfbdefbfbd"},
	}
	for _, test := range tests {
		key, err := hex.DecodeString(test.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString([]byte(javaString(key))); got != test.want {
			t.Errorf("%s: %s, want %s", test.key, got, test.want)
		}
	}
}

func TestAWellFormedKeyIsItsId(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "id")
		if got := javaString([]byte(want)); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func FuzzJavaString(f *testing.F) {
	f.Add([]byte{0xed, 0xa0, 0x80, 0xf0, 0x90, 'x'})
	f.Fuzz(func(t *testing.T, key []byte) {
		got := javaString(key)
		if !utf8.ValidString(got) {
			t.Fatalf("%x became %q, which is not UTF-8", key, got)
		}
		if utf8.Valid(key) && got != string(key) {
			t.Fatalf("%q became %q", key, got)
		}
	})
}
