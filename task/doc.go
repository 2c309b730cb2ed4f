// Package task decides, for one partition, what each arrival leads to: which function is called with which
// state, and what its answer changes. It does no I/O of its own, starts no goroutine and reads no clock: the
// store is read through a two-method interface and time comes in as an argument.
//
// One goroutine, the worker's loop, owns every Task. It goes round like this:
//
//	Arrive, Deliver, Fire   an input joins the queue of its address
//	Take                    an address that is ready gives a Call: its first inputs and what is known of its state
//	Complete, Request       on the call's own goroutine: the rest of the state, the request's bytes
//	Check, Apply            the answer, whole or not at all: state, delayed messages, inputs finished
//	Cut                     what was collected becomes changelog rows, with one progress row a source
//	Committed               the rows are in the store; what was copied may leave memory
//
// An input that lies in a topic stays there until it is done. It becomes a pending row, a copy in the changelog,
// only when it was born inside the worker or must let its source move on, and the pending rows of an address are
// always a prefix of its queue: recovery hands out pending rows first and reads topics after them, so a row
// behind an input that is read again would overtake it.
package task
