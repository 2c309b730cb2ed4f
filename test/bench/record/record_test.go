package record

import (
	"encoding/hex"
	"testing"
	"time"
)

func TestValueKeepsCountSeqAndTime(t *testing.T) {
	sent := time.Unix(7, 8)
	b := New(258, sent)
	SetCount(b, 3)
	if got, want := hex.EncodeToString(b[:header]), "0000000000000003"+"0000000000000102"+"00000001a13b8608"; got != want {
		t.Fatalf("header %s, want %s", got, want)
	}
	p, err := Parse(b)
	if err != nil || p.Count != 3 || p.Seq != 258 || !p.Sent.Equal(sent) {
		t.Fatalf("parsed %+v, %v", p, err)
	}
}

func TestValueOfAnotherLengthIsRefused(t *testing.T) {
	if _, err := Parse(make([]byte, Size-1)); err == nil {
		t.Fatal("a short value was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New(1, time.Unix(0, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again := New(p.Seq, p.Sent)
		SetCount(again, p.Count)
		if string(again[:header]) != string(b[:header]) {
			t.Fatalf("%x became %x", b[:header], again[:header])
		}
	})
}
