package task

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// Store is what a task reads of the rows that are committed: those of its own partition.
type Store interface {
	// Get gives a row's value, nil when there is none.
	Get(key []byte) ([]byte, error)
	// Scan visits at most limit rows of [from, to) in key order.
	Scan(from, to []byte, limit int, visit func(key, value []byte) error) error
}

// Config is what a task is made of.
type Config struct {
	Partition int32
	Store     Store
	Registry  *Registry
	// Ready is told of each mailbox that has inputs and no call; it is told once until the mailbox is taken.
	Ready func(*Mailbox)
	// InputsInMemory is how many inputs of one address stay in memory once they are copied; 0: 1,024.
	InputsInMemory int
	// Held is told how much heap inputs, and the entries of very many addresses, take (positive) or give back (negative).
	Held func(bytes int64)
}

// Task is one partition while this worker owns it. Only the worker's loop touches it. The pointer is the
// ownership epoch: what was begun for another Task value of the same partition is dropped.
type Task struct {
	Config
	overlay
	limits    limits
	functions map[protocol.TypeName]*function
	addresses int   // mailboxes of all functions
	heap      int64 // that inputs hold
	sources   []*Source
	timers    timers
	seq       uint64 // of the next pending or timer row
	touched   bool   // something was decided since the last cut that needs one

	born                  []*Mailbox // mailboxes with inputs that were born inside and have no row
	spills                []*Mailbox // mailboxes whose inputs become rows at the next cut
	bornInputs, bornBytes int        // inputs born inside without a row: the next cut makes rows of those that are left

	partial []partial // records some of whose inputs are done and some not
	parked  parkedHeap
	evicts  []*Mailbox // mailboxes to be relieved of stored rows once the cut is committed
	rows    Rows
	shelved int // addresses
	// troubled addresses are those whose last call failed, whether they wait to be tried again or are being tried.
	troubled int
	expiry   sweeper
}

// Rows counts the pending rows of a partition.
type Rows struct {
	Pending int   // inputs that are copied into the changelog
	Stored  int   // those of them that are only on disk
	Bytes   int64 // of the invocations of all of them
}

type partial struct {
	source *Source
	number uint64
}

// New gives a task without sources; Restore and AddSource make it whole.
func New(c Config) *Task {
	t := &Task{Config: c, limits: defaultLimits, functions: map[protocol.TypeName]*function{}}
	if c.InputsInMemory > 0 {
		t.limits.inputs = c.InputsInMemory
	}
	t.timers.horizon = timerRef{fireAt: -1}
	return t
}

// AddSource lets the task read a topic partition.
func (t *Task) AddSource(s *Source) { t.sources = append(t.sources, s) }

// Begin adds a source that has no progress row yet: the next cut writes one. It must not be read before that is
// committed, or another start could be found after a crash.
func (t *Task) Begin(s *Source) {
	s.moved, t.touched = true, true
	t.AddSource(s)
}

// Sources are the topic partitions that the task reads.
func (t *Task) Sources() []*Source { return t.sources }

// Touched reports whether something was decided since the last cut.
func (t *Task) Touched() bool { return t.touched }

// Rows counts the pending rows.
func (t *Task) Rows() Rows { return t.rows }

// Collected is the number and the size of the rows collected since the last cut.
func (t *Task) Collected() (rows, bytes int) {
	return len(t.collecting.rows) + t.bornInputs, t.collecting.bytes + t.bornBytes
}

// put collects a row; a nil value deletes.
func (t *Task) put(key, value []byte) {
	t.overlay.put(key, value)
	t.touched = true
}

// lookup gives a row as the task sees it: collected, in the running transaction, or in the store.
func (t *Task) lookup(key []byte) ([]byte, error) {
	if value, known := t.overlay.get(key); known {
		return value, nil
	}
	value, err := t.Store.Get(key)
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", t.Partition, err)
	}
	return value, nil
}

// Touch makes the next cut write the progress of the partition though nothing else was decided.
func (t *Task) Touch() { t.touched = true }

// Arrive takes in the record at offset of a source with one envelope for each of its targets. None at all means
// that the record is done: dropped by policy, or handed on.
func (t *Task) Arrive(s *Source, offset int64, envelopes []protocol.Envelope, nowMillis int64) {
	number, fresh := s.read(offset, len(envelopes))
	if !fresh {
		return
	}
	if len(envelopes) == 0 {
		t.touched = true
		return
	}
	for i := range envelopes {
		m := t.mailbox(envelopes[i].Target)
		if len(envelopes) > 1 {
			s.shared[number] = append(s.shared[number], m)
		}
		t.push(m, input{invocation: envelopes[i].Invocation, source: s, number: number, arrived: nowMillis})
	}
}

// Deliver takes in a message that was born inside this worker.
func (t *Task) Deliver(e protocol.Envelope, nowMillis int64) {
	m := t.mailbox(e.Target)
	t.push(m, input{invocation: e.Invocation, arrived: nowMillis})
	t.bornInputs++
	t.bornBytes += len(e.Invocation)
	if !m.born {
		m.born = true
		t.born = append(t.born, m)
	}
	t.touched = true
}

func (t *Task) push(m *Mailbox, in input) {
	m.push(in)
	m.backlog++
	t.hold(in.cost())
	if (m.attempts > 0 || m.held) && m.flight == nil {
		t.spill(m) // a parked address holds nobody's window: its new inputs become rows as well
	}
	t.ready(m)
}

// ready tells the worker of a mailbox that can be called.
func (t *Task) ready(m *Mailbox) {
	if m.queued || m.flight != nil || m.retryAt > 0 || m.Waiting() == 0 {
		return
	}
	m.queued = true
	t.Ready(m)
}

// release forgets a mailbox that has nothing left. A list may still have one that was forgotten already and has a
// successor of the same address, which must stay.
func (t *Task) release(m *Mailbox) {
	if m.flight == nil && !m.queued && m.Waiting() == 0 && m.attempts == 0 && m.mailboxes[m.ID] == m {
		t.remove(m)
	}
}

// hold notes heap that inputs take, or give back when it is negative.
func (t *Task) hold(bytes int64) {
	t.heap += bytes
	t.Held(bytes)
}

// spill makes the inputs of a mailbox rows at the next cut, and takes them out of memory after it.
func (t *Task) spill(m *Mailbox) {
	if m.spill {
		return
	}
	m.spill = true
	t.spills = append(t.spills, m)
	t.touched = true
}

// unborn notes that an input that was born inside and has no row is done, or gets its row.
func (t *Task) unborn(in *input) {
	if in.source == nil && in.seq == 0 {
		t.bornInputs--
		t.bornBytes -= len(in.invocation)
	}
}

// finishInput marks an input done: its pending row goes, or its share of a record.
func (t *Task) finishInput(m *Mailbox, in *input) {
	t.hold(-in.cost())
	m.backlog--
	t.unborn(in)
	if in.seq != 0 {
		t.put(pendingKey(m.Address(), in.seq), nil)
		m.rows--
		t.rows.Pending--
		t.rows.Bytes -= int64(len(in.invocation))
	}
	if in.source != nil && in.source.finish(in.number) {
		t.partial = append(t.partial, partial{in.source, in.number})
	}
	t.touched = true
}
