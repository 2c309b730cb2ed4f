package task

import "github.com/statefun-kafka/statefun-kafka/state"

// Put collects a row on which the worker has decided, not the task: it is in the next cut with the effects that were
// applied beside it. The task never reads it.
func (t *Task) Put(r state.Row) { t.put(r.Key, r.Value) }

// Number gives a number that no row of the partition has had. A row has to be Put after it, or the number may be given
// again after the next restore.
func (t *Task) Number() uint64 { return t.nextSeq() }
