package task

import "cmp"

// inputCost is what an input holds of the heap besides its payload: its place in a queue, the id's string and a
// share of its mailbox. Limits count it, because a hundred thousand small inputs weigh more than their bytes.
const inputCost = 160

// input is one message that waits for its address or is in its call.
type input struct {
	invocation []byte
	source     *Source // nil: born inside the worker, or its pending row has taken its source's place
	number     uint64  // of its record in source
	seq        uint64  // of its pending row, 0: none
	arrived    int64   // milliseconds
}

func (in *input) cost() int64 { return int64(inputCost + len(in.invocation)) }

// Mailbox is the queue of one address with the call that is in flight for it.
//
// The queue is head, then the rows that are only in the store, then tail. As long as nothing is only in the
// store, all is in head. Inputs with a pending row are a prefix of the queue.
//
// There may be millions of mailboxes whose inputs are all in the store, so what few of them need is small or lies
// elsewhere: TestAWaitingAddressIsSmall.
type Mailbox struct {
	Target

	head       []input
	tail       *[]input // nil: nothing
	storedSeq  uint64   // seq below which the stored rows have been loaded
	flight     *Call    // has the first inputs of head
	retryAt    int64
	stored     int32 // rows between head and tail that are only in the store
	rows       int32 // inputs with a pending row
	attempts   int32 // failures in a row
	batchLimit int32 // of the next call, after one that fewer inputs may not have failed; 0: none
	queued     bool
	born       bool // has inputs that were born inside and have no row, maybe
	spill      bool // become rows at the next cut and leave memory after it
	relieve    bool // leave memory to the last input, though the address is ready
	returned   bool // its last call was given back, because its endpoint is down
	held       bool // its endpoint is down: what it has, and what comes, becomes rows and leaves memory
}

// Attempts is the number of calls in a row that failed.
func (m *Mailbox) Attempts() int { return int(m.attempts) }

// Waiting is the number of inputs that are not in a call.
func (m *Mailbox) Waiting() int { return m.memory() + int(m.stored) - m.taken() }

// taken is the number of inputs that are in the call: the first of head.
func (m *Mailbox) taken() int {
	if m.flight == nil {
		return 0
	}
	return len(m.flight.inputs)
}

// behind is the part of the queue that came after the stored rows.
func (m *Mailbox) behind() []input {
	if m.tail == nil {
		return nil
	}
	return *m.tail
}

func (m *Mailbox) setBehind(inputs []input) {
	if m.tail = nil; len(inputs) > 0 {
		m.tail = &inputs
	}
}

// Fresh reports whether what waits first was born inside this worker since the last cut. If its call comes before
// the next one, no pending row of it is ever written.
func (m *Mailbox) Fresh() bool {
	taken := m.taken()
	return len(m.head) > taken && m.head[taken].source == nil && m.head[taken].seq == 0
}

func (m *Mailbox) push(in input) {
	if m.stored == 0 {
		m.head = append(m.head, in)
		return
	}
	if m.tail == nil {
		m.tail = new([]input)
	}
	*m.tail = append(*m.tail, in)
}

// memory is the number of inputs in memory, in queue order.
func (m *Mailbox) memory() int { return len(m.head) + len(m.behind()) }

// at gives the i-th input in memory.
func (m *Mailbox) at(i int) *input {
	if i < len(m.head) {
		return &m.head[i]
	}
	return &(*m.tail)[i-len(m.head)]
}

// find gives the place in memory of a record's input.
func (m *Mailbox) find(s *Source, number uint64) int {
	for i := range m.memory() {
		if in := m.at(i); in.source == s && in.number == number {
			return i
		}
	}
	return -1
}

// compare orders mailboxes by their addresses: what a task decides must not hang on the order of a map.
func (m *Mailbox) compare(other *Mailbox) int {
	return cmp.Or(cmp.Compare(m.ID, other.ID), cmp.Compare(m.Type.Name, other.Type.Name), cmp.Compare(m.Type.Namespace, other.Type.Namespace))
}

// firstOf gives the first input that is still in a source: its oldest one, as the others arrived after it.
func (m *Mailbox) firstOf(s *Source) *input {
	for i := range m.memory() {
		if in := m.at(i); in.source == s {
			return in
		}
	}
	return nil
}

// headKept bounds the inputs for which an empty head keeps its memory.
const headKept = 64

// drop removes the first n inputs of head, which are done. What is left moves to the front if it is no more than they
// were: so the memory is used again, and moving an input costs no more than bringing it did.
func (m *Mailbox) drop(n int) {
	if left := len(m.head) - n; left <= n {
		copy(m.head, m.head[n:])
		clear(m.head[left:])
		m.head = m.head[:left]
	} else {
		clear(m.head[:n])
		m.head = m.head[n:]
	}
	switch {
	case len(m.head) > 0 || m.stored > 0:
	case m.tail != nil:
		m.head, m.tail = *m.tail, nil
	case cap(m.head) > headKept:
		m.head = nil
	}
}

// evict takes the stored rows behind the first keep inputs out of memory. Call it only when every row is
// committed. It returns the heap that it freed.
func (m *Mailbox) evict(keep int) (freed int64) {
	keep = max(keep, m.taken())
	if m.stored == 0 {
		rows := int(m.rows)
		if rows <= keep || len(m.head) <= keep {
			return 0
		}
		m.storedSeq = m.head[keep].seq
		for i := keep; i < rows; i++ {
			freed += m.head[i].cost()
		}
		m.stored = int32(rows - keep)
		m.setBehind(append([]input(nil), m.head[rows:]...))
		m.head = append([]input(nil), m.head[:keep]...)
		return freed
	}
	if len(m.head) > keep { // what was loaded for a call that failed; before rows in the store all are committed rows (H3)
		m.storedSeq = m.head[keep].seq
		for i := keep; i < len(m.head); i++ {
			freed += m.head[i].cost()
		}
		m.stored += int32(len(m.head) - keep)
		m.head = append([]input(nil), m.head[:keep]...)
	}
	tail, n := m.behind(), 0
	for n < len(tail) && tail[n].seq != 0 {
		freed += tail[n].cost()
		n++
	}
	m.stored += int32(n)
	m.setBehind(append([]input(nil), tail[n:]...))
	return freed
}
