package task

import "container/heap"

// parkedHeap has the parked mailboxes, the one that is tried again first on top.
type parkedHeap []*Mailbox

func (h parkedHeap) Len() int           { return len(h) }
func (h parkedHeap) Less(i, j int) bool { return h[i].retryAt < h[j].retryAt }
func (h parkedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface's.
func (h *parkedHeap) Push(x any) { *h = append(*h, x.(*Mailbox)) }

// Pop is heap.Interface's.
func (h *parkedHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h *parkedHeap) push(m *Mailbox) { heap.Push(h, m) }

// Parked is the number of addresses whose last call failed: they wait to be tried again, or are being tried.
func (t *Task) Parked() int { return t.troubled }

// Resume makes the parked addresses ready whose time has come.
func (t *Task) Resume(nowMillis int64) {
	for len(t.parked) > 0 && t.parked[0].retryAt <= nowMillis {
		m := heap.Pop(&t.parked).(*Mailbox)
		m.retryAt = 0
		t.ready(m)
	}
}

// NextMillis is when the task has something to do by itself: a parked address or a delayed message. It is 0 when
// there is nothing.
func (t *Task) NextMillis() int64 {
	next := int64(0)
	if len(t.parked) > 0 {
		next = t.parked[0].retryAt
	}
	if at, is := t.timers.next(); is && (next == 0 || at < next) {
		next = max(at, 1)
	}
	return next
}

// toDisk makes rows of all inputs of a mailbox that will not be called soon, and takes them out of memory.
func (t *Task) toDisk(m *Mailbox) {
	if n := m.memory(); n > 0 && m.at(n-1).seq != 0 && len(t.committing.rows) == 0 {
		t.release(t.relieved(m, 0)) // all is in the changelog already: a transaction would say nothing new
		return
	}
	t.spill(m)
}

// Return gives the inputs of a call back that failed because its endpoint is down for everybody: they are the next
// that the address is called with, and the failure is not held against it.
func (t *Task) Return(c *Call) {
	c.Mailbox.returned = true
	t.giveBack(c.Mailbox)
}

// giveBack makes a mailbox ready whose call came to nothing.
func (t *Task) giveBack(m *Mailbox) {
	m.flight = nil
	if m.attempts > 0 {
		t.spill(m) // a troubled address holds nobody's window: not even with what arrived during its call
	}
	t.ready(m)
}

// Suspect tells an address whose last call failed, or was given back because its endpoint is down: it may be its own
// fault.
func (m *Mailbox) Suspect() bool { return m.attempts > 0 || m.returned }

// Hold keeps the inputs of a ready mailbox on disk until it is called, because its endpoint is down: they become rows
// at the next cut and leave memory after it, so that they hold neither a source's position nor the read budget. It
// returns how many inputs that may be.
func (t *Task) Hold(m *Mailbox) (inputs int) {
	if !m.queued || m.held {
		return 0
	}
	m.held = true
	inputs = m.memory()
	t.toDisk(m)
	return inputs
}

// Shelve keeps a mailbox's inputs without calling it: they become rows, so that they hold no source's position.
func (t *Task) Shelve(m *Mailbox) {
	m.queued = false
	m.retryAt = never
	t.shelved++
	m.attempts = max(m.attempts, 1)
	t.spill(m)
}

// Shelved is the number of addresses whose inputs are kept and not called.
func (t *Task) Shelved() int { return t.shelved }

// never is a time for a retry that does not come.
const never = int64(1) << 62
