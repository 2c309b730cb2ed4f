package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// A key in Pebble: the partition in two bytes, then the row's key. 0xffff is no partition: behind it lie the positions.
const (
	prefixBytes    = 2
	positionsSpace = 0xffff
	// MaxPartition is the highest partition number that a store can keep.
	MaxPartition = positionsSpace - 1
)

// rowKey appends the Pebble key of a row to dst.
func rowKey(dst []byte, p int32, key []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(p)), key...)
}

func checkPartition(p int32) error {
	if p < 0 || p > MaxPartition {
		return fmt.Errorf("partition %d is out of range: a state folder keeps the partitions 0 to %d", p, MaxPartition)
	}
	return nil
}

// keyBuffers spares reads an allocation for the key with its prefix.
var keyBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Get returns the value of a row, nil when there is none. The value is the caller's.
func (s *Store) Get(p int32, key []byte) ([]byte, error) {
	value, found, err := s.GetTo(nil, p, key)
	if found && value == nil {
		value = []byte{}
	}
	return value, err
}

// GetTo appends the value of a row to dst and says whether there is one.
func (s *Store) GetTo(dst []byte, p int32, key []byte) ([]byte, bool, error) {
	if err := s.enter(); err != nil {
		return dst, false, err
	}
	defer s.leave()
	if err := checkPartition(p); err != nil {
		return dst, false, err
	}
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = rowKey((*buf)[:0], p, key)
	value, closer, err := s.db.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, s.readError(p, err)
	}
	dst = append(dst, value...)
	if err := closer.Close(); err != nil {
		return dst, false, s.readError(p, err)
	}
	return dst, true, nil
}

// Scan visits the rows of a partition with from ≤ key < to in the order of their keys; a nil from begins and a nil to
// ends with the partition. It stops after limit rows (0: no limit), or when visit returns an error, which it returns.
// Key and value are valid until visit returns. To go on where a scan stopped, begin at the last key and a zero byte.
func (s *Store) Scan(p int32, from, to []byte, limit int, visit func(key, value []byte) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := checkPartition(p); err != nil {
		return err
	}
	upper := rowKey(nil, p+1, nil)
	if to != nil {
		upper = rowKey(nil, p, to)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: rowKey(nil, p, from), UpperBound: upper})
	if err != nil {
		return s.readError(p, err)
	}
	n := 0
	for ok := it.First(); ok && (limit <= 0 || n < limit); ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return closeAfter(it, s.readError(p, err))
		}
		if err := visit(it.Key()[prefixBytes:], value); err != nil {
			return closeAfter(it, err)
		}
		n++
	}
	if err := it.Close(); err != nil {
		return s.readError(p, err)
	}
	return nil
}

// closeAfter closes an iterator that stopped with err, which it returns as it is.
func closeAfter(it *pebble.Iterator, err error) error {
	if closeErr := it.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// Position returns where a partition stands, false when the store has nothing of it.
func (s *Store) Position(p int32) (Position, bool, error) {
	if err := s.enter(); err != nil {
		return Position{}, false, err
	}
	defer s.leave()
	if err := checkPartition(p); err != nil {
		return Position{}, false, err
	}
	pos, ok := s.position(p)
	return pos, ok, nil
}

// Positions returns where each partition stands of which the store has something.
func (s *Store) Positions() map[int32]Position {
	s.positionsMu.RLock()
	defer s.positionsMu.RUnlock()
	return maps.Clone(s.positions)
}

func (s *Store) position(p int32) (Position, bool) {
	s.positionsMu.RLock()
	defer s.positionsMu.RUnlock()
	pos, ok := s.positions[p]
	return pos, ok
}

func (s *Store) readError(p int32, err error) error {
	return fmt.Errorf("read partition %d of the state folder %s: %w: %s", p, s.dir, err, wayOut(err))
}
