package balance

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// followVersion is the first byte of an encoded follow list.
const followVersion = 1

// encodeFollows encodes a member's follow list:
//
//	version 1 | count | count × ((partition - previous partition) << 1 | warm-up)
//
// as in AppendLocal.
func encodeFollows(follows []Follow) []byte {
	follows = slices.SortedFunc(slices.Values(follows), func(a, b Follow) int { return cmp.Compare(a.Partition, b.Partition) })
	b := binary.AppendUvarint([]byte{followVersion}, uint64(len(follows)))
	previous := int32(0)
	for _, f := range follows {
		v := uint64(f.Partition-previous) << 1
		if f.WarmUp {
			v |= 1
		}
		b = binary.AppendUvarint(b, v)
		previous = f.Partition
	}
	return b
}

// parseFollows decodes what encodeFollows wrote. A list that is absent or of a version that this worker does not know
// is empty, not an error: a leader of a newer release must not keep this worker from its partitions.
func parseFollows(b []byte) ([]Follow, error) {
	if len(b) == 0 || b[0] != followVersion {
		return nil, nil
	}
	r := &reader{rest: b[1:]}
	count := r.count()
	follows := make([]Follow, 0, count)
	partitions := ascending{r: r}
	for range count {
		v := r.number(math.MaxInt32<<1 | 1)
		follows = append(follows, Follow{Partition: partitions.next(v >> 1), WarmUp: v&1 == 1})
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("parse follow list: %w", err)
	}
	return follows, nil
}
