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
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// read reads one answer the way a connection does.
func read(r *bufio.Reader, limit int64) (*answer, []byte, error) {
	a := &answer{}
	if err := a.readHead(r); err != nil {
		return a, nil, err
	}
	body, err := a.readBody(limit)
	return a, body, err
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	w.Close()
	return b.String()
}

func deflatedText(text string, wrapped bool) string {
	var b bytes.Buffer
	var w io.WriteCloser = zlib.NewWriter(&b)
	if !wrapped {
		w, _ = flate.NewWriter(&b, 9)
	}
	_, _ = io.WriteString(w, text)
	w.Close()
	return b.String()
}

// withLength is an answer with the body and its right length.
func withLength(headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s", headers, len(body), body)
}

func TestGoodAnswersAreRead(t *testing.T) {
	long := strings.Repeat("0123456789", 300_000)
	var smallChunks strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&smallChunks, "a\r\n%09d,\r\n", i)
	}
	tests := []struct {
		name, input, body string
		status            int
		reusable          bool
	}{
		{"length", ok("hello"), "hello", 200, true},
		{"length beyond what is trusted", ok(long), long, 200, true},
		{"no body at all", ok(""), "", 200, true},
		{"line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi", 200, true},
		{"no reason", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, true},
		{"the same length twice", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, true},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true},
		{"connection: close", "HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, false},
		{"HTTP/1.0 kept alive", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, true},
		{"until the connection closes", "HTTP/1.1 200 OK\r\n\r\n" + long, long, 200, false},
		{"interim answers are skipped", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + ok("hi"), "hi", 200, true},
		{"chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "hello world", 200, true},
		{"chunk with upper-case size and trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA \r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n", "0123456789", 200, true},
		{"many small chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + smallChunks.String() + "0\r\n\r\n", chunksText(3000), 200, true},
		{"chunks beat a length, and end the connection", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, false},
		{"E17 gzip", withLength("content-encoding: gzip\r\n", zipped(long)), long, 200, true},
		{"E17 deflate in zlib", withLength("content-encoding: deflate\r\n", deflatedText(long, true)), long, 200, true},
		{"E17 deflate bare", withLength("content-encoding: DEFLATE\r\n", deflatedText(long, false)), long, 200, true},
		{"E17 gzip in chunks", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(zipped(long), 100), long, 200, true},
		{"E17 deflate in chunks of a byte", "HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(deflatedText("hello", true), 1), "hello", 200, true},
		{"E17 gzip until the connection closes", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + zipped("hello"), "hello", 200, false},
		{"gzip of nothing", withLength("content-encoding: gzip\r\n", ""), "", 200, true},
		{"identity", withLength("content-encoding: identity\r\n", "hi"), "hi", 200, true},
		{"a long header that does not matter", "HTTP/1.1 200 OK\r\nset-cookie: " + strings.Repeat("x", 20_000) + "\r\ncontent-length: 2\r\n\r\nhi", "hi", 200, true},
		{"bytes behind the answer", ok("hi") + "HTTP/1.1 200 OK\r\n", "hi", 200, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.input), iotest.HalfReader(strings.NewReader(tt.input))} {
				in := bufio.NewReaderSize(r, readerBytes)
				a, body, err := read(in, defaultAnswerBytes)
				if err != nil {
					t.Fatal(err)
				}
				if string(body) != tt.body || a.status != tt.status || a.reusable() != tt.reusable {
					t.Fatalf("status %d, reusable %v, %d bytes %.50q; want %d, %v, %d bytes %.50q", a.status, a.reusable(), len(body), body, tt.status, tt.reusable, len(tt.body), tt.body)
				}
			}
		})
	}
}

func chunksText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%09d,", i)
	}
	return b.String()
}

func chunked(text string, size int) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(size, len(text))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, text[:n])
		text = text[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func TestBadAnswersAreErrors(t *testing.T) {
	const chunkedHead = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
	tests := []struct {
		name, input string
		want        error
	}{
		{"nothing", "", io.EOF},
		{"half a status line", "HTTP/1.1 2", io.ErrUnexpectedEOF},
		{"another protocol", "SSH-2.0-OpenSSH_9.6\r\n", errMalformed},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", errMalformed},
		{"no status", "HTTP/1.1 OK\r\n\r\n", errMalformed},
		{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", errMalformed},
		{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", errMalformed},
		{"binary", "\x00\x01\x02\x03\n", errMalformed},
		{"status line without an end", strings.Repeat("x", 100_000), errMalformed},
		{"headers without an end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 100_000), errMalformed},
		{"one header without an end", "HTTP/1.1 200 OK\r\nx: " + strings.Repeat("x", 100_000), errMalformed},
		{"interim answers without an end", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100_000), errMalformed},
		{"switched protocols", "HTTP/1.1 101 Switching\r\n\r\n", errMalformed},
		{"headers cut", "HTTP/1.1 200 OK\r\ncontent-le", io.ErrUnexpectedEOF},
		{"headers cut between lines", "HTTP/1.1 200 OK\r\n", io.ErrUnexpectedEOF},
		{"header without a colon", "HTTP/1.1 200 OK\r\nhello\r\n\r\n", errMalformed},
		{"header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", errMalformed},
		{"blank before the colon", "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi", errMalformed},
		{"folded header", "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", errMalformed},
		{"length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nhi", errMalformed},
		{"negative length", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi", errMalformed},
		{"length with a sign", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi", errMalformed},
		{"empty length", "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n", errMalformed},
		{"length beyond 64 bits", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", errMalformed},
		{"two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi", errMalformed},
		{"a length of 5,000 digits", "HTTP/1.1 200 OK\r\ncontent-length: " + strings.Repeat("1", 5000) + "\r\n\r\n", errMalformed},
		{"body shorter than its length", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi", io.ErrUnexpectedEOF},
		{"body of a false huge length below the limit", "HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\nhi", io.ErrUnexpectedEOF},
		{"E15 length above the limit", "HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\nhi", errAnswerTooLarge},
		{"unknown transfer-encoding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", errMalformed},
		{"chunked twice", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", errMalformed},
		{"chunk size that is no number", chunkedHead + "x\r\n\r\n", errMalformed},
		{"chunk size of nothing", chunkedHead + "\r\nhi", errMalformed},
		{"chunk size beyond 60 bits", chunkedHead + "ffffffffffffffff\r\nhi", errMalformed},
		{"chunk above the limit", chunkedHead + "7fffffffffffff\r\nhi", errAnswerTooLarge},
		{"chunk longer than its size", chunkedHead + "2\r\nhello\r\n0\r\n\r\n", errMalformed},
		{"chunk cut", chunkedHead + "5\r\nhel", io.ErrUnexpectedEOF},
		{"chunks cut between two", chunkedHead + "5\r\nhello\r\n", io.ErrUnexpectedEOF},
		{"chunks cut before the last line", chunkedHead + "5\r\nhello\r\n0\r\n", io.ErrUnexpectedEOF},
		{"chunk extension without an end", chunkedHead + "5;" + strings.Repeat("x", 10_000), errMalformed},
		{"trailers without an end", chunkedHead + "0\r\n" + strings.Repeat("a: b\r\n", 100_000), errMalformed},
		{"unknown content-encoding", withLength("content-encoding: br\r\n", "hi"), errMalformed},
		{"two content-encodings", withLength("content-encoding: gzip\r\ncontent-encoding: gzip\r\n", "hi"), errMalformed},
		{"gzip that is none", withLength("content-encoding: gzip\r\n", "hello, this is no gzip"), errMalformed},
		{"gzip cut by its length", withLength("content-encoding: gzip\r\n", zipped("hello")[:20]), errMalformed},
		{"gzip with a wrong sum", withLength("content-encoding: gzip\r\n", zipped("hello")[:22]+"xxxxxxxx"), errMalformed},
		{"gzip cut by the connection", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n" + zipped("hello"), io.ErrUnexpectedEOF},
		{"deflate that is none", withLength("content-encoding: deflate\r\n", "\xff\xff\xff"), errMalformed},
		{"deflate with more behind it", withLength("content-encoding: deflate\r\n", deflatedText("x", true)+strings.Repeat("y", 10_000)), errMalformed},
		{"a gzip bomb", withLength("content-encoding: gzip\r\n", zipped(strings.Repeat("0", 40_000_000))), errAnswerTooLarge},
		{"a body without an end", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("0", 34_000_000), errAnswerTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, body, err := read(bufio.NewReaderSize(strings.NewReader(tt.input), readerBytes), defaultAnswerBytes)
			if !errors.Is(err, tt.want) {
				t.Fatalf("status %d, body %.50q, error %v; want %v", a.status, body, err, tt.want)
			}
		})
	}
}

// A length costs memory only as its bytes come.
func TestFalseLengthTakesNoMemory(t *testing.T) {
	input := "HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\nhi"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := read(bufio.NewReaderSize(strings.NewReader(input), readerBytes), defaultAnswerBytes)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	grown := after.TotalAlloc - before.TotalAlloc
	if grown > 2*trustBytes {
		t.Fatalf("a false length of 32 MiB took %d bytes", grown)
	}
}

func TestHeadersAreUnderstood(t *testing.T) {
	input := "HTTP/1.1 302 Found\r\nLOCATION:  /there \r\nContent-Type: a/b\r\ncontent-type: c/d\r\ncontent-length: 0\r\n\r\n"
	a, _, err := read(bufio.NewReader(strings.NewReader(input)), 10)
	if err != nil || string(a.location) != "/there" || string(a.contentType) != "a/b,c/d" || a.status != 302 {
		t.Fatalf("location %q, content-type %q, status %d, error %v", a.location, a.contentType, a.status, err)
	}
	// Nothing of one answer may show in the next.
	if err := a.readHead(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	if len(a.location) > 0 || len(a.contentType) > 0 || a.length != -1 || a.chunked {
		t.Fatalf("left over of the answer before: %+v", a)
	}
}

// Whatever a server sends, reading it ends in a body within the limit or in an error. A body that can be
// framed again is read again as the same.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(ok("hello")), uint16(100))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n"), uint16(100))
	f.Add([]byte("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhello"), uint16(3))
	f.Add([]byte(withLength("content-encoding: gzip\r\n", zipped("hello"))), uint16(100))
	f.Add([]byte(withLength("content-encoding: deflate\r\n", deflatedText("hello", true))), uint16(100))
	f.Add([]byte("HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\nlocation: /\r\n\r\n"), uint16(1))
	f.Fuzz(func(t *testing.T, input []byte, limit uint16) {
		a, body, err := read(bufio.NewReaderSize(bytes.NewReader(input), readerBytes), int64(limit))
		if err != nil {
			return
		}
		if len(body) > int(limit) {
			t.Fatalf("%d bytes, the limit is %d", len(body), limit)
		}
		b, again, err := read(bufio.NewReaderSize(strings.NewReader(ok(string(body))), readerBytes), int64(limit))
		if err != nil || !bytes.Equal(body, again) || !b.reusable() {
			t.Fatalf("%d bytes %q (status %d) come back as %q, %v", len(body), body, a.status, again, err)
		}
	})
}
