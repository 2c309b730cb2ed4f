package state

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.UnixMilli(1_700_000_000_000).UTC() // 18bcfe56800 in hex

// A rowFormat is one encode/decode pair, for tests that hold for all of them.
type rowFormat struct {
	parse  func(row []byte) (any, error)
	append func(dst []byte, v any) []byte
}

func format[T any](appendRow func([]byte, T) []byte, parse func([]byte) (T, error)) rowFormat {
	return rowFormat{
		parse:  func(row []byte) (any, error) { return parse(row) },
		append: func(dst []byte, v any) []byte { return appendRow(dst, v.(T)) },
	}
}

var rowFormats = map[string]rowFormat{
	"value":    format(AppendValue, ParseValue),
	"expiry":   format(AppendExpiry, ParseExpiry),
	"pending":  format(AppendPending, ParsePending),
	"timer":    format(AppendTimer, ParseTimer),
	"token":    format(AppendToken, ParseToken),
	"barrier":  format(AppendBarrier, ParseBarrier),
	"progress": format(AppendProgress, ParseProgress),
	"outbox":   format(AppendOutbox, ParseOutbox),
	"position": format(appendPosition, parsePosition),
}

var topicID = [16]byte{0xa0, 15: 0x0f}

const topicIDHex = "a000000000000000000000000000000f"

// goldenRows are written down by hand: a build must read what earlier ones wrote.
var goldenRows = []struct {
	fact, format string
	row          any
	bytes        string
}{
	{"a value", "value", Value{Type: "io.statefun.types/int", Bytes: []byte{8, 1}}, "01" + "15" + "696f2e7374617465" + "66756e2e7479706573" + "2f696e74" + "0801"},
	{"an empty value", "value", Value{Type: "a/b", Bytes: []byte{}}, "01" + "03612f62"},
	{"an expiry", "expiry", Expiry{At: noon}, "01" + "0000018bcfe56800"},
	{"a pending row", "pending", Pending{Arrived: noon, Envelope: []byte{1, 2, 3}}, "01" + "0000018bcfe56800" + "010203"},
	{"a timer", "timer", Timer{Sender: "Ada", Token: "t1", Envelope: []byte{1, 2}}, "01" + "03416461" + "027431" + "0102"},
	{"a timer without a token", "timer", Timer{Sender: "Ada", Envelope: []byte{1}}, "01" + "03416461" + "00" + "01"},
	{"a token", "token", Token{FireAtMs: 258, Seq: 7}, "01" + "0000000000000102" + "0000000000000007"},
	{"a barrier", "barrier", Barrier{Owner: "w-0", Transaction: "n.1", Time: noon}, "01" + "0000018bcfe56800" + "03772d30" + "036e2e31"},
	{"an outbox row", "outbox", Outbox{Since: noon, ID: "app/0/7", Sender: "Ada", Payload: []byte{9, 8}}, "01" + "0000018bcfe56800" + "076170702f302f37" + "03416461" + "0908"},
	{"a position", "position", Position{Offset: 258, TopicID: topicID, Level: noon}, "01" + "0000000000000102" + topicIDHex + "0000018bcfe56800"},
	{"progress with nothing finished above", "progress", Progress{TopicID: topicID, Position: 5, Transaction: "n.1", Time: noon},
		"01" + topicIDHex + "0000000000000005" + "0000018bcfe56800" + "036e2e31" + "72" + "00"},
	{"progress with one far run", "progress", Progress{TopicID: topicID, Position: 5, Finished: []Run{{300, 301}}, Time: noon},
		"01" + topicIDHex + "0000000000000005" + "0000018bcfe56800" + "00" + "72" + "01" + "a702" + "01"},
	{"progress with many short runs", "progress", Progress{TopicID: topicID, Position: 5, Finished: []Run{{6, 6}, {8, 8}, {10, 12}, {14, 14}}, Time: noon},
		"01" + topicIDHex + "0000000000000005" + "0000018bcfe56800" + "00" + "6d" + "ea02"},
}

func TestRowsAreTheseBytes(t *testing.T) {
	for _, c := range goldenRows {
		t.Run(c.fact, func(t *testing.T) {
			f := rowFormats[c.format]
			if got := hex.EncodeToString(f.append(nil, c.row)); got != c.bytes {
				t.Errorf("got  %s\nwant %s", got, c.bytes)
			}
			raw, err := hex.DecodeString(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if row, err := f.parse(raw); err != nil || !reflect.DeepEqual(row, c.row) {
				t.Errorf("read as %+v, %v", row, err)
			}
			if got := f.append([]byte("+"), c.row); !bytes.Equal(got, append([]byte("+"), raw...)) {
				t.Errorf("appended to a byte: %x", got)
			}
		})
	}
}

func TestARowOfAnotherVersionIsRefusedByItsNumber(t *testing.T) {
	for _, c := range goldenRows {
		row := rowFormats[c.format].append(nil, c.row)
		row[0] = 9
		_, err := rowFormats[c.format].parse(row)
		if err == nil || !strings.Contains(err.Error(), "version 9") || !strings.Contains(err.Error(), c.format) {
			t.Errorf("%s: %v", c.fact, err)
		}
	}
}

func TestARowCutInItsFixedPartIsRefused(t *testing.T) {
	// Bytes at the end that may be cut: the payload, of a bitmap one byte.
	rest := map[string]int{"value": 2, "pending": 3, "timer": 2, "progress": 1, "outbox": 2}
	for _, c := range goldenRows {
		row := rowFormats[c.format].append(nil, c.row)
		for n := range max(len(row)-rest[c.format], 0) {
			if v, err := rowFormats[c.format].parse(row[:n:n]); err == nil {
				t.Errorf("%s: its first %d of %d bytes are read as %+v", c.fact, n, len(row), v)
			}
		}
	}
}

func fuzzRow(f *testing.F, name string) {
	for _, c := range goldenRows {
		if c.format == name {
			f.Add(rowFormats[name].append(nil, c.row))
		}
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		v, err := rowFormats[name].parse(row)
		if err != nil {
			return
		}
		again, err := rowFormats[name].parse(rowFormats[name].append(nil, v))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("%x was read as %+v, and that again as %+v, %v", row, v, again, err)
		}
	})
}

func FuzzValueRow(f *testing.F)    { fuzzRow(f, "value") }
func FuzzExpiryRow(f *testing.F)   { fuzzRow(f, "expiry") }
func FuzzPendingRow(f *testing.F)  { fuzzRow(f, "pending") }
func FuzzTimerRow(f *testing.F)    { fuzzRow(f, "timer") }
func FuzzTokenRow(f *testing.F)    { fuzzRow(f, "token") }
func FuzzBarrierRow(f *testing.F)  { fuzzRow(f, "barrier") }
func FuzzProgressRow(f *testing.F) { fuzzRow(f, "progress") }
func FuzzOutboxRow(f *testing.F)   { fuzzRow(f, "outbox") }
func FuzzPositionRow(f *testing.F) { fuzzRow(f, "position") }

// drawFinished draws ascending runs above the position; those that touch are already one.
func drawFinished(t *rapid.T, position int64) []Run {
	var runs []Run
	next := position + int64(rapid.IntRange(0, 40).Draw(t, "first gap"))
	for range rapid.IntRange(0, 30).Draw(t, "runs") {
		run := Run{From: next, To: next + int64(rapid.SampledFrom([]int{0, 0, 1, 7, 300}).Draw(t, "more"))}
		runs = append(runs, run)
		next = run.To + 1 + int64(rapid.SampledFrom([]int{1, 1, 2, 9, 100_000}).Draw(t, "gap"))
	}
	return runs
}

func TestProgressComesBackInItsSmallerForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Progress{TopicID: topicID, Position: int64(rapid.IntRange(0, 1000).Draw(t, "position")), Time: noon}
		p.Finished = drawFinished(t, p.Position)
		row := AppendProgress(nil, p)
		got, err := ParseProgress(row)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v came back as %+v, %v", p, got, err)
		}
		fixed := 1 + 16 + 8 + 8 + 1 + 1
		smaller := min(len(appendRuns(nil, p)), max(1, int(bitmapBytes(p))))
		if len(row) != fixed+smaller {
			t.Fatalf("%d bytes for the finished offsets, %d would do", len(row)-fixed, smaller)
		}
	})
}

func TestRunsThatTouchComeBackAsOne(t *testing.T) {
	p := Progress{Position: 5, Finished: []Run{{7, 8}, {9, 9}, {1_000_000, 1_000_000}, {1_000_001, 1_000_002}}, Time: noon}
	got, err := ParseProgress(AppendProgress(nil, p))
	if want := []Run{{7, 9}, {1_000_000, 1_000_002}}; err != nil || !reflect.DeepEqual(got.Finished, want) {
		t.Errorf("got %v, %v", got.Finished, err)
	}
}

func TestFinishedOffsetsOutOfOrderAreNeverWritten(t *testing.T) {
	for fact, runs := range map[string][]Run{
		"below the position": {{4, 4}},
		"descending":         {{9, 9}, {7, 7}},
		"overlapping":        {{7, 9}, {9, 10}},
		"backwards":          {{9, 7}},
	} {
		t.Run(fact, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			AppendProgress(nil, Progress{Position: 5, Finished: runs})
		})
	}
}

func TestProgressRowsThatNoBuildWritesAreRefused(t *testing.T) {
	const head, max = "01" + topicIDHex, "7fffffffffffffff"
	const tail = "0000018bcfe56800" + "00"
	for fact, row := range map[string]string{
		"another form":                    head + "0000000000000005" + tail + "71",
		"a bitmap of nothing":             head + "0000000000000005" + tail + "6d",
		"a bitmap that ends in 0":         head + "0000000000000005" + tail + "6d0100",
		"a bitmap past the last offset":   head + max + tail + "6d01",
		"a run past the last offset":      head + max + tail + "72" + "01" + "0100",
		"a run that ends at the last":     head + "0000000000000000" + tail + "72" + "01" + "00" + "ffffffffffffffff7f",
		"more runs than bytes":            head + "0000000000000005" + tail + "72" + "ffffffff07" + "0101",
		"runs that touch":                 head + "0000000000000005" + tail + "72" + "02" + "0101" + "0001",
		"a negative position":             head + "ffffffffffffffff" + tail + "7200",
		"a byte behind the runs":          head + "0000000000000005" + tail + "7200" + "00",
		"fewer runs than their number is": head + "0000000000000005" + tail + "72" + "02" + "0101",
	} {
		raw, err := hex.DecodeString(row)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := ParseProgress(raw); err == nil {
			t.Errorf("%s: read as %+v", fact, p)
		}
	}
}

func TestAFullWindowOfEveryOtherOffsetTakesABitmap(t *testing.T) {
	p := Progress{Time: noon}
	for at := int64(1); at < 65_536; at += 2 {
		p.Finished = append(p.Finished, Run{at, at})
	}
	if n := len(AppendProgress(nil, p)); n > 8300 {
		t.Errorf("%d bytes", n)
	}
}
