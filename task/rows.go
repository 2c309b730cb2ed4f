package task

import (
	"cmp"
	"slices"
	"time"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Cut is what a task adds to a transaction: the rows of its changelog partition.
type Cut struct {
	Rows []state.Row
}

// nextSeq numbers pending and timer rows. It starts at the changelog position from which the task was restored,
// and each number is followed by at least one changelog row, so a number is never above the offset of its row:
// numbers given after the next restore are above all that are in use, and no counter need be stored. It is never 0,
// which would mean no row: the barrier row of the take-over lies below the position.
func (t *Task) nextSeq() uint64 {
	t.seq++
	return t.seq - 1
}

// Cut decides which inputs become pending rows, moves the positions of the sources, and hands out all rows that
// were collected, with one progress row for each source that changed. Transaction is the id that proves the
// commit. After Cut the next effects collect for the next transaction, on top of these rows.
func (t *Task) Cut(transaction string, now time.Time) Cut {
	t.decideRows()
	for _, s := range t.sources {
		s.advance()
		if s.moved {
			t.putProgress(s, transaction, now)
		}
	}
	if len(t.collecting.rows) == 0 && len(t.sources) > 0 {
		// Whoever takes the partition over finds an open transaction by its rows, so there is always one.
		t.putProgress(t.sources[0], transaction, now)
	}
	t.touched = false
	return Cut{Rows: t.overlay.cut()}
}

func (t *Task) putProgress(s *Source, transaction string, now time.Time) {
	s.moved, s.written = false, s.position
	t.put(state.ProgressKey(s.Topic, s.Partition), state.AppendProgress(nil, s.progress(transaction, now)))
}

// Committed says that the rows of the last cut are in the store. Inputs that were copied for their mailbox's
// sake, or to relieve memory, leave it now.
func (t *Task) Committed() {
	t.overlay.committed()
	for _, m := range t.evicts {
		keep := 0
		if m.flight == nil && m.attempts == 0 && !m.relieve && !m.held {
			keep = t.limits.kept
		}
		m.relieve = false
		t.release(t.relieved(m, keep))
	}
	t.evicts = t.evicts[:0]
}

// relieved takes the committed rows of a mailbox out of memory, but for the first keep.
func (t *Task) relieved(m *Mailbox, keep int) *Mailbox {
	before := m.stored
	t.hold(-m.evict(keep))
	t.rows.Stored += int(m.stored - before)
	if m.stored > 0 && m.memory() == 0 {
		m.slim()
	}
	return m
}

// decideRows makes pending rows of the inputs that were born inside and are not done, of the mailboxes to be
// spilled, and of what these bring along: the inputs before them in their queue (H3), and the other inputs of a
// record that is done in part. The last two feed each other, so it goes on to a fixpoint.
func (t *Task) decideRows() {
	for _, m := range t.born {
		m.born = false
		for i := m.memory() - 1; i >= 0; i-- {
			if in := m.at(i); in.source == nil && in.seq == 0 {
				t.rowsUpTo(m, i+1)
				break
			}
		}
		if m.memory() > t.limits.inputs {
			t.evicts = append(t.evicts, m)
		}
	}
	t.born = t.born[:0]
	for _, m := range t.spills {
		m.spill = false
		t.rowsUpTo(m, m.memory())
		t.evicts = append(t.evicts, m)
	}
	t.spills = t.spills[:0]
	for len(t.partial) > 0 {
		p := t.partial[len(t.partial)-1]
		t.partial = t.partial[:len(t.partial)-1]
		for _, m := range p.source.shared[p.number] {
			if i := m.find(p.source, p.number); i >= 0 {
				t.rowsUpTo(m, i+1)
			}
		}
	}
}

// rowsUpTo makes the first n inputs in memory of a mailbox rows, as far as they are not.
func (t *Task) rowsUpTo(m *Mailbox, n int) {
	for i := range n {
		in := m.at(i)
		if in.seq != 0 {
			continue
		}
		t.unborn(in)
		in.seq = t.nextSeq()
		m.rows++
		t.rows.Pending++
		t.rows.Bytes += int64(len(in.invocation))
		target := m.Address()
		t.put(pendingKey(target, in.seq), pendingRow(target, in.invocation, in.arrived))
		if in.source == nil {
			continue
		}
		s, number := in.source, in.number
		in.source = nil
		if s.finish(number) {
			t.partial = append(t.partial, partial{s, number})
		}
	}
}

// Relieve makes rows of what holds up the read budget: the inputs of those addresses first whose oldest one waits
// longest, of addresses that are in no call before the others. It stops when it has found bytes of them and returns
// what it found; they leave memory once the next cut is committed.
func (t *Task) Relieve(bytes int64) (found int64) {
	if t.addresses > t.limits.addresses && t.heap < bytes/8 {
		return 0 // the entries weigh: to look at all of them, again and again, would free next to nothing
	}
	type waiting struct {
		*Mailbox
		since int64
	}
	var all []waiting
	for m := range t.all() {
		if taken := m.taken(); !m.relieve && m.memory() > taken {
			all = append(all, waiting{m, m.at(taken).arrived})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int {
		if busy := a.flight != nil; busy != (b.flight != nil) {
			return map[bool]int{false: -1, true: 1}[busy]
		}
		return cmp.Or(cmp.Compare(a.since, b.since), a.compare(b.Mailbox))
	})
	for _, m := range all {
		if found >= bytes {
			break
		}
		for i := m.taken(); i < m.memory(); i++ {
			found += m.at(i).cost()
		}
		m.relieve = true
		t.spill(m.Mailbox)
	}
	return found
}

// Unblock makes rows of the inputs that keep a source's position from moving, oldest first: those of its oldest
// records, up to count of them, and every input that arrived before the given time. It stops after most inputs, or it
// could be a transaction that never ends in time. It returns the number of addresses.
func (t *Task) Unblock(s *Source, count, most int, arrivedBeforeMillis int64) (addresses int) {
	oldest, is := s.oldest()
	if !is {
		return 0
	}
	type held struct {
		*Mailbox
		first uint64
	}
	var holding []held
	for m := range t.all() {
		in := m.firstOf(s)
		if in != nil && (in.number < oldest+uint64(count) || in.arrived < arrivedBeforeMillis) {
			holding = append(holding, held{m, in.number})
		}
	}
	slices.SortFunc(holding, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.first, b.first), a.compare(b.Mailbox))
	})
	inputs := 0
	for i, m := range holding {
		if inputs >= most {
			return i
		}
		inputs += m.memory()
		t.spill(m.Mailbox)
	}
	return len(holding)
}
