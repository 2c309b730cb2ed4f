package task

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Restore takes in what the store has of the partition at the changelog position: pending inputs in their order
// and the delayed messages that fire first. Sources are added after it, so that what is read again comes behind.
func (t *Task) Restore(position int64) error {
	t.seq = uint64(position)
	from, to := state.KindRange(state.KindPending)
	var m *Mailbox
	var restored []*Mailbox
	empty, held := 0, int64(0) // size of a row of m without its invocation; heap of all inputs read
	var last protocol.Address
	err := t.Store.Scan(from, to, 0, func(key, value []byte) error {
		target, seq, err := state.ParsePendingKey(key)
		if err != nil {
			return err
		}
		if m == nil || last != target {
			m, last = t.mailbox(target), target
			restored = append(restored, m)
			empty = len(pendingRow(target, nil, 0))
		}
		m.rows++
		m.backlog++
		t.rows.Pending++
		t.rows.Bytes += int64(len(value) - empty)
		if m.stored > 0 || len(m.head) >= t.limits.restored || held >= t.limits.restoredBytes {
			if m.stored == 0 {
				m.storedSeq = seq
			}
			m.stored++
			t.rows.Stored++
			return nil
		}
		in, err := decodePending(key, value)
		if err != nil {
			return err
		}
		m.head = append(m.head, in)
		held += in.cost()
		return nil
	})
	if err != nil {
		return fmt.Errorf("partition %d: restore pending inputs: %w", t.Partition, err)
	}
	t.hold(held)
	if err := t.loadTimers(); err != nil {
		return err
	}
	// First come, first served, over the restore as well.
	slices.SortFunc(restored, func(a, b *Mailbox) int { return cmp.Compare(a.firstSeq(), b.firstSeq()) })
	for _, m := range restored {
		t.ready(m)
	}
	return nil
}

// firstSeq is the number of the first row of a mailbox that was restored.
func (m *Mailbox) firstSeq() uint64 {
	if len(m.head) > 0 {
		return m.head[0].seq
	}
	return m.storedSeq
}

// Progress reads the progress row of a source; known is false when there is none.
func Progress(store Store, topic string, partition int32) (p state.Progress, known bool, err error) {
	row, err := store.Get(state.ProgressKey(topic, partition))
	if err != nil || row == nil {
		return p, false, err
	}
	p, err = state.ParseProgress(row)
	return p, err == nil, err
}

// Abandon gives back the heap that the task's inputs hold; the task must not be used after it.
func (t *Task) Abandon() {
	t.hold(-t.heap)
	t.Held(-entryCost * int64(max(t.addresses-t.limits.addresses, 0)))
	t.functions, t.addresses = map[protocol.TypeName]*function{}, 0
}
