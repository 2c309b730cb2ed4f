package balance

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestLocalHasTheseBytes(t *testing.T) {
	l := Local{Standbys: 1, Round: 300, Positions: map[int32]int64{5: 128, 0: 7, 300: 0, 4: -1, -2: 9}, Nonce: "n7"}
	const golden = "01" + "01" + "ac02" + "03" + "0007" + "058001" + "a70200" + "026e37"
	b := AppendLocal([]byte{0xff}, l)
	if got := hex.EncodeToString(b); got != "ff"+golden {
		t.Errorf("got  %s\nwant ff%s", got, golden)
	}
	l.Positions = map[int32]int64{5: 128, 0: 7, 300: 0}
	if back, err := ParseLocal(b[1:]); err != nil || !reflect.DeepEqual(back, l) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestFollowsHaveTheseBytes(t *testing.T) {
	follows := []Follow{{Partition: 130}, {Partition: 2, WarmUp: true}, {Partition: 0}}
	const golden = "01" + "03" + "00" + "05" + "8002"
	b := encodeFollows(follows)
	if got := hex.EncodeToString(b); got != golden {
		t.Errorf("got %s, want %s", got, golden)
	}
	want := []Follow{{Partition: 0}, {Partition: 2, WarmUp: true}, {Partition: 130}}
	if back, err := parseFollows(b); err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestABadLocalIsRefusedByWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, bytes, says string }{
		{"nothing", "", "there is none"},
		{"another version", "02", "it has version 2, this worker knows version 1"},
		{"round cut off", "0101", "ends too early"},
		{"a number too large", "01" + "ffffffffff01" + "0000", "above its limit of 2147483647"},
		{"more positions than bytes", "01000005" + "0007", "ends too early"},
		{"position cut off", "01000001" + "00", "ends too early"},
		{"a partition twice", "01000002" + "0307" + "0007", "there twice"},
		{"a partition too large", "01000002" + "ffffffff0707" + "0107", "above its limit of 2147483647"},
		{"nonce cut off", "01000000" + "0261", "ends too early"},
		{"something behind it", "0100000000" + "aa", "1 bytes are left over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseLocal(b); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAFollowListOfANewerLeaderIsEmpty(t *testing.T) {
	for _, b := range [][]byte{nil, {2, 9, 9}} {
		if follows, err := parseFollows(b); err != nil || len(follows) > 0 {
			t.Errorf("%x: got %v, %v", b, follows, err)
		}
	}
	if _, err := parseFollows([]byte{1, 2, 0}); err == nil {
		t.Error("a list that is cut off should be an error")
	}
}

func FuzzLocal(f *testing.F) {
	f.Add(AppendLocal(nil, Local{Standbys: 2, Round: 9, Positions: map[int32]int64{1: 5, 70: math.MaxInt64}}))
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLocal(b)
		if err != nil {
			return
		}
		for p, at := range l.Positions {
			if p < 0 || at < 0 {
				t.Fatalf("partition %d at %d", p, at)
			}
		}
		back, err := ParseLocal(AppendLocal(nil, l))
		if err != nil || !reflect.DeepEqual(l, back) {
			t.Fatalf("%+v became %+v, %v", l, back, err)
		}
	})
}

func FuzzFollows(f *testing.F) {
	f.Add(encodeFollows([]Follow{{Partition: 1, WarmUp: true}, {Partition: 900}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		follows, err := parseFollows(b)
		if err != nil || len(follows) == 0 {
			return
		}
		back, err := parseFollows(encodeFollows(follows))
		if err != nil || !reflect.DeepEqual(follows, back) {
			t.Fatalf("%+v became %+v, %v", follows, back, err)
		}
	})
}
