// Package record lays out the value that travels through every system under measure.
//
//	0        8        16       24                        Size
//	| count  | seq    | sent   | filler                  |
//
// All numbers are big endian. The producer leaves count zero; the function writes the address' count into it,
// so that each output proves by itself which state its call has seen.
package record

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Size is the length of every value in bytes.
const Size = 100

// header is the length of the numbers in front of the filler.
const header = 24

// filler is drawn once: not compressible, so that no system is flattered by its client's compression.
var filler = draw()

func draw() [Size]byte {
	var b [Size]byte
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// New returns the value of input number seq, handed in at the time sent.
func New(seq uint64, sent time.Time) []byte {
	b := make([]byte, Size)
	copy(b[header:], filler[header:])
	binary.BigEndian.PutUint64(b[8:], seq)
	binary.BigEndian.PutUint64(b[16:], uint64(sent.UnixNano()))
	return b
}

// SetCount writes the count into the value b in place.
func SetCount(b []byte, count int64) { binary.BigEndian.PutUint64(b, uint64(count)) }

// Parsed is what a value says.
type Parsed struct {
	Count int64
	Seq   uint64
	Sent  time.Time
}

// Parse reads the value b.
func Parse(b []byte) (Parsed, error) {
	if len(b) != Size {
		return Parsed{}, fmt.Errorf("value of %d bytes, want %d", len(b), Size)
	}
	return Parsed{
		Count: int64(binary.BigEndian.Uint64(b)),
		Seq:   binary.BigEndian.Uint64(b[8:]),
		Sent:  time.Unix(0, int64(binary.BigEndian.Uint64(b[16:]))),
	}, nil
}

// ID is the key of the id with this number.
func ID(n uint32) string { return "id-" + strconv.FormatUint(uint64(n), 10) }
