package state

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func address(namespace, name, id string) protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: namespace, Name: name}, ID: id}
}

var greeter = address("com.example", "greeter", "Ada")

func TestKeysAreTheseBytes(t *testing.T) {
	const greeterHex = "0b" + "636f6d2e6578616d706c65" + "07" + "67726565746572" + "03" + "416461"
	for name, c := range map[string]struct {
		key  []byte
		want string
	}{
		"value":                     {ValueKey(greeter, "seen"), "73" + greeterHex + "04" + "7365656e"},
		"expiry":                    {ExpiryKey(greeter, "seen"), "78" + greeterHex + "04" + "7365656e"},
		"value without a name":      {ValueKey(greeter, ""), "73" + greeterHex + "00"},
		"pending":                   {PendingKey(greeter, 258), "6d" + greeterHex + "0000000000000102"},
		"timer":                     {TimerKey(1_700_000_000_000, 7), "74" + "8000018bcfe56800" + "0000000000000007"},
		"timer before 1970":         {TimerKey(-1, 7), "74" + "7fffffffffffffff" + "0000000000000007"},
		"token":                     {TokenKey("Ada", "t1"), "63" + "03416461" + "027431"},
		"progress":                  {ProgressKey("names", 258), "70" + "056e616d6573" + "00000102"},
		"outbox":                    {OutboxKey("a/out", 258), "6f" + "05" + "612f6f7574" + "0000000000000102"},
		"barrier":                   {BarrierKey(), "62"},
		"an id of 128 bytes":        {TokenKey(string(make([]byte, 128)), ""), "63" + "8001" + hex.EncodeToString(make([]byte, 128)) + "00"},
		"the prefix of pending":     {PendingPrefix(greeter), "6d" + greeterHex},
		"the prefix of values":      {ValuePrefix(greeter), "73" + greeterHex},
		"a value key in Pebble":     {rowKey(nil, 258, TokenKey("A", "")), "0102" + "63014100"},
		"the position of partition": {positionKey(258), "ffff0102"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hex.EncodeToString(c.key); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAppendAddsToWhatIsThere(t *testing.T) {
	for name, c := range map[string][2][]byte{
		"value":    {AppendValueKey([]byte("+"), greeter, "seen"), ValueKey(greeter, "seen")},
		"expiry":   {AppendExpiryKey([]byte("+"), greeter, "seen"), ExpiryKey(greeter, "seen")},
		"pending":  {AppendPendingKey([]byte("+"), greeter, 1), PendingKey(greeter, 1)},
		"timer":    {AppendTimerKey([]byte("+"), 1, 2), TimerKey(1, 2)},
		"token":    {AppendTokenKey([]byte("+"), "Ada", "t"), TokenKey("Ada", "t")},
		"progress": {AppendProgressKey([]byte("+"), "names", 1), ProgressKey("names", 1)},
	} {
		if want := append([]byte("+"), c[1]...); !bytes.Equal(c[0], want) {
			t.Errorf("%s: got %q, want %q", name, c[0], want)
		}
	}
}

// parseAny reads a key of any kind and writes it again.
func parseAny(key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, errMalformed
	}
	switch key[0] {
	case KindValue:
		a, name, err := ParseValueKey(key)
		return ValueKey(a, name), err
	case KindExpiry:
		a, name, err := ParseExpiryKey(key)
		return ExpiryKey(a, name), err
	case KindPending:
		a, seq, err := ParsePendingKey(key)
		return PendingKey(a, seq), err
	case KindTimer:
		at, seq, err := ParseTimerKey(key)
		return TimerKey(at, seq), err
	case KindToken:
		id, token, err := ParseTokenKey(key)
		return TokenKey(id, token), err
	case KindProgress:
		topic, p, err := ParseProgressKey(key)
		return ProgressKey(topic, p), err
	case KindOutbox:
		target, seq, err := ParseOutboxKey(key)
		return OutboxKey(target, seq), err
	}
	return nil, errMalformed
}

var someKeys = [][]byte{
	ValueKey(greeter, "seen"), ExpiryKey(greeter, "seen"), PendingKey(greeter, math.MaxUint64), TimerKey(math.MinInt64, 1),
	TimerKey(math.MaxInt64, 1), TokenKey("Ada", "t"), ProgressKey("names", math.MaxInt32), OutboxKey("a/out", math.MaxUint64), ValueKey(address("", "", ""), ""),
}

// A key has one spelling: what can be read is written again as it was.
func FuzzKey(f *testing.F) {
	for _, k := range someKeys {
		f.Add(k)
	}
	f.Add([]byte{KindToken, 0x80, 0x00, 0})
	f.Fuzz(func(t *testing.T, key []byte) {
		if again, err := parseAny(key); err == nil && !bytes.Equal(again, key) {
			t.Errorf("%x was read, and written as %x", key, again)
		}
	})
}

func TestAKeyCutOrLengthenedIsRefused(t *testing.T) {
	for _, key := range someKeys {
		if again, err := parseAny(key); err != nil || !bytes.Equal(again, key) {
			t.Errorf("%x: read as %x, %v", key, again, err)
		}
		for n := range key {
			if _, err := parseAny(key[:n:n]); err == nil {
				t.Errorf("%x: the first %d bytes are taken for a key", key, n)
			}
		}
		if _, err := parseAny(append(key[:len(key):len(key)], 0)); err == nil {
			t.Errorf("%x: a byte too many is not seen", key)
		}
	}
}

func TestALengthInMoreBytesThanItNeedsIsRefused(t *testing.T) {
	if _, _, err := ParseTokenKey([]byte{KindToken, 0x80, 0x00, 0}); err == nil {
		t.Error("an empty string whose length takes two bytes is read")
	}
}

func TestAKeyOfAnotherKindIsRefused(t *testing.T) {
	if _, _, err := ParseExpiryKey(ValueKey(greeter, "seen")); err == nil {
		t.Error("a value's key is read as an expiry's")
	}
}

// texts are short, of few letters, so that one is often the beginning of another.
var texts = rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 2, 'a', 'b', 0x10ffff}), 0, 4, -1)

var addresses = rapid.Custom(func(t *rapid.T) protocol.Address {
	return address(texts.Draw(t, "namespace"), texts.Draw(t, "name"), texts.Draw(t, "id"))
})

func TestAnAddressIsThePrefixOfItsOwnRowsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := addresses.Draw(t, "a"), addresses.Draw(t, "b")
		if a != b && bytes.HasPrefix(PendingKey(b, rapid.Uint64().Draw(t, "seq")), PendingPrefix(a)) {
			t.Fatalf("the pending rows of %v begin as those of %v", b, a)
		}
		if a != b && bytes.HasPrefix(ValueKey(b, texts.Draw(t, "value")), ValuePrefix(a)) {
			t.Fatalf("the values of %v begin as those of %v", b, a)
		}
		if key := ValueKey(a, "n"); !bytes.HasPrefix(key, ValuePrefix(a)) {
			t.Fatalf("%x does not begin with its address", key)
		}
	})
}

func TestKeysSortAsTheirNumbersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := addresses.Draw(t, "address")
		x, y := rapid.Uint64().Draw(t, "x"), rapid.Uint64().Draw(t, "y")
		if got := bytes.Compare(PendingKey(a, x), PendingKey(a, y)); got != cmp.Compare(x, y) {
			t.Fatalf("pending rows %d and %d compare as %d", x, y, got)
		}
		s, e := rapid.Int64().Draw(t, "s"), rapid.Int64().Draw(t, "e")
		want := cmp.Or(cmp.Compare(s, e), cmp.Compare(x, y))
		if got := bytes.Compare(TimerKey(s, x), TimerKey(e, y)); got != want {
			t.Fatalf("timers (%d, %d) and (%d, %d) compare as %d", s, x, e, y, got)
		}
	})
}

func TestDifferentThingsHaveDifferentKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := addresses.Draw(t, "a"), addresses.Draw(t, "b")
		m, n := texts.Draw(t, "m"), texts.Draw(t, "n")
		if same := bytes.Equal(ValueKey(a, m), ValueKey(b, n)); same != (a == b && m == n) {
			t.Fatalf("(%v, %q) and (%v, %q): same key is %v", a, m, b, n, same)
		}
		if same := bytes.Equal(TokenKey(a.ID, m), TokenKey(b.ID, n)); same != (a.ID == b.ID && m == n) {
			t.Fatalf("tokens (%q, %q) and (%q, %q): same key is %v", a.ID, m, b.ID, n, same)
		}
	})
}

func TestARangeHoldsItsKeysAndNoOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xff}), 1, 3).Draw(t, "prefix")
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 0, 5).Draw(t, "key")
		from, to := PrefixRange(prefix)
		in := bytes.Compare(key, from) >= 0 && (to == nil || bytes.Compare(key, to) < 0)
		if in != bytes.HasPrefix(key, prefix) {
			t.Fatalf("%x in [%x, %x) is %v", key, from, to, in)
		}
	})
	from, to := KindRange(KindTimer)
	if !reflect.DeepEqual([2][]byte{from, to}, [2][]byte{{'t'}, {'u'}}) {
		t.Errorf("the range of timers is [%q, %q)", from, to)
	}
}
