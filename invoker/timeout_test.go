package invoker

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// Each time-out fires alone: its endpoint is slow in one way only, and all the others are far longer.
func TestEachTimeOutFiresAlone(t *testing.T) {
	const short = 150 * time.Millisecond
	long := func(change func(*module.Transport)) module.Transport {
		tr := okhttp()
		tr.Call, tr.Connect, tr.Read, tr.Write = time.Minute, time.Minute, time.Minute, time.Minute
		change(&tr)
		return tr
	}
	slow := func(c net.Conn, r *bufio.Reader, s *rawServer) { // a byte now and then, for ever
		s.readRequest(r)
		_, _ = io.WriteString(c, strings.TrimSuffix(ok(strings.Repeat("x", 10_000)), strings.Repeat("x", 10_000)))
		for {
			time.Sleep(10 * time.Millisecond) // the slowness is what is tested
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
	}
	for _, tt := range []struct {
		name   string
		tr     module.Transport
		scheme string
		serve  func(c net.Conn, r *bufio.Reader, s *rawServer)
		kind   string
	}{
		// The handshake is part of the time for connecting.
		{"connect", long(func(tr *module.Transport) { tr.Connect = short }), "https",
			func(_ net.Conn, r *bufio.Reader, _ *rawServer) { _, _ = io.Copy(io.Discard, r) }, KindConnectTimeout},
		{"write", long(func(tr *module.Transport) { tr.Write = short }), "http",
			func(_ net.Conn, _ *bufio.Reader, s *rawServer) { <-s.ending }, KindWriteTimeout},
		{"read", long(func(tr *module.Transport) { tr.Read = short }), "http",
			func(_ net.Conn, r *bufio.Reader, _ *rawServer) { _, _ = io.Copy(io.Discard, r) }, KindReadTimeout},
		{"call", long(func(tr *module.Transport) {
			tr.Call, tr.Connect, tr.Read, tr.Write = 2*short, 2*short, 2*short, 2*short
		}), "http", slow, KindCallTimeout},
		{"async connect", func() module.Transport { tr := async(); tr.Connect = short; return tr }(), "https",
			func(_ net.Conn, r *bufio.Reader, _ *rawServer) { _, _ = io.Copy(io.Discard, r) }, KindConnectTimeout},
		{"async call", func() module.Transport { tr := async(); tr.Call = short; return tr }(), "http",
			func(_ net.Conn, r *bufio.Reader, _ *rawServer) { _, _ = io.Copy(io.Discard, r) }, KindCallTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) { tt.serve(c, r, s) })
			c := newCaller(t, strings.Replace(s.url(), "http", tt.scheme, 1), tt.tr)
			c.endpoint.MaxAttempts = 1
			began := time.Now()
			size := 1
			if tt.kind == KindWriteTimeout {
				size = 64 << 20 // more than any socket buffers
			}
			_, err := c.Call(t.Context(), anybody, make([]byte, size))
			var e *Error
			if !errors.As(err, &e) || e.Kind != tt.kind || e.Attempts != 1 {
				t.Fatalf("%v, want %s", err, tt.kind)
			}
			if took := time.Since(began); took < short || took > 10*time.Second {
				t.Errorf("it took %v, the time-out is %v", took, short)
			}
		})
	}
}
