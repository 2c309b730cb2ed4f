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

// Parked is the number of addresses that wait to be tried again.
func (t *Task) Parked() int { return len(t.parked) }

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
