package protocol

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGoldenEnvelope(t *testing.T) {
	e := Envelope{Target: Address{TypeName{"ns", "f"}, "é"}, Invocation: []byte{0x12, 0}}
	const golden = "01" + "026e73" + "0166" + "02c3a9" + "1200"
	b := AppendEnvelope([]byte("x"), e)
	if got := hex.EncodeToString(b[1:]); got != golden || b[0] != 'x' {
		t.Errorf("%s, want %s", got, golden)
	}
	if got, err := ParseEnvelope(b[1:]); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, %v; want %+v", got, err, e)
	}
}

func TestAnEnvelopeReadsBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long := strings.Repeat("i", rapid.SampledFrom([]int{0, 1, 126, 127, 128, 129, 16383, 16384}).Draw(t, "long"))
		e := Envelope{Target: drawAddress(t), Invocation: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "invocation")}
		e.Target.ID += long
		b := AppendEnvelope(nil, e)
		if len(b) != SizeEnvelope(e.Target, len(e.Invocation)) {
			t.Fatalf("size %d, want %d", SizeEnvelope(e.Target, len(e.Invocation)), len(b))
		}
		got, err := ParseEnvelope(b)
		if err != nil || got.Target != e.Target || !bytes.Equal(got.Invocation, e.Invocation) {
			t.Fatalf("%+v, %v; want %+v", got, err, e)
		}
	})
}

func TestAnEnvelopeThatIsNotOneIsRefused(t *testing.T) {
	whole := AppendEnvelope(nil, Envelope{Target: Address{TypeName{"ns", "f"}, "id"}})
	for n := range len(whole) {
		if got, err := ParseEnvelope(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes gave %+v", n, len(whole), got)
		}
	}
	if _, err := ParseEnvelope([]byte{2, 0, 0, 0}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("version 2: %v", err)
	}
	if _, err := ParseEnvelope([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}); err == nil {
		t.Error("a length of 2^64-1 was taken")
	}
}

func TestAnEnvelopeIsReadWithOneAllocation(t *testing.T) {
	b := AppendEnvelope(nil, Envelope{Target: Address{TypeName{"namespace", "function"}, "identity"}, Invocation: make([]byte, 100)})
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseEnvelope(b) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add(AppendEnvelope(nil, Envelope{Target: Address{TypeName{"ns", "f"}, "id"}, Invocation: []byte{0x12, 0}}))
	f.Add([]byte{1, 0x80, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelope(b)
		if err != nil {
			return
		}
		again, err := ParseEnvelope(AppendEnvelope(nil, e))
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
