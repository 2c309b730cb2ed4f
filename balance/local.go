package balance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Local is what a worker says of itself when it joins.
type Local struct {
	Standbys  int             // standbyReplicas of its module
	Round     uint32          // grows with each wish for a new distribution: metadata that did not change makes no rebalance
	Positions map[int32]int64 // partition → changelog offset up to which its disk has it, what it owns included
	Nonce     string          // of its process
}

// localVersion is the first byte of an encoded Local.
const localVersion = 1

// AppendLocal encodes l behind dst:
//
//	version 1 | standbys | round | count | count × (partition - previous partition, position) | length | nonce
//
// Numbers are unsigned varints, partitions ascend, and the first one's predecessor is 0. A position or partition below
// zero says nothing and is left out.
func AppendLocal(dst []byte, l Local) []byte {
	dst = append(dst, localVersion)
	dst = binary.AppendUvarint(dst, uint64(max(l.Standbys, 0)))
	dst = binary.AppendUvarint(dst, uint64(l.Round))

	partitions := slices.Sorted(maps.Keys(l.Positions))
	partitions = slices.DeleteFunc(partitions, func(p int32) bool { return p < 0 || l.Positions[p] < 0 })
	dst = binary.AppendUvarint(dst, uint64(len(partitions)))
	previous := int32(0)
	for _, p := range partitions {
		dst = binary.AppendUvarint(dst, uint64(p-previous))
		dst = binary.AppendUvarint(dst, uint64(l.Positions[p]))
		previous = p
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.Nonce)))
	return append(dst, l.Nonce...)
}

// ParseLocal decodes what AppendLocal wrote.
func ParseLocal(b []byte) (Local, error) {
	r, err := open(b, localVersion, "member data")
	if err != nil {
		return Local{}, err
	}
	l := Local{}
	l.Standbys = int(r.number(math.MaxInt32))
	l.Round = uint32(r.number(math.MaxUint32))
	count := r.count()
	l.Positions = make(map[int32]int64, count)
	partitions := ascending{r: r}
	for range count {
		p := partitions.next(r.number(math.MaxInt32))
		l.Positions[p] = int64(r.number(math.MaxInt64))
	}
	l.Nonce = r.text()
	if err := r.end(); err != nil {
		return Local{}, fmt.Errorf("parse member data: %w", err)
	}
	return l, nil
}

// MemberLocal reads the Local of a group member from its protocol metadata, as DescribeGroups gives it.
func MemberLocal(protocolMetadata []byte) (Local, error) {
	meta := kmsg.NewConsumerMemberMetadata()
	if err := meta.ReadFrom(protocolMetadata); err != nil {
		return Local{}, fmt.Errorf("read a member's metadata: %w", err)
	}
	return ParseLocal(meta.UserData)
}

var errShort = errors.New("it ends too early")

// reader reads numbers until something is wrong, and keeps the first error.
type reader struct {
	rest []byte
	err  error
}

// open checks the version byte of our user data.
func open(b []byte, version byte, what string) (*reader, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("parse %s: there is none: the member does not run statefun-kafka, or a version without it", what)
	}
	if b[0] != version {
		return nil, fmt.Errorf("parse %s: it has version %d, this worker knows version %d: run the same release everywhere", what, b[0], version)
	}
	return &reader{rest: b[1:]}, nil
}

func (r *reader) fail(err error) uint64 {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
	return 0
}

// number reads one number, at most limit.
func (r *reader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	switch {
	case n == 0:
		return r.fail(errShort)
	case n < 0 || v > limit:
		return r.fail(fmt.Errorf("a number is above its limit of %d", limit))
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many items follow. Each takes a byte at least, so a false count cannot make us allocate much.
func (r *reader) count() int {
	n := r.number(math.MaxInt32)
	if n > uint64(len(r.rest)) {
		return int(r.fail(errShort))
	}
	return int(n)
}

// text reads a length and as many bytes.
func (r *reader) text() string {
	n := r.count()
	text := string(r.rest[:min(n, len(r.rest))])
	r.rest = r.rest[len(text):]
	return text
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.rest))
	}
	return r.err
}

// ascending turns the distances between ascending partitions back into partitions.
type ascending struct {
	r       *reader
	last    uint64
	started bool
}

func (a *ascending) next(distance uint64) int32 {
	if a.started && distance == 0 {
		a.r.fail(errors.New("a partition is there twice"))
	}
	if a.last += distance; a.last > math.MaxInt32 {
		a.r.fail(fmt.Errorf("a partition is above its limit of %d", math.MaxInt32))
		return 0
	}
	a.started = true
	return int32(a.last)
}
