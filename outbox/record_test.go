package outbox

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// goldenRecords are written down by hand: a build must read what earlier ones wrote.
var goldenRecords = map[string]struct {
	record  kgo.Record
	payload string
}{
	"topic, key and value": {kgo.Record{Topic: "out", Key: []byte("Ada"), Value: []byte("hi")}, "01" + "036f7574" + "01" + "03416461" + "00" + "00" + "6869"},
	"no key":               {kgo.Record{Topic: "out", Value: []byte("hi")}, "01" + "036f7574" + "00" + "00" + "00" + "6869"},
	"a time":               {kgo.Record{Topic: "out", Timestamp: time.UnixMilli(127), Value: []byte("hi")}, "01" + "036f7574" + "00" + "00" + "8001" + "6869"},
	"an empty value":       {kgo.Record{Topic: "out", Value: []byte{}}, "01" + "036f7574" + "00" + "00" + "00"},
	"headers": {kgo.Record{Topic: "o", Key: []byte{}, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}, {Key: "c"}}, Value: []byte("v")},
		"01" + "016f" + "01" + "00" + "02" + "0161" + "01" + "0162" + "0163" + "00" + "00" + "76"},
}

func TestRecordsAreTheseBytes(t *testing.T) {
	for name, c := range goldenRecords {
		t.Run(name, func(t *testing.T) {
			payload := AppendRecord(nil, &c.record)
			if got := hex.EncodeToString(payload); got != c.payload {
				t.Errorf("got  %s\nwant %s", got, c.payload)
			}
			if r, err := ParseRecord(payload); err != nil || !reflect.DeepEqual(*r, c.record) {
				t.Errorf("read as %+v, %v", r, err)
			}
			fixed := len(payload) - len(c.record.Value)
			for n := range fixed {
				if r, err := ParseRecord(payload[:n:n]); err == nil {
					t.Errorf("the first %d bytes are read as %+v", n, r)
				}
			}
		})
	}
	if _, err := ParseRecord([]byte{2, 0}); !errors.Is(err, protocol.ErrNewer) {
		t.Errorf("of the next version: %v", err)
	}
}

// A record has one payload: what can be read is written again as it was.
func FuzzRecord(f *testing.F) {
	for _, c := range goldenRecords {
		f.Add(AppendRecord(nil, &c.record))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r, err := ParseRecord(payload); err == nil && !bytes.Equal(AppendRecord(nil, r), payload) {
			t.Errorf("%x was read, and written as %x", payload, AppendRecord(nil, r))
		}
	})
}
