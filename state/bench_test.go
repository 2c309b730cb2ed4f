package state

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// benchRows is how many rows the store has: as many as a test run can bear, or those given.
var benchRows = func() int {
	if n, err := strconv.Atoi(os.Getenv("STATE_BENCH_ROWS")); err == nil {
		return n
	}
	return 100_000
}()

func benchKey(dst []byte, i int) []byte {
	return binary.BigEndian.AppendUint64(append(dst[:0], 's', 2, 'x'), uint64(i)*0x9E3779B97F4A7C15)
}

// benchStore opens a store on disk with n rows of 11-byte keys and 100-byte values in 16 partitions.
func benchStore(b *testing.B, n int) (Options, *Store) {
	b.Helper()
	o := Options{Dir: b.TempDir(), ApplicationID: "app"}
	s := mustOpen(b, o)
	fill(b, s, n)
	return o, s
}

func fill(b *testing.B, s *Store, n int) {
	const batch = 5000
	rows, value := make([]Row, batch), make([]byte, 100)
	for i := range rows {
		rows[i].Value = value
	}
	for from := 0; from < n; from += batch {
		for i := range rows {
			rows[i].Key = benchKey(rows[i].Key, from+i)
		}
		mustApply(b, s, Change{Partition: int32(from / batch % 16), Rows: rows, Position: at(int64(from))})
	}
}

func BenchmarkApply(b *testing.B) {
	o := Options{Dir: b.TempDir(), ApplicationID: "app"}
	s := mustOpen(b, o)
	b.ReportAllocs()
	for b.Loop() {
		fill(b, s, benchRows)
		for p := range int32(16) {
			if err := s.Wipe(p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*benchRows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkOpen(b *testing.B) {
	o, s := benchStore(b, benchRows)
	for b.Loop() {
		b.StopTimer() // closing waits for compactions of what was just written
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		s = mustOpen(b, o)
		if err := s.Scan(0, []byte{'s'}, []byte{'t'}, 1, func(_, _ []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	_, s := benchStore(b, benchRows)
	rows := 0
	for b.Loop() {
		for p := range int32(16) {
			if err := s.Scan(p, nil, nil, 0, func(_, _ []byte) error { rows++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkGet(b *testing.B) {
	_, s := benchStore(b, benchRows)
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		i := rand.IntN(benchRows)
		key = benchKey(key, i)
		var found bool
		var err error
		if value, found, err = s.GetTo(value[:0], int32(i/5000%16), key); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}
