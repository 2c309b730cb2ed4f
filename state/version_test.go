package state

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Every stored format, one version further, is refused by an error that names it and the way out: by the reader of the
// format, and, of a row of the changelog, already by the look that a replay takes.
func TestEveryFormatOfANewerVersionIsRefused(t *testing.T) {
	address := protocol.Address{Type: protocol.TypeName{Namespace: "a", Name: "b"}, ID: "c"}
	envelope := protocol.AppendEnvelope(nil, protocol.Envelope{Target: address})
	newer := append([]byte{envelope[0] + 1}, envelope[1:]...)
	for what, c := range map[string]struct {
		key, value []byte
		read       func([]byte) error
	}{
		"value":    {ValueKey(address, "n"), AppendValue(nil, Value{}), func(b []byte) error { _, err := ParseValue(b); return err }},
		"expiry":   {ExpiryKey(address, "n"), AppendExpiry(nil, Expiry{}), func(b []byte) error { _, err := ParseExpiry(b); return err }},
		"pending":  {PendingKey(address, 1), AppendPending(nil, Pending{Envelope: envelope}), func(b []byte) error { _, err := ParsePending(b); return err }},
		"timer":    {TimerKey(1, 1), AppendTimer(nil, Timer{Envelope: envelope}), func(b []byte) error { _, err := ParseTimer(b); return err }},
		"token":    {TokenKey("c", "t"), AppendToken(nil, Token{}), func(b []byte) error { _, err := ParseToken(b); return err }},
		"barrier":  {BarrierKey(), AppendBarrier(nil, Barrier{}), func(b []byte) error { _, err := ParseBarrier(b); return err }},
		"progress": {ProgressKey("t", 1), AppendProgress(nil, Progress{}), func(b []byte) error { _, err := ParseProgress(b); return err }},
		"ingress":  {IngressKey("t"), AppendIngress(nil, Ingress{}), func(b []byte) error { _, err := ParseIngress(b); return err }},
		"outbox":   {OutboxKey("a/out", 1), AppendOutbox(nil, Outbox{}), func(b []byte) error { _, err := ParseOutbox(b); return err }},
		"position": {nil, appendPosition(nil, Position{}), func(b []byte) error { _, err := parsePosition(b); return err }},
	} {
		if err := c.read(c.value); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		value := append([]byte{c.value[0] + 1}, c.value[1:]...)
		if err := c.read(value); !errors.Is(err, protocol.ErrNewer) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s of the next version: %v", what, err)
		}
		if c.key == nil {
			continue
		}
		if err := CheckVersion(Row{Key: c.key, Value: c.value}); err != nil {
			t.Errorf("%s row: %v", what, err)
		}
		if err := CheckVersion(Row{Key: c.key}); err != nil {
			t.Errorf("%s tombstone: %v", what, err)
		}
		if err := CheckVersion(Row{Key: c.key, Value: value}); !errors.Is(err, protocol.ErrNewer) {
			t.Errorf("%s row of the next version: %v", what, err)
		}
	}
	for what, row := range map[string]Row{
		"a kind that is not known":  {Key: []byte("z")},
		"pending of a new envelope": {Key: PendingKey(address, 1), Value: AppendPending(nil, Pending{Envelope: newer})},
		"timer of a new envelope":   {Key: TimerKey(1, 1), Value: AppendTimer(nil, Timer{Sender: "someone", Token: "t", Envelope: newer})},
	} {
		if err := CheckVersion(row); !errors.Is(err, protocol.ErrNewer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A folder that a newer version has written to is left as it is.
func TestAFolderOfANewerVersionIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := openIn(t, fs)
	identity := s.Identity()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	identity.Format++
	text, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	file, err := fs.Create("state/"+identityFile, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = file.Write(text)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first refusal has not signed it
		_, err = Open(Options{Dir: "state", FS: fs, ApplicationID: "app"})
		if !errors.Is(err, protocol.ErrNewer) || !strings.Contains(err.Error(), "format 2") {
			t.Fatal(err)
		}
	}
}

func openIn(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "state", FS: fs, ApplicationID: "app"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
