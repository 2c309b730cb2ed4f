package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	crashPartitions = 4
	crashKeys       = 120
	crashRows       = 20  // of one partition in one batch
	flushedBatches  = 100 // so many are flushed before the first crash
)

// crashBatch is what batch n does to partition p; it follows from its numbers, so that the state after n batches does.
func crashBatch(p int32, n int64) Change {
	rng := rand.New(rand.NewPCG(uint64(p), uint64(n)))
	c := Change{Partition: p, Position: at(n)}
	for range crashRows {
		key := fmt.Appendf(nil, "k%03d", rng.IntN(crashKeys))
		if rng.IntN(5) == 0 {
			c.Rows = append(c.Rows, Row{Key: key})
			continue
		}
		value := make([]byte, 100)
		binary.BigEndian.PutUint64(value, uint64(n))
		c.Rows = append(c.Rows, Row{Key: key, Value: value})
	}
	return c
}

// crashRowsUpTo returns by key the batch of the row that the first n batches left.
func crashRowsUpTo(p int32, n int64) map[string]uint64 {
	rows := map[string]uint64{}
	for i := int64(1); i <= n; i++ {
		for _, r := range crashBatch(p, i).Rows {
			if rows[string(r.Key)] = uint64(i); r.Value == nil {
				delete(rows, string(r.Key))
			}
		}
	}
	return rows
}

// surviving checks that each partition holds what its batches up to its position left, and returns the positions.
func surviving(t *testing.T, s *Store) (upTo [crashPartitions]int64) {
	t.Helper()
	for p := range int32(crashPartitions) {
		pos, _, err := s.Position(p)
		if err != nil {
			t.Fatal(err)
		}
		want := crashRowsUpTo(p, pos.Offset)
		err = s.Scan(p, nil, nil, 0, func(key, value []byte) error {
			if n := binary.BigEndian.Uint64(value); want[string(key)] != n {
				return fmt.Errorf("partition %d at %d: %s is of batch %d, want %d", p, pos.Offset, key, n, want[string(key)])
			}
			delete(want, string(key))
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Fatalf("partition %d at %d: %v, %d keys are missing", p, pos.Offset, err, len(want))
		}
		upTo[p] = pos.Offset
	}
	return upTo
}

// A power loss in the middle of writes and flushes leaves a prefix of the batches: in each partition the rows belong to
// the position, and of a batch with two partitions both are there or neither.
func TestAPowerLossLeavesAPrefixOfTheBatches(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 6 {
		mem := vfs.NewCrashableMem()
		o := Options{Dir: "state", FS: mem, ApplicationID: "app", CacheBytes: 4 << 20, MemTableBytes: 128 << 10}
		s := mustOpen(t, o)
		stop, first := make(chan struct{}), make(chan struct{})
		var writers sync.WaitGroup
		for pair := range int32(crashPartitions / 2) {
			writers.Go(func() { writePairs(t, s, 2*pair, first, stop) })
		}
		<-first
		for range 4 {
			crashed := o
			crashed.FS = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
			checkCrash(t, crashed)
		}
		close(stop)
		writers.Wait()
		surviving(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkCrash opens what a crash after a flush left.
func checkCrash(t *testing.T, crashed Options) {
	t.Helper()
	s := mustOpen(t, crashed)
	upTo := surviving(t, s)
	for p := 0; p < crashPartitions; p += 2 {
		if upTo[p] != upTo[p+1] {
			t.Fatalf("half of a batch survived: %v", upTo)
		}
	}
	if upTo[0] < flushedBatches {
		t.Fatalf("flushed batches are gone: %v", upTo)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// writePairs applies batches to p and p+1 until it is stopped; once some are flushed it says so.
func writePairs(t *testing.T, s *Store, p int32, first chan<- struct{}, stop <-chan struct{}) {
	for n := int64(1); ; n++ {
		if err := s.Apply([]Change{crashBatch(p, n), crashBatch(p+1, n)}); err != nil {
			t.Error(err)
			return
		}
		if n == flushedBatches {
			if err := s.db.Flush(); err != nil {
				t.Error(err)
			}
			if p == 0 {
				close(first)
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// A crash never brings a wiped partition back in part, nor does it take what was written after the wipe without it.
func TestAWipeIsABatchAsAnyOther(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{Dir: "state", FS: mem, ApplicationID: "app"}
	s := mustOpen(t, o)
	mustApply(t, s, Change{Partition: 0, Rows: []Row{row("k", "old"), row("l", "old")}, Position: at(7)})
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, Change{Partition: 1, Rows: []Row{row("k", "other")}, Position: at(1)})
	if err := s.Wipe(0); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, Change{Partition: 0, Rows: []Row{row("k", "new")}, Position: at(3)})
	check := func(fact string, offset, other int64, rows ...string) {
		crashed := o
		crashed.FS = mem.CrashClone(vfs.CrashCloneCfg{})
		again := mustOpen(t, crashed)
		pos, _, err := again.Position(0)
		otherPos, _, otherErr := again.Position(1)
		got := dump(t, again, 0, nil, nil, 0)
		if fmt.Sprint(got) != fmt.Sprint(rows) || pos.Offset != offset || otherPos.Offset != other || errors.Join(err, otherErr) != nil {
			t.Errorf("%s: %q at %d, the other partition at %d, %v, %v", fact, got, pos.Offset, otherPos.Offset, err, otherErr)
		}
	}
	check("not flushed", 7, 0, "k=old", "l=old")
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	check("flushed", 3, 1, "k=new")
}
