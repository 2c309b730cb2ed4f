package invoker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

var greeter = protocol.TypeName{Namespace: "example", Name: "greeter"}

// anybody is an address of the greeter.
var anybody = protocol.Address{Type: greeter, ID: "anybody"}

// okhttp and async are the transports with the defaults of the reference.
func okhttp() module.Transport {
	return module.Transport{Kind: module.TransportOkHTTP, Call: time.Minute, Connect: 10 * time.Second, Read: 10 * time.Second, Write: 10 * time.Second,
		PoolSize: 1024, PoolTTL: time.Minute, FollowRedirects: true}
}

func async() module.Transport {
	return module.Transport{Kind: module.TransportAsync, Call: 2 * time.Minute, Connect: 20 * time.Second,
		PoolSize: 1024, PoolTTL: 15 * time.Second, PayloadMaxBytes: 32 << 20}
}

// within shortens the budget, and the other time-outs as far as they must.
func within(d time.Duration, t module.Transport) module.Transport {
	t.Call = d
	t.Connect, t.Read, t.Write = min(t.Connect, d), min(t.Read, d), min(t.Write, d)
	return t
}

// endpointAt is an endpoint for all functions of the namespace example.
func endpointAt(url string, tr module.Transport) *module.Endpoint {
	return &module.Endpoint{Functions: module.Pattern{Namespace: "example", Name: "*"}, URLPathTemplate: url, Transport: tr}
}

func newCaller(tb testing.TB, url string, tr module.Transport) *Caller {
	tb.Helper()
	c, err := New(endpointAt(url, tr), Shared{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// call calls the greeter and holds the answer against what is wanted.
func call(t *testing.T, c *Caller, want string) {
	t.Helper()
	got, err := c.Call(t.Context(), anybody, []byte("request"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("answer %.100q, want %.100q", got, want)
	}
}

// fails calls the greeter and returns the error, which must be of one of the kinds.
func fails(t *testing.T, c *Caller, kinds ...string) *Error {
	t.Helper()
	body, err := c.Call(t.Context(), anybody, []byte("request"))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("answer %.100q, error %v; want an *Error", body, err)
	}
	for _, k := range kinds {
		if e.Kind == k {
			return e
		}
	}
	t.Fatalf("error %v is of kind %s, want %v", e, e.Kind, kinds)
	return nil
}

// answerWith serves the protocol: what the handler writes, as the protocol's media type.
func answerWith(tb testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	tb.Cleanup(s.Close)
	return s
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", mediaType)
	body, _ := io.ReadAll(r.Body) // whole, before a byte is written: net/http throws away what comes later
	_, _ = w.Write(body)
}

// A rawServer answers with bytes, right or wrong.
type rawServer struct {
	net.Listener
	conns, requests atomic.Int64
	ending          chan struct{} // closed with the test

	mu   sync.Mutex // guards what follows
	open map[net.Conn]bool
	done sync.WaitGroup
}

// serveRaw starts a server that calls serve for each connection and closes the connection when it returns.
func serveRaw(tb testing.TB, network string, serve func(s *rawServer, c net.Conn, r *bufio.Reader)) *rawServer {
	tb.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(tb.TempDir(), "f.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		tb.Fatal(err)
	}
	s := &rawServer{Listener: l, open: map[net.Conn]bool{}, ending: make(chan struct{})}
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			s.done.Go(func() {
				serve(s, c, bufio.NewReader(c))
				c.Close()
			})
		}
	})
	tb.Cleanup(func() {
		close(s.ending)
		l.Close()
		s.mu.Lock()
		for c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

func (s *rawServer) url() string {
	if s.Addr().Network() == "unix" {
		return "http+unix://" + s.Addr().String() + "/statefun"
	}
	return "http://" + s.Addr().String() + "/statefun"
}

// readRequest reads one request: head as it came, and body. ok is false at the end of the connection.
func (s *rawServer) readRequest(r *bufio.Reader) (head string, body []byte, ok bool) {
	var b strings.Builder
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", nil, false
		}
		b.WriteString(line)
		if v, found := strings.CutPrefix(line, "content-length: "); found {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		if line == "\r\n" {
			break
		}
	}
	body = make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return "", nil, false
	}
	s.requests.Add(1)
	return b.String(), body, true
}

// each answers every request of every connection with the same bytes, and ends the connection after it if they say so.
func each(answer string) func(*rawServer, net.Conn, *bufio.Reader) {
	return func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			if _, _, ok := s.readRequest(r); !ok {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil || strings.Contains(answer, "connection: close") || strings.HasPrefix(answer, "!") {
				return
			}
		}
	}
}

// ok is a good answer with the body.
func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// until runs f in a goroutine and fails the test when it takes longer than any machine can need.
func until(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not happen", what)
	}
}

func cancelled(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	cancel()
	return ctx
}
