package invoker

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

const (
	// inlineBytes is the largest request that is copied behind its head: up to here copying costs less
	// than a second piece to write, and the buffer stays with the connection.
	inlineBytes = 16 << 10
	// readerBytes is the read buffer of a connection. 1,024 of them idle are 4 MiB.
	readerBytes = 4 << 10
)

// A conn is one connection to a function's server. One call at a time uses it.
type conn struct {
	raw    net.Conn // what was dialled
	wire   net.Conn // what is written and read: raw, or TLS over it
	idle   idleCheck
	reader *bufio.Reader
	answer answer

	out    []byte
	pieces [2][]byte
	rest   net.Buffers

	expires time.Time // zero: never
	ends    time.Time // the latest that it expires, however often it is used; zero: never
	reused  bool      // carried an answer before
	keep    bool      // the last answer left it fit for another

	// Of the attempt under way:
	got         bool          // a byte of the answer came
	readTimeout time.Duration // for each read; 0: only the deadline
	deadline    time.Time

	watched    *watch // under the lock of watches
	prev, next *conn
}

// dial makes a connection. until bounds it together with its TLS handshake.
func (c *Caller) dial(ctx context.Context, d destination, until time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	c.metrics.dials.WithLabelValues(c.endpoint.Functions.String()).Inc()
	raw, err := c.names.dial(ctx, d)
	if err != nil {
		return nil, err
	}
	cn := &conn{raw: raw, wire: raw}
	if d.tlsName != "" {
		config := c.tls.Clone()
		config.ServerName = d.tlsName
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, &handshakeError{err}
		}
		cn.wire = secure
	}
	if sc, ok := raw.(syscall.Conn); ok {
		cn.idle.init(sc)
	}
	cn.reader = bufio.NewReaderSize(cn, readerBytes)
	return cn, nil
}

// A handshakeError is a failed TLS handshake.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return fmt.Sprintf("TLS handshake: %v", e.err) }
func (e *handshakeError) Unwrap() error { return e.err }

// Read reads for the connection's own bufio.Reader, with the time-out of one read.
func (c *conn) Read(p []byte) (int, error) {
	if c.readTimeout > 0 {
		if err := c.wire.SetReadDeadline(earlier(time.Now().Add(c.readTimeout), c.deadline)); err != nil {
			return 0, err
		}
	}
	n, err := c.wire.Read(p)
	if n > 0 {
		c.got = true
	}
	return n, err
}

// begin sets the deadlines of an attempt.
func (c *conn) begin(r *rules, now, deadline time.Time) error {
	c.got = false
	c.deadline = deadline
	c.readTimeout = r.read
	if r.write > 0 {
		// The read deadline too: an old one would make the idle check fail.
		return c.wire.SetDeadline(earlier(now.Add(r.write), deadline))
	}
	return c.wire.SetDeadline(deadline)
}

// hurry leaves the rest of an answer that is no use any more only so much time.
func (c *conn) hurry(d time.Duration) {
	c.deadline = earlier(time.Now().Add(d), c.deadline)
	// An error shows at the next read.
	_ = c.wire.SetReadDeadline(c.deadline)
}

// send writes one request.
func (c *conn) send(head, request []byte) error {
	out := append(c.out[:0], head...)
	out = strconv.AppendInt(out, int64(len(request)), 10)
	out = append(out, "\r\n\r\n"...)
	if len(request) <= inlineBytes {
		out = append(out, request...)
		c.out = out
		_, err := c.wire.Write(out)
		return err
	}
	c.out = out
	c.pieces = [2][]byte{out, request}
	c.rest = c.pieces[:]
	_, err := c.rest.WriteTo(c.wire)
	c.pieces = [2][]byte{}
	return err
}

// close closes the connection, at once and without a farewell that could block.
func (c *conn) close() { c.raw.Close() }

func (c *conn) expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
