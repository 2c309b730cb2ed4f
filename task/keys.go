package task

import (
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// keyRoom is the room for the key of an address's row besides its last part: the kind, the three strings of the
// address, and the lengths of all strings while they are short. It only spares the growth of the key.
func keyRoom(a *protocol.Address) int {
	const kindAndLengths = 5
	return kindAndLengths + len(a.Type.Namespace) + len(a.Type.Name) + len(a.ID)
}

func valueKey(a protocol.Address, name string) []byte {
	return state.AppendValueKey(make([]byte, 0, keyRoom(&a)+len(name)), a, name)
}

func expiryKey(a protocol.Address, name string) []byte {
	return state.AppendExpiryKey(make([]byte, 0, keyRoom(&a)+len(name)), a, name)
}

func pendingKey(a protocol.Address, seq uint64) []byte {
	const seqBytes = 8
	return state.AppendPendingKey(make([]byte, 0, keyRoom(&a)+seqBytes), a, seq)
}

func pendingRow(target protocol.Address, invocation []byte, arrivedMillis int64) []byte {
	const versionAndTime = 9
	row := make([]byte, 0, versionAndTime+protocol.SizeEnvelope(target, len(invocation)))
	row = state.AppendPending(row, state.Pending{Arrived: time.UnixMilli(arrivedMillis)})
	return protocol.AppendEnvelope(row, protocol.Envelope{Target: target, Invocation: invocation})
}
