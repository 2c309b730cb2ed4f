package rescale

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// table is a store of one or more partitions in memory.
type table map[int32]map[string][]byte

func (t table) put(p int32, row state.Row) error {
	if t[p] == nil {
		t[p] = map[string][]byte{}
	}
	if _, is := t[p][string(row.Key)]; is {
		return fmt.Errorf("key %q of partition %d is written twice", row.Key, p)
	}
	t[p][string(row.Key)] = row.Value
	return nil
}

// Get is rowStore's.
func (t table) Get(p int32, key []byte) ([]byte, error) { return t[p][string(key)], nil }

// Scan is rowStore's.
func (t table) Scan(p int32, from, to []byte, limit int, visit func(key, value []byte) error) error {
	var keys []string
	for key := range t[p] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := visit([]byte(key), t[p][key]); err != nil {
			return err
		}
	}
	return nil
}

func address(id string) protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: "t", Name: "f"}, ID: id}
}

func envelope(id, text string) []byte {
	return protocol.AppendEnvelope(nil, protocol.Envelope{Target: address(id), Invocation: []byte(text)})
}

// moved carries all rows of a table of some partitions into one of n, and holds the tallies against each other.
func moved(t *rapid.T, from table, old, n int32) table {
	to := table{}
	s := &source{layout: layout{partitions: old, mailbox: "mailbox"}, store: from, tally: newTally(old, n)}
	m := newMover(n, to.put)
	if _, err := s.each(func(p int32, c *carried) error {
		if err := s.tally.take(p, c); err != nil {
			return err
		}
		return m.move(c)
	}); err != nil {
		t.Fatal(err)
	}
	back := &source{layout: layout{partitions: n, mailbox: "mailbox"}, store: to, tally: newTally(n, n)}
	if _, err := back.each(back.tally.take); err != nil {
		t.Fatal(err)
	}
	if list := s.tally.differences(back.tally); len(list) > 0 {
		t.Fatalf("the tallies differ: %v", list)
	}
	return to
}

func TestRowsKeepTheirOrderAndTimersTheirTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, middle, last := rapid.Int32Range(1, 9).Draw(t, "old"), rapid.Int32Range(1, 9).Draw(t, "middle"), rapid.Int32Range(1, 9).Draw(t, "last")
		from := table{}
		inputs, timers := map[string][]string{}, map[string][]string{}
		seq := uint64(1)
		for i := range rapid.IntRange(1, 60).Draw(t, "rows") {
			id := fmt.Sprintf("id-%d", rapid.IntRange(0, 9).Draw(t, "id"))
			p, text := router.Partition(id, old), fmt.Sprint(i)
			if rapid.Bool().Draw(t, "timer") {
				at := int64(rapid.IntRange(0, 3).Draw(t, "at"))
				must(t, from.put(p, state.Row{Key: state.TimerKey(at, seq), Value: state.AppendTimer(nil, state.Timer{Sender: id, Token: text, Envelope: envelope("x", text)})}))
				must(t, from.put(p, state.Row{Key: state.TokenKey(id, text), Value: state.AppendToken(nil, state.Token{FireAtMs: at, Seq: seq})}))
				key := fmt.Sprintf("%s at %d", id, at)
				timers[key] = append(timers[key], text)
			} else {
				must(t, from.put(p, state.Row{Key: state.PendingKey(address(id), seq), Value: state.AppendPending(nil, state.Pending{Arrived: time.UnixMilli(5), Envelope: envelope(id, text)})}))
				inputs[id] = append(inputs[id], text)
			}
			seq += uint64(rapid.IntRange(1, 1000).Draw(t, "gap"))
		}
		checkRows(t, moved(t, moved(t, from, old, middle), middle, last), last, inputs, timers)
	})
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func checkRows(t *rapid.T, to table, n int32, inputs, timers map[string][]string) {
	gotInputs, gotTimers := map[string][]string{}, map[string][]string{}
	for p := range n {
		rows := uint64(len(to[p]))
		must(t, to.Scan(p, nil, nil, 0, func(key, value []byte) error {
			switch key[0] {
			case state.KindPending:
				a, seq, err := state.ParsePendingKey(key)
				if err != nil || router.Partition(a.ID, n) != p || seq == 0 || seq > rows {
					t.Fatalf("pending row %d of %s in partition %d with %d rows, %v", seq, a.ID, p, rows, err)
				}
				pending, _ := state.ParsePending(value)
				e, _ := protocol.ParseEnvelope(pending.Envelope)
				gotInputs[a.ID] = append(gotInputs[a.ID], string(e.Invocation))
			case state.KindTimer:
				at, seq, _ := state.ParseTimerKey(key)
				timer, _ := state.ParseTimer(value)
				token, err := state.ParseToken(to[p][string(state.TokenKey(timer.Sender, timer.Token))])
				if err != nil || token.FireAtMs != at || token.Seq != seq || seq == 0 || seq > rows {
					t.Fatalf("the token of timer %d/%d leads to %+v, %v", at, seq, token, err)
				}
				sender := fmt.Sprintf("%s at %d", timer.Sender, at)
				gotTimers[sender] = append(gotTimers[sender], timer.Token)
			}
			return nil
		}))
	}
	if fmt.Sprint(gotInputs) != fmt.Sprint(inputs) || fmt.Sprint(gotTimers) != fmt.Sprint(timers) {
		t.Fatalf("got %v and %v, want %v and %v", gotInputs, gotTimers, inputs, timers)
	}
}

func TestOutboxRowsGoWithTheirSenderInOrderAndKeepTheirIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, n := rapid.Int32Range(1, 9).Draw(t, "old"), rapid.Int32Range(1, 9).Draw(t, "new")
		from, want := table{}, map[string][]string{}
		seq := uint64(1)
		for i := range rapid.IntRange(1, 60).Draw(t, "rows") {
			sender, target := fmt.Sprintf("id-%d", rapid.IntRange(0, 9).Draw(t, "id")), fmt.Sprintf("t/out%d", rapid.IntRange(0, 1).Draw(t, "target"))
			p := router.Partition(sender, old)
			o := state.Outbox{Since: time.UnixMilli(5), ID: fmt.Sprintf("app/%d/%d", p, seq), Sender: sender, Payload: []byte(fmt.Sprint(i))}
			must(t, from.put(p, state.Row{Key: state.OutboxKey(target, seq), Value: state.AppendOutbox(nil, o)}))
			want[sender+target] = append(want[sender+target], o.ID+"="+string(o.Payload))
			seq += uint64(rapid.IntRange(1, 1000).Draw(t, "gap"))
		}
		to, got := moved(t, from, old, n), map[string][]string{}
		for p := range n {
			must(t, to.Scan(p, nil, nil, 0, func(key, value []byte) error {
				target, seq, err := state.ParseOutboxKey(key)
				o, _ := state.ParseOutbox(value)
				if err != nil || seq == 0 || seq > uint64(len(to[p])) || router.Partition(o.Sender, n) != p {
					t.Fatalf("row %d of %s in partition %d, %v", seq, o.Sender, p, err)
				}
				got[o.Sender+target] = append(got[o.Sender+target], o.ID+"="+string(o.Payload))
				return nil
			}))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestProgressIsCarriedExactlyAndThatOfTheMailboxStaysBehind(t *testing.T) {
	done := state.AppendProgress(nil, state.Progress{TopicID: [16]byte{7}, Position: 5, Finished: []state.Run{{From: 7, To: 9}}, Time: time.UnixMilli(3)})
	from := table{}
	for p, row := range map[int32]state.Row{
		2: {Key: state.ProgressKey("in", 10), Value: done}, // 10 % 4
		1: {Key: state.ProgressKey("mailbox", 1), Value: done},
	} {
		if err := from.put(p, row); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		to := moved(t, from, 4, 7)
		if got := to[3][string(state.ProgressKey("in", 10))]; !bytes.Equal(got, done) || len(to) != 1 || len(to[3]) != 1 {
			t.Fatalf("%v", to)
		}
	})
}

func TestARowInAPartitionThatIsNotItsOwnIsRefused(t *testing.T) {
	c := &carried{kind: state.KindValue, id: "a"}
	wrong := (router.Partition("a", 4) + 1) % 4
	if err := newTally(4, 7).take(wrong, c); err == nil || !strings.Contains(err.Error(), "changed by hand") {
		t.Fatal(err)
	}
}

func TestATokenWithoutItsTimerIsLeftOut(t *testing.T) {
	from := table{0: {string(state.TokenKey("id", "gone")): state.AppendToken(nil, state.Token{FireAtMs: 5, Seq: 9})}}
	s := &source{layout: layout{partitions: 1}, store: from}
	left, err := s.each(func(int32, *carried) error { return fmt.Errorf("it was carried") })
	if err != nil || left != 1 {
		t.Fatalf("%d left out, %v", left, err)
	}
}

func TestDifferencesTellALostAChangedAndASwappedRow(t *testing.T) {
	rows := []string{"one", "two"}
	count := func(change func(i int, text string) (string, bool)) *tally {
		w := &walker{partition: 0, store: table{0: {}}}
		got := newTally(1, 1)
		w.visit = func(c *carried) error { return got.take(0, c) }
		for i, text := range rows {
			text, keep := change(i, text)
			if keep {
				w.store.(table)[0][string(state.PendingKey(address("id"), uint64(i+1)))] = state.AppendPending(nil, state.Pending{Envelope: envelope("id", text)})
			}
		}
		if err := w.walk(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	same := func(_ int, text string) (string, bool) { return text, true }
	for name, change := range map[string]func(int, string) (string, bool){
		"lost":    func(i int, text string) (string, bool) { return text, i == 0 },
		"changed": func(i int, text string) (string, bool) { return text[:i] + "o" + text[i+1:], true },
		"swapped": func(i int, _ string) (string, bool) { return rows[1-i], true },
	} {
		if list := count(same).differences(count(change)); len(list) == 0 && name != "same" {
			t.Errorf("%s: no difference", name)
		}
	}
	if list := count(same).differences(count(same)); len(list) > 0 {
		t.Error(list)
	}
}

func TestFinishedOffsetsAreFound(t *testing.T) {
	runs := []state.Run{{From: 3, To: 5}, {From: 9, To: 9}}
	for offset := range int64(12) {
		want := offset >= 3 && offset <= 5 || offset == 9
		if isFinished(runs, offset) != want {
			t.Errorf("offset %d: %v", offset, !want)
		}
	}
}
