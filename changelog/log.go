package changelog

import (
	"fmt"
	"time"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Log is what Kafka says of one changelog partition.
type Log struct {
	TopicID            [16]byte
	Start, End         int64         // the first offset there is; the one that the next record gets
	TombstoneRetention time.Duration // the topic's delete.retention.ms; 0: not compared
}

// Stale returns why a store with that position must be wiped and restored from the log's start, empty when replay can
// begin at the position.
func (l Log) Stale(p state.Position, now time.Time) string {
	switch {
	case p.TopicID != l.TopicID:
		return fmt.Sprintf("the changelog was created anew: its topic id is %x, the state on disk is from %x", l.TopicID, p.TopicID)
	case p.Offset < l.Start:
		return fmt.Sprintf("the changelog begins at offset %d, the state on disk ends before %d", l.Start, p.Offset)
	case p.Offset > l.End:
		return fmt.Sprintf("the changelog ends before offset %d, the state on disk goes up to %d", l.End, p.Offset)
	case l.TombstoneRetention > 0 && now.Sub(p.Level) >= l.TombstoneRetention:
		return fmt.Sprintf("the state on disk was level with the changelog at %s, longer ago than the %v that tombstones are kept",
			p.Level.Format(time.RFC3339), l.TombstoneRetention)
	}
	return ""
}
