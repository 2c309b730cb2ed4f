package state

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Position is where a partition stands in its changelog.
type Position struct {
	Offset  int64     // the next changelog offset to replay
	TopicID [16]byte  // of the changelog topic: one created anew has other rows at the same offsets
	Level   time.Time // when the partition was last known to be level with the changelog's end; to the millisecond
}

// The row of a position. It is in Pebble only, behind the number that is no partition:
//
//	key      0xff 0xff partition:2
//	value    1 offset:8 topic-id:16 level:8
const (
	positionKeyBytes = 4
	positionRowBytes = 1 + 8 + 16 + 8
)

func positionKey(p int32) []byte {
	return binary.BigEndian.AppendUint16([]byte{positionsSpace >> 8, positionsSpace & 0xff}, uint16(p))
}

func parsePositionKey(key []byte) (int32, error) {
	if len(key) != positionKeyBytes || binary.BigEndian.Uint16(key) != positionsSpace {
		return 0, fmt.Errorf("read the key of a position: %w", errMalformed)
	}
	return int32(binary.BigEndian.Uint16(key[prefixBytes:])), nil
}

func appendPosition(dst []byte, p Position) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, rowVersion), uint64(p.Offset))
	return appendTime(append(dst, p.TopicID[:]...), p.Level)
}

func parsePosition(row []byte) (Position, error) {
	r := newRowReader("position", row)
	p := Position{Offset: int64(r.uint64())}
	copy(p.TopicID[:], r.take(uint64(len(p.TopicID))))
	p.Level = r.time()
	return p, r.end()
}

// toMillisecond returns the position as it would be read back.
func (p Position) toMillisecond() Position {
	p.Level = time.UnixMilli(p.Level.UnixMilli()).UTC()
	return p
}
