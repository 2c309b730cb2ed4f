package invoker

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"
)

// trustBytes is how much memory a length in an answer gets before its bytes are there. Beyond it the
// memory grows with what comes, so that a false length costs nothing.
const trustBytes = 1 << 20

// A body reads the bytes between the head of an answer and its end. It is an io.Reader and io.ByteReader
// for the decoders.
type body struct {
	r       *bufio.Reader
	left    int64 // of the content, or of the chunk
	chunked bool
	began   bool // a chunk was read: a line end comes before the next one's size
	toClose bool // the end is where the connection is closed
	ended   bool
	budget  int   // bytes that trailers may still take
	read    int64 // so far, encoded
	limit   int64
	failed  error // of the connection or the framing, not of what a decoder makes of it
	share   share // of the heap
}

// piece returns how many bytes of the body come in one piece, -1 when nobody knows, and io.EOF at the end.
func (b *body) piece() (int64, error) {
	if b.chunked && b.left == 0 && !b.ended {
		b.failed = b.nextChunk()
	}
	switch {
	case b.failed != nil:
		return 0, b.failed
	case b.ended:
		return 0, io.EOF
	case b.left > b.limit-b.read:
		b.failed = b.tooLarge()
		return 0, b.failed
	case b.toClose:
		return -1, nil
	}
	return b.left, nil
}

func (b *body) tooLarge() error {
	return fmt.Errorf("%w: more than %d bytes (payload_max_bytes)", errAnswerTooLarge, b.limit)
}

// nextChunk reads the size of the next chunk, and the trailers behind the last.
func (b *body) nextChunk() error {
	line := readerBytes // a chunk's line end and size line; extensions included
	if b.began {
		if end, _, err := readLine(b.r, &line); err != nil || len(end) > 0 {
			return chunkError("a chunk does not end where its size says", err)
		}
	}
	b.began = true
	text, whole, err := readLine(b.r, &line)
	if err != nil || !whole {
		return chunkError("the size line of a chunk is too long", err)
	}
	size, ok := parseChunkSize(text)
	if !ok {
		return chunkError(fmt.Sprintf("chunk size %.60q", text), nil)
	}
	b.left = size
	if size > 0 {
		return nil
	}
	for {
		text, whole, err := readLine(b.r, &b.budget)
		if err != nil {
			return noEOF(err)
		}
		if len(text) == 0 {
			b.ended = true
			return nil
		}
		if err := skipLine(b.r, whole, &b.budget); err != nil {
			return err
		}
	}
}

func chunkError(what string, err error) error {
	if err != nil {
		return noEOF(err)
	}
	return fmt.Errorf("%w: %s", errMalformed, what)
}

// parseChunkSize reads hexadecimal digits; an extension may follow behind a semicolon or spaces.
func parseChunkSize(line []byte) (int64, bool) {
	var n int64
	digits := 0
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		case c == ';' || c == ' ' || c == '\t':
			return n, digits > 0
		default:
			return 0, false
		}
		if digits++; digits > 15 {
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, digits > 0
}

// took notes n bytes read and the error of reading them.
func (b *body) took(n int, err error) error {
	b.read += int64(n)
	switch {
	case b.toClose && errors.Is(err, io.EOF):
		b.ended = true
		return err
	case b.toClose && b.read > b.limit:
		err = b.tooLarge()
	case !b.toClose:
		b.left -= int64(n)
		if b.left == 0 {
			b.ended = !b.chunked
			return nil
		}
	}
	b.failed = noEOF(err)
	return b.failed
}

// Read reads the encoded bytes.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.piece()
	if err != nil {
		return 0, err
	}
	if n >= 0 {
		p = p[:min(int64(len(p)), n)]
	}
	m, err := b.r.Read(p)
	return m, b.took(m, err)
}

// ReadByte reads one of the encoded bytes.
func (b *body) ReadByte() (byte, error) {
	if _, err := b.piece(); err != nil {
		return 0, err
	}
	c, err := b.r.ReadByte()
	if err != nil {
		return 0, b.took(0, err)
	}
	return c, b.took(1, nil)
}

// readBody returns the decoded body, in memory of its own, of up to limit bytes.
func (a *answer) readBody(limit int64) ([]byte, error) {
	b := &a.body
	b.limit = limit
	switch a.encoding {
	case plain:
		return b.all()
	case unknownEncoding:
		return nil, fmt.Errorf("%w: the content-encoding is neither gzip nor deflate", errMalformed)
	default:
		return a.decode()
	}
}

// all reads a body that is not encoded. One whose length is known takes one allocation of that length.
func (b *body) all() ([]byte, error) {
	got := []byte{}
	for {
		n, err := b.piece()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return nil, err
		}
		var m int
		if n < 0 {
			if got, err = b.roomToRead(got); err != nil {
				return nil, err
			}
			m, err = b.r.Read(got[len(got):cap(got)])
		} else {
			if got, err = b.room(got, n); err != nil {
				return nil, err
			}
			m, err = io.ReadFull(b.r, got[len(got):min(int64(cap(got)), int64(len(got))+n)])
		}
		got = got[:len(got)+m]
		if err := b.took(m, err); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
}

// room makes room behind got for the n bytes of a piece, or for so many of them as can be trusted to come.
func (b *body) room(got []byte, n int64) ([]byte, error) {
	have, used := int64(cap(got)), int64(len(got))
	if have-used >= min(n, trustBytes) {
		return got, nil
	}
	size := min(used+n, max(used+trustBytes, 2*have))
	if b.chunked { // many small pieces must not copy the whole each time
		size = max(size, 2*have)
	}
	return b.moved(got, size)
}

// roomToRead makes room behind got when nobody knows how much will come.
func (b *body) roomToRead(got []byte) ([]byte, error) {
	if len(got) < cap(got) {
		return got, nil
	}
	return b.moved(got, int64(max(readerBytes, 2*cap(got))))
}

// moved gives got in memory of so many bytes, once there is room for it.
func (b *body) moved(got []byte, size int64) ([]byte, error) {
	if err := b.share.grow(size); err != nil {
		b.failed = err
		return nil, err
	}
	return append(make([]byte, 0, size), got...), nil
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// decode reads an encoded body. The limit holds for the bytes on the wire and for those they become.
func (a *answer) decode() ([]byte, error) {
	b := &a.body
	var source io.Reader
	var err error
	if a.encoding == gzipped {
		z := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(z)
		source, err = z, z.Reset(b)
	} else {
		source, err = inflate(b)
	}
	got := []byte{}
	for err == nil {
		if got, err = b.roomToRead(got); err != nil {
			return nil, err
		}
		var n int
		n, err = source.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
		if int64(len(got)) > b.limit {
			return nil, b.tooLarge()
		}
	}
	if errors.Is(err, io.EOF) {
		// A decoder may stop before the end of the body, which the connection has to reach.
		if _, err = b.ReadByte(); errors.Is(err, io.EOF) {
			return got, nil
		}
	}
	switch {
	case b.failed != nil:
		return nil, b.failed
	case err == nil:
		return nil, fmt.Errorf("%w: bytes behind the end of the encoded body", errMalformed)
	default:
		return nil, fmt.Errorf("%w: decode the body: %w", errMalformed, err)
	}
}

// inflate reads what HTTP calls deflate: zlib by the standard, bare deflate by custom.
func inflate(b *body) (io.Reader, error) {
	var start [2]byte
	n, err := io.ReadFull(b, start[:])
	if err != nil && n == 0 {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(start[:n]), b)
	if n == 2 && start[0]&0x0f == 8 && (uint(start[0])<<8|uint(start[1]))%31 == 0 {
		return zlib.NewReader(whole)
	}
	return flate.NewReader(whole), nil
}
