package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Change is what one commit, or a part of a replay, does to one partition.
type Change struct {
	Partition int32
	Rows      []Row    // in order: of two rows with one key the later counts
	Position  Position // where the partition stands with them
}

// Apply makes the changes, rows and positions together: after a crash all of them are there or none. It does not wait
// for the disk. A position may not go back, nor change its changelog topic; Wipe comes before that.
func (s *Store) Apply(changes []Change) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	size, rows, err := s.checkChanges(changes)
	if err != nil {
		return err
	}
	b := s.db.NewBatchWithSize(size)
	for _, c := range changes {
		if err := addChange(b, c); err != nil {
			return fmt.Errorf("apply a change to the state folder %s: %w", s.dir, err)
		}
	}
	s.debt.add(rows, int64(b.Len()))
	if err := s.commit(b); err != nil {
		return err
	}
	s.positionsMu.Lock()
	defer s.positionsMu.Unlock()
	for _, c := range changes {
		s.positions[c.Partition] = c.Position.toMillisecond()
	}
	return nil
}

// Wipe removes all rows of a partition and its position.
func (s *Store) Wipe(p int32) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := checkPartition(p); err != nil {
		return err
	}
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	// Not Excise: that is on disk at once, before batches of other partitions that came earlier.
	err := errors.Join(
		b.DeleteRange(rowKey(nil, p, nil), rowKey(nil, p+1, nil), nil),
		b.Delete(positionKey(p), nil))
	if err != nil {
		return fmt.Errorf("wipe partition %d of the state folder %s: %w", p, s.dir, err)
	}
	s.debt.add(1, int64(b.Len()))
	if err := s.commit(b); err != nil {
		return err
	}
	s.positionsMu.Lock()
	defer s.positionsMu.Unlock()
	delete(s.positions, p)
	return nil
}

// checkChanges returns how large a batch of the changes will be.
func (s *Store) checkChanges(changes []Change) (size int, rows int64, err error) {
	const rowOverhead = 2 + 11 // partition, kind, two lengths
	size = 12                  // Pebble's batch header
	for i, c := range changes {
		if err := checkPartition(c.Partition); err != nil {
			return 0, 0, err
		}
		if err := s.checkPosition(changes[:i], c); err != nil {
			return 0, 0, err
		}
		for _, r := range c.Rows {
			if len(r.Key) == 0 {
				return 0, 0, fmt.Errorf("partition %d has a row without a key", c.Partition)
			}
			size += rowOverhead + len(r.Key) + len(r.Value)
		}
		size += rowOverhead + positionKeyBytes + positionRowBytes
		rows += int64(len(c.Rows))
	}
	return size, rows, nil
}

// checkPosition compares the position of c with the one before it, which may be in the same batch.
func (s *Store) checkPosition(earlier []Change, c Change) error {
	before, known := s.position(c.Partition)
	for _, e := range earlier {
		if e.Partition == c.Partition {
			before, known = e.Position, true
		}
	}
	if !known {
		return nil
	}
	if !bytes.Equal(before.TopicID[:], c.Position.TopicID[:]) {
		return fmt.Errorf("partition %d holds rows of changelog topic id %x and is given rows of %x: it has to be wiped first",
			c.Partition, before.TopicID, c.Position.TopicID)
	}
	if c.Position.Offset < before.Offset {
		return fmt.Errorf("partition %d stands at changelog offset %d and is given older rows, up to offset %d",
			c.Partition, before.Offset, c.Position.Offset)
	}
	return nil
}

// addChange copies the change into the batch; Deferred spares an allocation a row.
func addChange(b *pebble.Batch, c Change) error {
	for _, r := range c.Rows {
		var op *pebble.DeferredBatchOp
		if r.Value == nil {
			op = b.DeleteDeferred(prefixBytes + len(r.Key))
		} else {
			op = b.SetDeferred(prefixBytes+len(r.Key), len(r.Value))
			copy(op.Value, r.Value)
		}
		binary.BigEndian.PutUint16(op.Key, uint16(c.Partition))
		copy(op.Key[prefixBytes:], r.Key)
		if err := op.Finish(); err != nil {
			return fmt.Errorf("add a row of partition %d: %w", c.Partition, err)
		}
	}
	return b.Set(positionKey(c.Partition), appendPosition(nil, c.Position), nil)
}

// commit hands the batch to the writer. When the store fails meanwhile, the batch stays with the writer.
func (s *Store) commit(b *pebble.Batch) error {
	select {
	case s.batches <- b:
	case <-s.failed:
		return s.failure
	}
	select {
	case err := <-s.results:
		if err != nil {
			s.fail(err)
			return s.failure
		}
		return nil
	case <-s.failed:
		return s.failure
	}
}

// writeBatches is the writer; it ends when batches is closed. It asks for a flush only after the caller has its
// result, so that the caller does not wait for one.
func (s *Store) writeBatches() {
	defer close(s.writerDone)
	for b := range s.batches {
		err := b.Commit(pebble.NoSync)
		if err == nil {
			err = b.Close()
		}
		s.results <- err
		if err != nil || !s.debt.flushDue() {
			continue
		}
		if _, err := s.db.AsyncFlush(); err != nil {
			s.fail(err)
		}
	}
}
