package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// appends are what all programs of a run have appended to their ingress, by what they wrote down of it. What was told to be
// durable must come out, once; what was refused must not; what nobody knows may, once, and then all that it leads to.
type appends struct {
	certain                   []history.Input // what durable records lead to
	doubtful                  [][]history.Input
	durable, refused, unknown int
}

// due are the inputs that must come, given those that have.
func (a *appends) due(came func(id, address string) bool) []history.Input {
	all := a.certain[:len(a.certain):len(a.certain)]
	for _, inputs := range a.doubtful {
		for _, in := range inputs {
			if in.Parent == "" && came(in.ID, in.Address) {
				all = append(all, inputs...)
				break
			}
		}
	}
	return all
}

// readAppends reads the files of all processes.
func readAppends(dir string, seed uint64) (*appends, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+appendsSuffix))
	if err != nil {
		return nil, fmt.Errorf("look for what was appended: %w", err)
	}
	a := &appends{}
	for _, path := range files {
		number, err := processNumber(path)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read what was appended: %w", err)
		}
		a.add(seed, number, readFates(text))
	}
	return a, nil
}

// readFates reads what became of the records of a process, in their order; empty is what nobody has told. The last line of
// a process that was killed may be cut off, and then counts for nothing.
func readFates(text []byte) (fates []string) {
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	for line := range strings.Lines(string(text)) {
		var word string
		var n int
		if _, err := fmt.Sscan(line, &word, &n); err != nil {
			continue
		}
		switch {
		case word == wordTry:
			fates = append(fates, "")
		case n > 0 && n <= len(fates):
			fates[n-1] = word
		}
	}
	return fates
}

// add makes the records of a process again, and sorts what they lead to by their fates.
func (a *appends) add(seed uint64, number int, fates []string) {
	g := appendGenerator(seed, number)
	roots := map[string]int{} // by the id of the command
	for i := range fates {
		roots[g.Next().Command.ID] = i
	}
	inputs := make([][]history.Input, len(fates))
	for _, in := range g.Inputs {
		parent := in.Parent
		if parent == "" {
			parent = in.ID
		}
		// One that no record is known of is the start of the next record, which was not tried.
		if root, tried := roots[parent]; tried {
			roots[in.ID] = root
			inputs[root] = append(inputs[root], in)
		}
	}
	for i, fate := range fates {
		switch fate {
		case wordDurable:
			a.durable++
			a.certain = append(a.certain, inputs[i]...)
		case wordRefused:
			a.refused++
		default:
			a.unknown++
			a.doubtful = append(a.doubtful, inputs[i])
		}
	}
}

// expected are all inputs of a run: what the suite has produced, and what programs have appended.
func (r *run) expected() []history.Input {
	if r.appends == nil {
		return r.generator.Inputs
	}
	return append(r.generator.Inputs[:len(r.generator.Inputs):len(r.generator.Inputs)], r.appends.due(r.entries.came)...)
}

// appendsOf is the file of a process, by its log.
func appendsOf(log string) string { return strings.TrimSuffix(log, ".log") + appendsSuffix }

// collectAppends waits until all programs that run have told what became of their records, and reads it.
func (r *run) collectAppends(ctx context.Context) (err error) {
	if !r.plan.embedded() {
		return nil
	}
	began := time.Now()
	r.fleet.each(func(s *slot) {
		for s.running() && !ends(appendsOf(s.worker.Log), wordOver) && process.Pause(ctx, 20*time.Millisecond) {
			if time.Since(began) > hangLimit {
				r.violate("hang", "%s has not told within %v what became of all that it has appended; see %s", s.name, hangLimit, appendsOf(s.worker.Log))
				return
			}
		}
	})
	r.appends, err = readAppends(r.dir, r.plan.Seed)
	if err == nil {
		r.note("appended: %d durable, %d refused, %d unknown", r.appends.durable, r.appends.refused, r.appends.unknown)
	}
	return err
}

// ends says whether the last line of a file begins with a word.
func ends(path, word string) bool {
	return strings.HasPrefix(process.Tail(path, 1), word)
}
