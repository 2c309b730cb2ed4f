package worker

import (
	"context"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// stage is where an owned partition stands: restoring → running → revoking. From each of them it can be lost.
type stage uint8

const (
	restoring stage = iota
	running
	revoking
)

// String names the stage for logs and metrics.
func (s stage) String() string { return [...]string{"restoring", "running", "revoking"}[s] }

// partition is what the worker holds of a partition that is assigned to it. Only the loop touches it.
type partition struct {
	id      int32
	stage   stage
	task    *task.Task // of a running or revoking partition
	mailbox *task.Source
	sources []source  // that have a progress row
	cutAt   time.Time // of the last transaction that touched it
	path

	boxes    map[string]*box // of the outbox, by target
	lanes    context.Context // of their deliveries
	endLanes context.CancelFunc
	stowed   bool // something was put into the outbox since the last cut
}

// pathState is how messages of this worker's other partitions travel to a running partition.
type pathState uint8

const (
	// viaMailbox: through the mailbox topic, as to another worker's partition. So it is after any take-over, because
	// the sender's previous owner may have written messages there that are not read yet (H4).
	viaMailbox pathState = iota
	// switching: nothing more is written to the mailbox, what is sent is held until all that may lie there is read.
	switching
	// local: straight into the task.
	local
)

// path leads to one running partition.
type path struct {
	state pathState
	since time.Time // of the switch
	turn  uint64    // tells this switch from earlier ones
	end   int64     // of the mailbox, to be read before held messages are delivered
	known bool      // end is
	held  []protocol.Envelope
}

// partitionStore is the view that a task has of the store.
type partitionStore struct {
	store *state.Store
	id    int32
}

// Get is task.Store's.
func (s partitionStore) Get(key []byte) ([]byte, error) { return s.store.Get(s.id, key) }

// Scan is task.Store's.
func (s partitionStore) Scan(from, to []byte, limit int, visit func(key, value []byte) error) error {
	return s.store.Scan(s.id, from, to, limit, visit)
}
