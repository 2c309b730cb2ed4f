package state

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// CheckVersion refuses a row of the changelog that a newer version of this program has written: of a kind or in a
// format that this build does not know. It looks at no more than that. A row that came into the store unseen would be
// found much later, when the partition is already being worked on without it.
func CheckVersion(r Row) error {
	kind := r.Key[0]
	switch kind {
	case KindBarrier, KindIngress, KindToken, KindOutbox, KindPending, KindProgress, KindValue, KindTimer, KindExpiry:
	default:
		return fmt.Errorf("a row of the unknown kind %q: %w", kind, protocol.ErrNewer)
	}
	if len(r.Value) == 0 {
		return nil
	}
	if r.Value[0] != rowVersion {
		return fmt.Errorf("a row of kind %q: %w", kind, protocol.UnknownVersion(r.Value[0], rowVersion))
	}
	rest := reader{rest: r.Value[1:]}
	switch kind {
	case KindPending:
		rest.uint64()
	case KindTimer:
		rest.take(rest.uvarint())
		rest.take(rest.uvarint())
	default:
		return nil
	}
	if len(rest.rest) == 0 {
		return nil
	}
	if err := protocol.CheckEnvelope(rest.rest); err != nil {
		return fmt.Errorf("a row of kind %q: %w", kind, err)
	}
	return nil
}
