package task

import (
	"iter"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// function is what the mailboxes of one function type in a task share, so that each has a pointer in place of it.
type function struct {
	Type protocol.TypeName
	Task *Task

	backlog   int                 // inputs that are not done: in memory, only in the store, or in a call
	mailboxes map[string]*Mailbox // by id
	most      int                 // mailboxes since the map was made
}

// Target is the address of a mailbox.
type Target struct {
	*function
	ID string
}

// Address is the target as everybody else has it.
func (a Target) Address() protocol.Address { return protocol.Address{Type: a.Type, ID: a.ID} }

// String returns namespace/name/id.
func (a Target) String() string { return a.Address().String() }

// entryCost is what the entry of an address holds of the heap without any input: the mailbox, its place in the map, the
// id, and its place in a ready queue.
const entryCost = 192

// Addresses is the number of addresses that have an entry in memory: their inputs wait, be it on disk, or are in a call,
// or they failed.
func (t *Task) Addresses() int { return t.addresses }

// find gives the mailbox of an address, nil when it has none.
func (t *Task) find(a protocol.Address) *Mailbox {
	f := t.functions[a.Type]
	if f == nil {
		return nil
	}
	return f.mailboxes[a.ID]
}

// mailbox gives the mailbox of an address, a new one when it has none.
func (t *Task) mailbox(a protocol.Address) *Mailbox {
	f := t.functions[a.Type]
	if f == nil {
		f = &function{Type: a.Type, Task: t, mailboxes: map[string]*Mailbox{}}
		t.functions[a.Type] = f
	}
	m := f.mailboxes[a.ID]
	if m == nil {
		m = &Mailbox{Target: Target{f, a.ID}}
		f.mailboxes[a.ID] = m
		f.most = max(f.most, len(f.mailboxes))
		if t.addresses++; t.addresses > t.limits.addresses {
			t.Held(entryCost)
		}
	}
	return m
}

const (
	// emptyKept bounds the addresses for which the map of a function keeps its memory when the last one goes.
	emptyKept = 4096
	// typesKept bounds the functions that are kept when their last address goes: functions may make names up.
	typesKept = 1024
)

// remove forgets a mailbox.
func (t *Task) remove(m *Mailbox) {
	f := m.function
	delete(f.mailboxes, m.ID)
	switch {
	case len(f.mailboxes) > 0:
	case len(t.functions) > typesKept:
		delete(t.functions, f.Type)
	case f.most > emptyKept:
		f.mailboxes, f.most = map[string]*Mailbox{}, 0
	}
	if t.addresses--; t.addresses >= t.limits.addresses {
		t.Held(-entryCost)
	}
}

// slim lets go of the memory that the id of a mailbox shares with the type's name and with a message that is gone.
func (m *Mailbox) slim() {
	m.ID = strings.Clone(m.ID)
	m.mailboxes[m.ID] = m
}

// all visits the mailboxes.
func (t *Task) all() iter.Seq[*Mailbox] {
	return func(yield func(*Mailbox) bool) {
		for _, f := range t.functions {
			for _, m := range f.mailboxes {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// Backlog visits the number of inputs that are not done of each function type that has any here. It may visit others.
func (t *Task) Backlog(visit func(fn protocol.TypeName, inputs int)) {
	for fn, f := range t.functions {
		visit(fn, f.backlog)
	}
}
