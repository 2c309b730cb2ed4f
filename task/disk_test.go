package task

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// disk stands for the changelog of one partition and for the store that holds it: the committed rows, each at an
// offset of its own. No offset is spent on anything else, so that numbers which trail offsets have no slack here.
type disk struct {
	end  int64 // offset of the next row
	rows map[string][]byte
	keys []string // of rows, sorted; nil: to be sorted anew
}

// newDisk gives a partition that was taken over for the first time: it has the barrier row, at offset 0.
func newDisk() *disk {
	d := &disk{rows: map[string][]byte{}}
	d.put(state.BarrierKey(), state.AppendBarrier(nil, state.Barrier{Owner: "w", Transaction: "w/1", Time: time.UnixMilli(1)}))
	return d
}

func (d *disk) put(key, value []byte) {
	if value == nil {
		delete(d.rows, string(key))
	} else {
		d.rows[string(key)] = slices.Clone(value)
	}
	d.keys = nil
	d.end++
}

// apply commits the rows of a cut. A numbered row must not lie below its number: the numbers that are given after
// a restore start at the position, and would meet those in use.
func (d *disk) apply(rows []state.Row) error {
	for _, r := range rows {
		if seq, is := numberOf(r.Key); is && r.Value != nil && seq > uint64(d.end) {
			return fmt.Errorf("the row %s has a number above its changelog offset %d", rowText(r.Key, r.Value), d.end)
		}
		d.put(r.Key, r.Value)
	}
	return nil
}

func numberOf(key []byte) (seq uint64, is bool) {
	if _, seq, err := state.ParsePendingKey(key); err == nil {
		return seq, true
	}
	_, seq, err := state.ParseTimerKey(key)
	return seq, err == nil
}

// Get is Store's.
func (d *disk) Get(key []byte) ([]byte, error) { return slices.Clone(d.rows[string(key)]), nil }

// Scan is Store's. As with Pebble, key and value are only good during the visit.
func (d *disk) Scan(from, to []byte, limit int, visit func(key, value []byte) error) error {
	if d.keys == nil {
		d.keys = slices.Sorted(maps.Keys(d.rows))
	}
	i, _ := slices.BinarySearch(d.keys, string(from))
	for n := 0; i < len(d.keys) && d.keys[i] < string(to) && (limit <= 0 || n < limit); i, n = i+1, n+1 {
		key, value := []byte(d.keys[i]), slices.Clone(d.rows[d.keys[i]])
		err := visit(key, value)
		clear(key)
		clear(value)
		if err != nil {
			return err
		}
	}
	return nil
}

// pending gives the pending rows of an address as they are committed, in order.
func (d *disk) pending(target protocol.Address, from uint64) (inputs []input) {
	_, to := state.PrefixRange(state.PendingPrefix(target))
	err := d.Scan(state.PendingKey(target, from), to, 0, func(key, value []byte) error {
		in, err := decodePending(key, value)
		inputs = append(inputs, in)
		return err
	})
	if err != nil {
		panic(err)
	}
	return inputs
}

// kind gives the committed rows of one kind.
func (d *disk) kind(kind byte) (rows []state.Row) {
	from, to := state.KindRange(kind)
	err := d.Scan(from, to, 0, func(key, value []byte) error {
		rows = append(rows, state.Row{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		return nil
	})
	if err != nil {
		panic(err)
	}
	return rows
}

// An address is written type/id, all types are of one namespace.
func address(s string) protocol.Address {
	name, id, found := strings.Cut(s, "/")
	if !found {
		panic("an address is written type/id: " + s)
	}
	return protocol.Address{Type: protocol.TypeName{Namespace: "t", Name: name}, ID: id}
}

func addressText(a protocol.Address) string { return a.Type.Name + "/" + a.ID }

// message gives an envelope with a text; the caller is nil for what comes from an ingress.
func message(target protocol.Address, caller *protocol.Address, text string) protocol.Envelope {
	argument := protocol.AppendTypedValue(nil, "t/text", []byte(text))
	return protocol.Envelope{Target: target, Invocation: protocol.AppendInvocation(nil, caller, argument)}
}

// textOf shows an invocation as caller>text.
func textOf(invocation []byte) string {
	caller, argument, err := protocol.ParseInvocation(invocation)
	if err != nil {
		panic(err)
	}
	_, _, text, err := protocol.ParseTypedValue(argument)
	if err != nil {
		panic(err)
	}
	if caller == nil {
		return string(text)
	}
	return addressText(*caller) + ">" + string(text)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func envelopeText(b []byte) string {
	e := must(protocol.ParseEnvelope(b))
	return textOf(e.Invocation) + " to " + addressText(e.Target)
}

// rowText shows a row as one line: its kind, what the key says, and the value or "gone".
func rowText(key, value []byte) string {
	var head, body string
	switch key[0] {
	case state.KindValue:
		a, name, err := state.ParseValueKey(key)
		head = "value " + addressText(must(a, err)) + " " + name
		if value != nil {
			body = fmt.Sprintf("%q", must(state.ParseValue(value)).Bytes)
		}
	case state.KindExpiry:
		a, name, err := state.ParseExpiryKey(key)
		head = "expiry " + addressText(must(a, err)) + " " + name
		if value != nil {
			body = fmt.Sprint(must(state.ParseExpiry(value)).At.UnixMilli())
		}
	case state.KindPending:
		a, seq, err := state.ParsePendingKey(key)
		head = fmt.Sprintf("pending %s #%d", addressText(must(a, err)), seq)
		if value != nil {
			p := must(state.ParsePending(value))
			body = textOf(must(protocol.ParseEnvelope(p.Envelope)).Invocation)
		}
	case state.KindTimer:
		at, seq, err := state.ParseTimerKey(key)
		head = fmt.Sprintf("delayed %d #%d", must(at, err), seq)
		if value != nil {
			body = envelopeText(must(state.ParseTimer(value)).Envelope)
		}
	case state.KindToken:
		id, token, err := state.ParseTokenKey(key)
		head = "token " + must(id, err) + " " + token
		if value != nil {
			r := must(state.ParseToken(value))
			body = fmt.Sprintf("%d #%d", r.FireAtMs, r.Seq)
		}
	case state.KindProgress:
		topic, partition, err := state.ParseProgressKey(key)
		head = fmt.Sprintf("progress %s/%d", must(topic, err), partition)
		if value != nil {
			body = progressText(must(state.ParseProgress(value)))
		}
	default:
		head, body = fmt.Sprintf("%q", key), "?"
	}
	if value == nil {
		body = "gone"
	}
	return head + ": " + body
}

func progressText(p state.Progress) string {
	text := fmt.Sprint(p.Position)
	for i, r := range p.Finished {
		text += map[bool]string{true: " done ", false: ","}[i == 0] + fmt.Sprint(r.From)
		if r.To > r.From {
			text += fmt.Sprint("-", r.To)
		}
	}
	return text
}
