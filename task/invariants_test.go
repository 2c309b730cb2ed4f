package task

import (
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// invariants checks what must hold of a task between any two steps, given the committed rows and the heap that the
// task said it holds.
func invariants(t *Task, d *disk, held int64) error {
	errs := []error{}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	cost, entries, rows := int64(0), 0, Rows{}
	waiting := map[protocol.TypeName]int{}
	left := map[*Source]map[uint64]int32{}
	for _, s := range t.sources {
		left[s] = map[uint64]int32{}
	}
	for m := range t.all() {
		a := m.Address()
		entries++
		if err := m.sound(t.find(a) == m && m.Task == t); err != nil {
			fault("mailbox %s: %w", addressText(a), err)
		}
		for i := range m.memory() {
			in := m.at(i)
			cost += in.cost()
			if in.source != nil {
				left[in.source][in.number]++
			}
		}
		waiting[a.Type] += m.memory() + int(m.stored)
		queue := m.queue(d)
		for i := range queue {
			if in := &queue[i]; in.seq != 0 {
				rows.Pending++
				rows.Bytes += int64(len(in.invocation))
			}
			if i > 0 && queue[i].seq != 0 && queue[i-1].seq >= queue[i].seq {
				fault("mailbox %s: row %d comes after row %d", addressText(a), queue[i].seq, queue[i-1].seq)
			}
		}
		rows.Stored += int(m.stored)
	}
	if entries != t.Addresses() {
		fault("%d addresses have a mailbox, the task says %d", entries, t.Addresses())
	}
	cost += entryCost * int64(max(entries-t.limits.addresses, 0))
	if cost != held {
		fault("inputs in memory and entries take %d bytes, the task said %d", cost, held)
	}
	t.Backlog(func(fn protocol.TypeName, inputs int) {
		if inputs != waiting[fn] {
			fault("%d inputs of %s are not done, the task says %d", waiting[fn], fn, inputs)
		}
		delete(waiting, fn)
	})
	if len(waiting) > 0 {
		fault("the task knows nothing of the inputs that are not done: %v", waiting)
	}
	if rows != t.rows {
		fault("rows are %+v, the task says %+v", rows, t.rows)
	}
	for _, s := range t.sources {
		if err := s.sound(left[s]); err != nil {
			fault("source %s/%d: %w", s.Topic, s.Partition, err)
		}
	}
	return errors.Join(append(errs, parkedSound(t))...)
}

// queue is the whole queue of a mailbox, with the rows that are only in the store.
func (m *Mailbox) queue(d *disk) []input {
	queue := append([]input(nil), m.head...)
	if m.stored > 0 {
		stored := d.pending(m.Address(), m.storedSeq)
		queue = append(queue, stored[:min(int(m.stored), len(stored))]...)
	}
	return append(queue, m.behind()...)
}

func (m *Mailbox) sound(known bool) error {
	rows, prefix := 0, true
	for i := range m.memory() {
		switch {
		case m.at(i).seq == 0:
			prefix = false
		case !prefix:
			return errors.New("a row comes after an input that is none (H3)")
		default:
			rows++
		}
	}
	idle := m.flight == nil && m.Waiting() == 0
	switch {
	case !known:
		return errors.New("is filed under another address")
	case m.stored < 0 || m.taken() > len(m.head):
		return fmt.Errorf("%d are stored, %d of %d are taken", m.stored, m.taken(), len(m.head))
	case m.stored > 0 && len(m.head) > 0 && m.head[len(m.head)-1].seq == 0:
		return errors.New("a stored row comes after an input that is none (H3)")
	case m.stored == 0 && m.tail != nil:
		return errors.New("has a tail behind nothing")
	case rows+int(m.stored) != int(m.rows):
		return fmt.Errorf("has %d rows, says %d", rows+int(m.stored), m.rows)
	case (m.flight != nil) != (m.taken() > 0):
		return fmt.Errorf("%d inputs are taken, a call is in flight: %v", m.taken(), m.flight != nil)
	case m.queued && (m.flight != nil || m.retryAt > 0):
		return errors.New("is ready and yet busy or parked")
	case !m.queued && m.flight == nil && m.retryAt == 0 && m.Waiting() > 0:
		return errors.New("has inputs and nobody was told")
	case idle && !m.queued && m.attempts == 0:
		return errors.New("has nothing left and is not forgotten")
	}
	return nil
}

// sound compares the count of inputs that are left of each record with those that are in queues.
func (s *Source) sound(left map[uint64]int32) error {
	open := 0
	for i, e := range s.entries {
		number := s.base + uint64(i)
		if e.left != left[number] {
			return fmt.Errorf("offset %d has %d inputs left, in the queues are %d", e.offset, e.left, left[number])
		}
		delete(left, number)
		if e.left > 0 {
			open++
		}
		if e.offset >= s.next || i > 0 && e.offset <= s.entries[i-1].offset {
			return fmt.Errorf("offset %d is out of order", e.offset)
		}
	}
	if open != s.open || len(left) > 0 {
		return fmt.Errorf("%d records are open, it says %d; inputs of records that it forgot: %v", open, s.open, left)
	}
	for _, r := range s.recovered {
		if r.From < s.next {
			return fmt.Errorf("recovered offsets from %d are below the next one, %d", r.From, s.next)
		}
	}
	return nil
}

func parkedSound(t *Task) error {
	waiting := 0
	for m := range t.all() {
		if m.retryAt > 0 && m.retryAt != never {
			waiting++
		}
	}
	if waiting != len(t.parked) {
		return fmt.Errorf("%d addresses wait to be tried again, %d are in the heap", waiting, len(t.parked))
	}
	return nil
}
