package task

import (
	"unsafe"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// layer is an ordered set of rows that are not in the store yet, the last write of a key only.
type layer struct {
	rows  []state.Row
	index map[string]int
	bytes int
	spare []state.Row // the memory of rows that went, empty
}

func (l *layer) put(key, value []byte) {
	if l.index == nil {
		l.index = map[string]int{}
	}
	if i, is := l.index[string(key)]; is {
		l.bytes += len(value) - len(l.rows[i].Value)
		l.rows[i].Value = value
		return
	}
	l.bytes += len(key) + len(value)
	// The key's bytes are never written again, so the index may share them.
	l.index[unsafe.String(unsafe.SliceData(key), len(key))] = len(l.rows)
	if l.rows == nil {
		l.rows, l.spare = l.spare, nil
	}
	l.rows = append(l.rows, state.Row{Key: key, Value: value})
}

func (l *layer) get(key []byte) (value []byte, known bool) {
	i, known := l.index[string(key)]
	if !known {
		return nil, false
	}
	return l.rows[i].Value, true
}

func (l *layer) reset() {
	clear(l.rows)
	l.spare = l.rows[:0]
	l.rows, l.bytes = nil, 0
	clear(l.index)
}

// overlay is what the task has decided on top of the store: the rows of the running transaction and, above
// them, those collected since its cut. Below both lie the rows of the last transaction that was committed: the store has
// them too, and nothing has changed them since, so an address that is called again soon is spared a look there.
type overlay struct {
	collecting, committing, recent layer
}

func (o *overlay) put(key, value []byte) { o.collecting.put(key, value) }

// get gives the row of a key; known is false when only the store can tell. A nil value is a tombstone.
func (o *overlay) get(key []byte) (value []byte, known bool) {
	if value, known = o.collecting.get(key); known {
		return value, known
	}
	if value, known = o.committing.get(key); known {
		return value, known
	}
	return o.recent.get(key)
}

// cut hands out the collected rows; they stay readable until committed.
func (o *overlay) cut() []state.Row {
	o.collecting, o.committing = o.committing, o.collecting
	return o.committing.rows
}

// recentBytes bounds the rows of the last transaction that stay in memory, a partition; those of a larger one are read from
// the store.
const recentBytes = 1 << 20

// committed says that the rows of the transaction are in the store now.
func (o *overlay) committed() {
	o.recent.reset()
	o.recent, o.committing = o.committing, o.recent
	if o.recent.bytes > recentBytes {
		o.recent = layer{}
	}
}
