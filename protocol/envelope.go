package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An Envelope is one message on its way to its target. Invocation is the encoded ToFunction.Invocation
// (caller, absent for ingress; argument), so it is spliced into requests and rows and never decoded on the way.
type Envelope struct {
	Target     Address
	Invocation []byte
}

// envelopeVersion is the first byte of every stored envelope.
const envelopeVersion = 1

var errTruncated = errors.New("the bytes end too early")

// ErrNewer marks what a newer version of this program has stored or sent: a worker stops there instead of guessing.
// It is a promise to the reader that nothing was changed, with the way out.
var ErrNewer = errors.New("it was written by a newer version of statefun-kafka, nothing of it was touched: run that version here, or a later one")

// The stored form, ours alone:
//
//	version   1 byte, 1
//	namespace uvarint length, bytes
//	name      uvarint length, bytes
//	id        uvarint length, bytes
//	rest      the Invocation

// UnknownVersion is the error for a format's version byte that is not the one this build reads; a higher one is
// ErrNewer.
func UnknownVersion(version, known byte) error {
	if version > known {
		return fmt.Errorf("version %d is unknown, this build reads %d: %w", version, known, ErrNewer)
	}
	return fmt.Errorf("version %d is unknown, this build reads %d: no version of statefun-kafka wrote it", version, known)
}

// AppendEnvelope appends the stored form of e.
func AppendEnvelope(dst []byte, e Envelope) []byte {
	dst = append(dst, envelopeVersion)
	dst = appendPrefixed(dst, e.Target.Type.Namespace)
	dst = appendPrefixed(dst, e.Target.Type.Name)
	dst = appendPrefixed(dst, e.Target.ID)
	return append(dst, e.Invocation...)
}

// SizeEnvelope is the number of bytes that AppendEnvelope appends for an Invocation of that size.
func SizeEnvelope(target Address, invocation int) int {
	return 1 + sizePrefixed(target.Type.Namespace) + sizePrefixed(target.Type.Name) + sizePrefixed(target.ID) + invocation
}

// CheckEnvelope refuses the stored form, which is not empty, when it is of another version than this build's.
func CheckEnvelope(b []byte) error {
	if b[0] != envelopeVersion {
		return fmt.Errorf("parse envelope: %w", UnknownVersion(b[0], envelopeVersion))
	}
	return nil
}

// ParseEnvelope reads the stored form; Invocation is a view of b.
func ParseEnvelope(b []byte) (Envelope, error) {
	if len(b) == 0 {
		return Envelope{}, fmt.Errorf("parse envelope: %w", errTruncated)
	}
	if err := CheckEnvelope(b); err != nil {
		return Envelope{}, err
	}
	rest := b[1:]
	var part [3][]byte
	for i := range part {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return Envelope{}, fmt.Errorf("parse envelope: %w", errTruncated)
		}
		end := n + int(size)
		part[i], rest = rest[n:end], rest[end:]
	}
	return Envelope{Target: newAddress(part[0], part[1], part[2]), Invocation: rest[:len(rest):len(rest)]}, nil
}

func appendPrefixed(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func sizePrefixed(s string) int {
	n := len(s) + 1
	for size := len(s); size >= 0x80; size >>= 7 {
		n++
	}
	return n
}
