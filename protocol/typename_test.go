package protocol

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTypeNamesSplitAsInJava(t *testing.T) {
	tests := []struct {
		in   string
		want TypeName
	}{
		{"a/b", TypeName{"a", "b"}},
		{"a.b.c/d", TypeName{"a.b.c", "d"}},
		{"a/b/", TypeName{"a", "b"}},
		{"a/b///", TypeName{"a", "b"}},
		{"/b", TypeName{"", "b"}},
		{"a/*", TypeName{"a", "*"}},
	}
	for _, test := range tests {
		if got, err := ParseTypeName(test.in); err != nil || got != test.want {
			t.Errorf("%q: %v, %v; want %v", test.in, got, err, test.want)
		}
	}
	for _, in := range []string{"", "/", "//", "ab", "a/", "a//", "a//b", "a/b/c", "//b"} {
		if got, err := ParseTypeName(in); err == nil || !strings.Contains(err.Error(), "namespace/name") {
			t.Errorf("%q: %v, %v; want an error", in, got, err)
		}
	}
}

func TestATypeNameReadsBackFromItsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := TypeName{
			Namespace: rapid.StringMatching(`[a-z.*é]*`).Draw(t, "namespace"),
			Name:      rapid.StringMatching(`[a-z.*é]+`).Draw(t, "name"),
		}
		if got, err := ParseTypeName(want.String()); err != nil || got != want {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	})
}

func TestAStateTypeHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{"": UnsetType, "a/b": "a/b", "a/b/": "a/b", "/b": "/b"} {
		if got, err := stateType(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestCommonTypeNamesAreReadWithoutAllocation(t *testing.T) {
	for _, name := range []string{"bool", "int", "float", "long", "double", "string"} {
		b := []byte("io.statefun.types/" + name)
		if got := typeString(b); got != string(b) {
			t.Errorf("%q became %q", b, got)
		}
		if n := testing.AllocsPerRun(100, func() { typeString(b) }); n != 0 {
			t.Errorf("%q: %v allocations", b, n)
		}
	}
	if got := typeString([]byte("a/b")); got != "a/b" {
		t.Errorf("a/b became %q", got)
	}
}

func TestKeyHashIsKafkas(t *testing.T) {
	// The vectors of Kafka's own test of its Java client, where the sign bit is still on.
	vectors := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	for key, want := range vectors {
		if got := KeyHash(key); got != uint32(want)&0x7fffffff {
			t.Errorf("%q: %d, want %d", key, got, uint32(want)&0x7fffffff)
		}
		if KeyHash(key) != KeyHash([]byte(key)) {
			t.Errorf("%q: text and bytes differ", key)
		}
	}
}
