package main

import (
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// output is what a right system writes for input seq.
func output(w *workload, seq int) (key, value []byte) {
	value = record.New(uint64(seq), time.Unix(0, 1))
	record.SetCount(value, w.rank[seq])
	return []byte(record.ID(w.ids[seq])), value
}

func TestRightOutputsAreExact(t *testing.T) {
	w := newWorkload(500, 20)
	c := newChecker(w)
	for seq := range w.ids {
		if c.complete() {
			t.Fatalf("complete after %d of 500", seq)
		}
		if _, ok := c.add(output(w, seq)); !ok {
			t.Fatalf("output %d was not taken", seq)
		}
	}
	if p := c.problems(); !c.complete() || len(p) > 0 {
		t.Fatalf("complete %v, problems %q", c.complete(), p)
	}
}

func TestEachWrongOutputIsNamed(t *testing.T) {
	w := &workload{ids: []uint32{3, 3, 4}, rank: []int64{1, 2, 1}}
	for _, test := range []struct {
		name, want string
		feed       func(*checker)
	}{
		{"nothing comes", "3 outputs missing", func(*checker) {}},
		{"one comes twice", "1 × duplicate", func(c *checker) { c.add(output(w, 2)); c.add(output(w, 2)) }},
		{"an id's outputs change places", "1 × out of order", func(c *checker) { c.add(output(w, 1)); c.add(output(w, 0)) }},
		{"a call saw old state", "1 × wrong count", func(c *checker) {
			key, value := output(w, 1)
			record.SetCount(value, 1)
			c.add(key, value)
		}},
		{"another key", "1 × wrong key", func(c *checker) {
			_, value := output(w, 0)
			c.add([]byte(record.ID(4)), value)
		}},
		{"a number nobody sent", "1 × unknown input", func(c *checker) { c.add(nil, record.New(3, time.Unix(0, 1))) }},
		{"a short value", "1 × unreadable", func(c *checker) { c.add(nil, []byte("x")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChecker(w)
			test.feed(c)
			if got := strings.Join(c.problems(), "; "); !strings.Contains(got, test.want) {
				t.Fatalf("problems %q, want %q in them", got, test.want)
			}
		})
	}
}

func TestWorkloadSpreadsAllInputsOverAllIDs(t *testing.T) {
	w := newWorkload(1000, 1000)
	for seq, id := range w.ids {
		if id != uint32(seq) || w.rank[seq] != 1 {
			t.Fatalf("input %d: id %d, rank %d, want an id of its own", seq, id, w.rank[seq])
		}
	}
	w = newWorkload(1000, 10)
	last := map[uint32]int64{}
	for seq, id := range w.ids {
		if w.rank[seq] != last[id]+1 {
			t.Fatalf("input %d: rank %d after %d", seq, w.rank[seq], last[id])
		}
		last[id]++
	}
	if len(last) != 10 {
		t.Fatalf("%d ids, want 10", len(last))
	}
}
