package task

import (
	"fmt"
	"testing"
)

func TestWhatWasCommittedLastIsReadWithoutTheStore(t *testing.T) {
	var o overlay
	look := func(when string, want map[string]string) {
		t.Helper()
		for _, key := range []string{"a", "b", "c"} {
			value, known := o.get([]byte(key))
			if text, is := want[key]; is != known || known && text != fmt.Sprintf("%s %v", value, value == nil) {
				t.Errorf("%s: %s is %q, known %v, want %q", when, key, value, known, text)
			}
		}
	}
	put := func(key, value string) {
		if value == "" {
			o.put([]byte(key), nil)
			return
		}
		o.put([]byte(key), []byte(value))
	}
	put("a", "1")
	put("b", "1")
	rows := o.cut()
	put("a", "2")
	look("while it runs", map[string]string{"a": "2 false", "b": "1 false"})
	if len(rows) != 2 || string(rows[1].Value) != "1" {
		t.Errorf("the transaction has %q", rows)
	}
	o.committed()
	put("c", "")
	look("committed, something newer above", map[string]string{"a": "2 false", "b": "1 false", "c": " true"})
	o.cut()
	o.committed()
	look("committed again: of the one before nothing is left", map[string]string{"a": "2 false", "c": " true"})
	o.cut()
	o.committed()
	look("nothing was in it", map[string]string{})
}

func TestOfALargeTransactionNothingStaysInMemory(t *testing.T) {
	var o overlay
	o.put([]byte("a"), make([]byte, recentBytes))
	o.cut()
	o.committed()
	if _, known := o.get([]byte("a")); known || o.recent.bytes > 0 {
		t.Errorf("%d bytes stay, %d are allowed", o.recent.bytes, recentBytes)
	}
}

func TestMemoryOfRowsIsUsedAgainWithNothingInIt(t *testing.T) {
	var l layer
	for range 3 {
		for i := range 10 {
			l.put(fmt.Append(nil, "key ", i), []byte("value"))
		}
		rows := l.rows
		l.reset()
		if rows[0].Key != nil || rows[9].Value != nil {
			t.Fatal("rows that went keep their bytes")
		}
		if l.rows != nil || l.bytes != 0 || len(l.index) != 0 {
			t.Fatalf("left: %d rows, %d bytes, %d keys", len(l.rows), l.bytes, len(l.index))
		}
		if l.put([]byte("key"), nil); &l.rows[0] != &rows[0] {
			t.Fatal("the memory is not used again")
		}
		l.reset()
	}
}

func TestAQueueMovesToTheFrontOfItsMemory(t *testing.T) {
	m := &Mailbox{}
	next, done := uint64(1), uint64(0)
	for round := range 1000 {
		for range round%7 + 1 {
			m.push(input{number: next})
			next++
		}
		n := len(m.head)
		if round%3 == 0 {
			n = min(n, 2) // most of it stays
		}
		for i := range n {
			if done++; m.head[i].number != done {
				t.Fatalf("round %d: %d comes, want %d", round, m.head[i].number, done)
			}
		}
		m.drop(n)
		if rest := m.head[len(m.head):cap(m.head)]; len(rest) > 0 && rest[0].number != 0 {
			t.Fatalf("round %d: an input that is done stays in memory", round)
		}
	}
	if cap(m.head) > headKept {
		t.Errorf("the memory has grown to %d inputs", cap(m.head))
	}
}
