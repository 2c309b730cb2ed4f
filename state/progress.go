package state

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Run is a range of offsets; both ends belong to it.
type Run struct {
	From, To int64
}

// Progress is how far one source is done: everything below the position, and the finished offsets from there on.
type Progress struct {
	TopicID     [16]byte // of the source's topic: a topic created anew starts at 0 again
	Position    int64
	Finished    []Run  // ascending, none below the position; runs that touch come back as one
	Transaction string // the id of the transaction that carries the row
	Time        time.Time
}

// The form byte of a progress row says how its finished offsets are written.
const (
	formRuns   byte = 'r'
	formBitmap byte = 'm'
)

// The value of a progress row:
//
//	1 topic-id:16 position:8 time:8 string(transaction) form:1 finished…
//
//	form 'r': uvarint(runs), and for each run uvarint(offsets since the end of the one before; for the first, since
//	          the position) uvarint(length - 1)
//	form 'm': a bit for each offset from the position on, the lowest bit of a byte first; the last byte is not 0
//
// The smaller form is written: out of 65,536 offsets of which every other one is finished, runs would take 64 KiB
// and the bitmap takes 8 KiB; of a single one far from the position, the runs take a few bytes.

// AppendProgress appends the row value of p to dst. It panics when the finished offsets are not ascending or lie
// below the position: such a row would make the next owner skip inputs or run them twice.
func AppendProgress(dst []byte, p Progress) []byte {
	dst = append(append(dst, rowVersion), p.TopicID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Position))
	dst = appendString(appendTime(dst, p.Time), p.Transaction)
	checkRuns(p)
	bitmap := bitmapBytes(p)
	if runs := runsBytes(p, bitmap); runs <= bitmap {
		return appendRuns(append(dst, formRuns), p)
	}
	return appendBitmap(append(dst, formBitmap), p, bitmap)
}

// ParseProgress is the reverse of AppendProgress.
func ParseProgress(row []byte) (Progress, error) {
	r := newRowReader("progress", row)
	p := Progress{}
	copy(p.TopicID[:], r.take(uint64(len(p.TopicID))))
	p.Position, p.Time, p.Transaction = int64(r.uint64()), r.time(), r.string()
	if p.Position < 0 {
		r.fail()
	}
	switch form := r.byte(); form {
	case formRuns:
		p.Finished = r.runs(p.Position)
	case formBitmap:
		p.Finished = r.bitmap(p.Position)
	default:
		r.fail()
	}
	return p, r.end()
}

func checkRuns(p Progress) {
	next := p.Position
	for _, run := range p.Finished {
		if run.From < next || run.To < run.From || run.To == math.MaxInt64 {
			panic(fmt.Sprintf("finished offsets %d to %d are out of order: at least %d is due", run.From, run.To, next))
		}
		next = run.To + 1
	}
}

// eachRun calls visit with the runs of p, those that touch as one.
func eachRun(p Progress, visit func(Run)) {
	for i := 0; i < len(p.Finished); {
		run := p.Finished[i]
		for i++; i < len(p.Finished) && p.Finished[i].From == run.To+1; i++ {
			run.To = p.Finished[i].To
		}
		visit(run)
	}
}

func bitmapBytes(p Progress) int64 {
	if len(p.Finished) == 0 {
		return 0
	}
	return (p.Finished[len(p.Finished)-1].To-p.Position)/8 + 1
}

// runsBytes returns the size of the runs form, or any number above limit as soon as it is known to be above it.
func runsBytes(p Progress, limit int64) int64 {
	if len(p.Finished) == 0 {
		return 0
	}
	var n, count int64
	next := p.Position
	eachRun(p, func(run Run) {
		if n <= limit {
			n += uvarintBytes(run.From-next) + uvarintBytes(run.To-run.From)
		}
		next = run.To + 1
		count++
	})
	return n + uvarintBytes(count)
}

func uvarintBytes(v int64) int64 {
	n := int64(1)
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendRuns(dst []byte, p Progress) []byte {
	count := uint64(0)
	eachRun(p, func(Run) { count++ })
	dst = binary.AppendUvarint(dst, count)
	next := p.Position
	eachRun(p, func(run Run) {
		dst = binary.AppendUvarint(dst, uint64(run.From-next))
		dst = binary.AppendUvarint(dst, uint64(run.To-run.From))
		next = run.To + 1
	})
	return dst
}

func (r *rowReader) runs(position int64) []Run {
	count := r.uvarint()
	if count == 0 {
		return nil
	}
	if count > uint64(len(r.rest))/2 { // each run takes two bytes at least
		r.fail()
		return nil
	}
	runs := make([]Run, 0, count)
	for next := uint64(position); count > 0 && r.err == nil; count-- {
		gap, more := r.uvarint(), r.uvarint()
		if gap == 0 && len(runs) > 0 || gap > math.MaxInt64-next || more >= math.MaxInt64-next-gap {
			r.fail()
			return nil
		}
		from := next + gap
		runs = append(runs, Run{From: int64(from), To: int64(from + more)})
		next = from + more + 1
	}
	return runs
}

func appendBitmap(dst []byte, p Progress, size int64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, size)...)
	bits := dst[start:]
	for _, run := range p.Finished {
		for at := run.From - p.Position; at <= run.To-p.Position; at++ {
			bits[at/8] |= 1 << (at % 8)
		}
	}
	return dst
}

func (r *rowReader) bitmap(position int64) []Run {
	bits := r.remaining()
	if len(bits) == 0 || bits[len(bits)-1] == 0 || position >= math.MaxInt64-8*int64(len(bits)) {
		r.fail()
		return nil
	}
	var runs []Run
	for i := range 8 * int64(len(bits)) {
		if bits[i/8]>>(i%8)&1 == 0 {
			continue
		}
		at := position + i
		if n := len(runs); n > 0 && runs[n-1].To == at-1 {
			runs[n-1].To = at
			continue
		}
		runs = append(runs, Run{From: at, To: at})
	}
	return runs
}
