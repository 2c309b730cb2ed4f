package main

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// checker holds every output against the workload: each input once, with the count that its id had by then, in order.
type checker struct {
	work       *workload
	seen       []bool
	last       map[uint32]uint64 // id → highest seq so far, plus one
	outputs    int               // distinct inputs answered
	duplicates int
	wrong      map[string]int // what is wrong → how often
	example    map[string]string
}

func newChecker(w *workload) *checker {
	return &checker{work: w, seen: make([]bool, len(w.ids)), last: map[uint32]uint64{}, wrong: map[string]int{}, example: map[string]string{}}
}

// add checks one output. It is false when the output is no answer to any input.
func (c *checker) add(key, value []byte) (record.Parsed, bool) {
	p, err := record.Parse(value)
	if err != nil {
		c.complain("unreadable", err.Error())
		return p, false
	}
	if p.Seq >= uint64(len(c.seen)) {
		c.complain("unknown input", fmt.Sprintf("input %d of %d", p.Seq, len(c.seen)))
		return p, false
	}
	id := c.work.ids[p.Seq]
	if string(key) != record.ID(id) {
		c.complain("wrong key", fmt.Sprintf("input %d has key %q, want %q", p.Seq, key, record.ID(id)))
	}
	if c.seen[p.Seq] {
		c.duplicates++
		c.complain("duplicate", fmt.Sprintf("input %d", p.Seq))
		return p, false
	}
	c.seen[p.Seq] = true
	c.outputs++
	if p.Count != c.work.rank[p.Seq] {
		c.complain("wrong count", fmt.Sprintf("input %d of %s has count %d, want %d", p.Seq, key, p.Count, c.work.rank[p.Seq]))
	}
	if p.Seq < c.last[id] {
		c.complain("out of order", fmt.Sprintf("input %d of %s after input %d", p.Seq, key, c.last[id]-1))
	}
	c.last[id] = max(c.last[id], p.Seq+1)
	return p, true
}

func (c *checker) complain(what, example string) {
	c.wrong[what]++
	if c.example[what] == "" {
		c.example[what] = example
	}
}

// expect is told that only the first n inputs were sent.
func (c *checker) expect(n int) { c.seen = c.seen[:n] }

// complete tells whether every input has its output.
func (c *checker) complete() bool { return c.outputs == len(c.seen) }

// problems is what was wrong, empty when nothing was.
func (c *checker) problems() []string {
	var out []string
	if missing := len(c.seen) - c.outputs; missing > 0 {
		out = append(out, fmt.Sprintf("%d outputs missing", missing))
	}
	for _, what := range []string{"duplicate", "wrong count", "out of order", "wrong key", "unknown input", "unreadable"} {
		if n := c.wrong[what]; n > 0 {
			out = append(out, fmt.Sprintf("%d × %s (%s)", n, what, c.example[what]))
		}
	}
	return out
}
