package task

import "github.com/statefun-kafka/statefun-kafka/protocol"

// backlog counts the inputs of each function type that are not done: in memory, only in the store, or in a call. A type
// that has none left stays with 0, so that whoever shows the count learns of it.
type backlog map[protocol.TypeName]*int

// of gives the counter of a type, which a mailbox keeps.
func (b backlog) of(fn protocol.TypeName) *int {
	n := b[fn]
	if n == nil {
		n = new(int)
		b[fn] = n
	}
	return n
}

// Backlog visits the number of inputs that are not done of each function type that ever had any here.
func (t *Task) Backlog(visit func(fn protocol.TypeName, inputs int)) {
	for fn, n := range t.backlog {
		visit(fn, *n)
	}
}
