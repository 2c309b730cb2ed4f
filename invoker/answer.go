package invoker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// headBytes bounds the status line and headers of an answer, with the interim answers before it, and the
// trailers behind it.
const headBytes = 64 << 10

// An encoding is the content-encoding of an answer.
type encoding uint8

const (
	plain encoding = iota
	gzipped
	deflated
	unknownEncoding
)

// An answer reads one HTTP/1.1 answer. It is reset by readHead and used again for the next one.
type answer struct {
	status      int
	keepAlive   bool
	contentType []byte // several headers joined by commas
	location    []byte
	encoding    encoding
	length      int64 // as the header says; -1: not said
	chunked     bool

	body   body
	budget int // bytes that the head may still take
}

// readHead reads up to the first byte of the body. Interim answers (1xx) are skipped.
func (a *answer) readHead(r *bufio.Reader) error {
	a.budget = headBytes
	for {
		if err := a.readStatus(r); err != nil {
			return err
		}
		for {
			more, err := a.readHeader(r)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
		if a.status/100 != 1 {
			return a.beginBody(r)
		}
		if a.status == 101 {
			return fmt.Errorf("%w: the server switches protocols, which nobody asked for", errMalformed)
		}
	}
}

// readStatus reads the line HTTP/1.x NNN reason.
func (a *answer) readStatus(r *bufio.Reader) error {
	line, _, err := readLine(r, &a.budget)
	if err != nil {
		return err
	}
	*a = answer{contentType: a.contentType[:0], location: a.location[:0], length: -1, budget: a.budget, body: a.body}
	const form = "HTTP/1.x NNN"
	if len(line) < len(form) || string(line[:7]) != "HTTP/1." || (line[7] != '0' && line[7] != '1') || line[8] != ' ' || (len(line) > len(form) && line[12] != ' ') {
		return fmt.Errorf("%w: status line %.60q is not HTTP/1.1", errMalformed, line)
	}
	status, ok := parseDecimal(line[9:12])
	if !ok || status < 100 {
		return fmt.Errorf("%w: status line %.60q has no status", errMalformed, line)
	}
	a.status = int(status)
	a.keepAlive = line[7] == '1'
	return nil
}

// readHeader reads one header line; more is false at the empty line behind the last.
func (a *answer) readHeader(r *bufio.Reader) (more bool, err error) {
	line, whole, err := readLine(r, &a.budget)
	if err != nil {
		return false, noEOF(err)
	}
	if len(line) == 0 {
		return false, nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || bytes.ContainsAny(line[:colon], " \t") {
		return false, fmt.Errorf("%w: header line %.60q", errMalformed, line)
	}
	set := a.setter(line[:colon])
	if set == nil {
		return true, skipLine(r, whole, &a.budget)
	}
	if !whole {
		return false, fmt.Errorf("%w: the header %.60q is longer than %d bytes", errMalformed, line[:colon], readerBytes)
	}
	return true, set(a, bytes.TrimSpace(line[colon+1:]))
}

// setter returns what takes the value of a header, nil for those that do not matter.
func (a *answer) setter(name []byte) func(*answer, []byte) error {
	switch {
	case equalFold(name, "content-length"):
		return (*answer).setLength
	case equalFold(name, "content-type"):
		return (*answer).setContentType
	case equalFold(name, "connection"):
		return (*answer).setConnection
	case equalFold(name, "transfer-encoding"):
		return (*answer).setTransferEncoding
	case equalFold(name, "content-encoding"):
		return (*answer).setEncoding
	case equalFold(name, "location"):
		return (*answer).setLocation
	default:
		return nil
	}
}

func (a *answer) setLength(value []byte) error {
	n, ok := parseDecimal(value)
	if !ok || (a.length >= 0 && a.length != n) {
		return fmt.Errorf("%w: content-length %.60q", errMalformed, value)
	}
	a.length = n
	return nil
}

func (a *answer) setContentType(value []byte) error {
	if len(a.contentType) > 0 {
		a.contentType = append(a.contentType, ',')
	}
	a.contentType = append(a.contentType, value...)
	return nil
}

func (a *answer) setConnection(value []byte) error {
	for item := range bytes.SplitSeq(value, []byte{','}) {
		switch item = bytes.TrimSpace(item); {
		case equalFold(item, "close"):
			a.keepAlive = false
		case equalFold(item, "keep-alive"):
			a.keepAlive = true
		}
	}
	return nil
}

func (a *answer) setTransferEncoding(value []byte) error {
	if a.chunked || !equalFold(value, "chunked") {
		return fmt.Errorf("%w: transfer-encoding %.60q", errMalformed, value)
	}
	a.chunked = true
	return nil
}

func (a *answer) setEncoding(value []byte) error {
	was := a.encoding
	switch {
	case equalFold(value, "identity"), len(value) == 0:
		return nil
	case equalFold(value, "gzip"), equalFold(value, "x-gzip"):
		a.encoding = gzipped
	case equalFold(value, "deflate"):
		a.encoding = deflated
	default:
		a.encoding = unknownEncoding
	}
	if was != plain {
		a.encoding = unknownEncoding
	}
	return nil
}

func (a *answer) setLocation(value []byte) error {
	a.location = append(a.location[:0], value...)
	return nil
}

// beginBody decides how the end of the body will be known.
func (a *answer) beginBody(r *bufio.Reader) error {
	a.body = body{r: r, budget: headBytes}
	b := &a.body
	switch {
	case a.status == 204 || a.status == 304:
		b.ended = true
	case a.chunked:
		b.chunked = true
		if a.length >= 0 {
			// Both lengths: whoever stands between may believe the other. The connection ends here.
			a.keepAlive = false
		}
	case a.length >= 0:
		b.left = a.length
		b.ended = a.length == 0
	default:
		b.toClose = true
		a.keepAlive = false
	}
	return nil
}

// reusable says whether the connection stands at the beginning of another answer.
func (a *answer) reusable() bool {
	return a.keepAlive && a.body.ended && a.body.r.Buffered() == 0
}

// readLine reads up to a line feed and returns the line without its end. whole is false when the line is
// longer than the reader's buffer; then it is the beginning of the line. An io.EOF means that not one byte came.
func readLine(r *bufio.Reader, budget *int) (line []byte, whole bool, err error) {
	line, err = r.ReadSlice('\n')
	if *budget -= len(line); *budget < 0 {
		return nil, false, fmt.Errorf("%w: the headers are longer than %d bytes", errMalformed, headBytes)
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line, false, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, false, io.ErrUnexpectedEOF
	case err != nil:
		return nil, false, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, true, nil
}

// skipLine skips the rest of a line that readLine did not return whole.
func skipLine(r *bufio.Reader, whole bool, budget *int) (err error) {
	for !whole && err == nil {
		_, whole, err = readLine(r, budget)
	}
	return noEOF(err)
}

// noEOF turns an end of file in the middle of something into the error for that.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseDecimal reads a number of digits alone, which is stricter than strconv.
func parseDecimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// equalFold compares b with a lower-case ASCII text and allocates nothing.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
