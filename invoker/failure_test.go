package invoker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/module"
)

func TestTimeOutsOfOkhttpHaveTheirOwnKinds(t *testing.T) {
	tr := okhttp()
	tr.Read, tr.Write = 30*time.Millisecond, 30*time.Millisecond
	t.Run("read", func(t *testing.T) {
		s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
			s.readRequest(r)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 10\r\n\r\nhal")
			_, _ = r.ReadByte()
		})
		c := newCaller(t, s.url(), tr)
		c.endpoint.MaxAttempts = 2
		if e := fails(t, c, KindReadTimeout); e.Attempts != 2 {
			t.Errorf("%d attempts, a read time-out is retried", e.Attempts)
		}
	})
	t.Run("read, each for itself", func(t *testing.T) {
		tr := within(10*time.Second, okhttp())
		tr.Read = 400 * time.Millisecond
		s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
			s.readRequest(r)
			for _, b := range []byte(ok("0123456789")) {
				time.Sleep(5 * time.Millisecond) // the slowness is what is tested
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		})
		call(t, newCaller(t, s.url(), tr), "0123456789")
	})
	t.Run("write", func(t *testing.T) {
		release := make(chan struct{})
		s := serveRaw(t, "tcp", func(*rawServer, net.Conn, *bufio.Reader) { <-release })
		defer close(release)
		c := newCaller(t, s.url(), tr)
		c.endpoint.MaxAttempts = 1
		_, err := c.Call(t.Context(), anybody, make([]byte, 64<<20))
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindWriteTimeout {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("connect", func(t *testing.T) {
		if e := failed(connecting, &net.DNSError{IsTimeout: true}, time.Now().Add(time.Hour)); e.Kind != KindConnectTimeout {
			t.Errorf("%v", e)
		}
		if e := failed(connecting, &net.DNSError{IsTimeout: true}, time.Now().Add(-time.Hour)); e.Kind != KindCallTimeout {
			t.Errorf("%v", e)
		}
		e := fails(t, newCaller(t, "http+unix:///nowhere/x.sock", within(30*time.Millisecond, async())), KindConnect)
		if !strings.Contains(e.Error(), "/nowhere/x.sock") {
			t.Errorf("%v does not name the socket", e)
		}
	})
}

func TestStatusAndContentTypeRules(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh no", code) }
	}
	typed := func(contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = io.WriteString(w, "hello")
		}
	}
	tests := []struct {
		name    string
		tr      module.Transport
		handler http.HandlerFunc
		kind    string // empty: works
		again   bool
	}{
		{"E9 async tries 404 again", async(), status(404), KindStatus, true},
		{"E9 async tries 400 again", async(), status(400), KindStatus, true},
		{"E10 okhttp fails at 404", okhttp(), status(404), KindStatus, false},
		{"E10 okhttp fails at 400", okhttp(), status(400), KindStatus, false},
		{"E11 okhttp tries 500 again", okhttp(), status(500), KindStatus, true},
		{"E11 okhttp tries 429 again", okhttp(), status(429), KindStatus, true},
		{"E13 okhttp fails at text/plain", okhttp(), typed("text/plain"), KindContentType, false},
		{"E13 async tries text/plain again", async(), typed("text/plain"), KindContentType, true},
		{"E14 async takes another case", async(), typed("Application/Octet-Stream"), "", false},
		{"E14 async refuses a charset", async(), typed("application/octet-stream; charset=utf-8"), KindContentType, true},
		{"E18 async tries a redirect again", async(), func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", 302) }, KindStatus, true},
		{"no content has no content type", okhttp(), status(204), KindContentType, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			s := answerWith(t, func(w http.ResponseWriter, r *http.Request) { n.Add(1); tt.handler(w, r) })
			c := newCaller(t, s.URL, tt.tr)
			c.endpoint.MaxAttempts = 2
			if tt.kind == "" {
				call(t, c, "hello")
				return
			}
			e := fails(t, c, tt.kind)
			if (e.Attempts > 1) != tt.again || n.Load() != int64(e.Attempts) {
				t.Errorf("%d attempts, %d requests seen; tried again should be %v", e.Attempts, n.Load(), tt.again)
			}
			if tt.kind == KindStatus && (e.Status == 0 || (e.Status != 302 && !strings.Contains(e.Error(), "oh no"))) {
				t.Errorf("error %v does not quote the server", e)
			}
		})
	}
}

func TestE15_AnAnswerTooLargeIsNotReadIntoMemory(t *testing.T) {
	const gigabyte = 1 << 30
	tests := map[string]string{
		"length":           fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n", mediaType, gigabyte),
		"chunks":           "HTTP/1.1 200 OK\r\ncontent-type: " + mediaType + "\r\ntransfer-encoding: chunked\r\n\r\n",
		"until it closes":  "HTTP/1.1 200 OK\r\ncontent-type: " + mediaType + "\r\n\r\n",
		"failure's length": fmt.Sprintf("HTTP/1.1 500 Oops\r\ncontent-length: %d\r\n\r\n", gigabyte),
		"failure's chunks": "HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n",
	}
	for name, head := range tests {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
				s.readRequest(r)
				_, _ = io.WriteString(c, head)
				block := bytes.Repeat([]byte("x"), 1<<16)
				if strings.Contains(head, "chunked") {
					block = append(append([]byte("10000\r\n"), block...), "\r\n"...)
				}
				for sent.Load() < gigabyte {
					n, err := c.Write(block)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			tr := async()
			tr.PayloadMaxBytes = 1 << 20
			e := endpointAt(s.url(), tr)
			e.MaxAttempts = 1
			c, err := New(e, Shared{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fails(t, c, KindAnswerTooLarge, KindStatus)
			if p := (*c.targets.Load())[greeter].pool; p.open != 0 {
				t.Errorf("%d connections open, want it closed", p.open)
			}
			if sent.Load() > 64<<20 {
				t.Errorf("%d bytes were taken from the server", sent.Load())
			}
		})
	}
	t.Run("40 MB with the default limit are retried by async", func(t *testing.T) {
		s := serveRaw(t, "tcp", each("HTTP/1.1 200 OK\r\ncontent-type: "+mediaType+"\r\ncontent-length: 40000000\r\nconnection: close\r\n\r\n"))
		c := newCaller(t, s.url(), async())
		c.endpoint.MaxAttempts = 2
		if e := fails(t, c, KindAnswerTooLarge); e.Attempts != 2 {
			t.Errorf("%d attempts", e.Attempts)
		}
	})
}

func TestRequestTooLargeIsSaidAtOnce(t *testing.T) {
	early := func(s *rawServer, c net.Conn, r *bufio.Reader) { // answers and closes before it has read the body
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n")
	}
	late := each("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig")
	for name, serve := range map[string]func(*rawServer, net.Conn, *bufio.Reader){"before the body": early, "after it": late} {
		for kind, tr := range map[string]module.Transport{"okhttp": okhttp(), "async": async()} {
			t.Run(name+" "+kind, func(t *testing.T) {
				s := serveRaw(t, "tcp", serve)
				c := newCaller(t, s.url(), tr)
				_, err := c.Call(t.Context(), anybody, make([]byte, 32<<20))
				var e *Error
				if !errors.Is(err, ErrTooLarge) || !errors.As(err, &e) || e.Status != 413 || e.Attempts != 1 {
					t.Fatalf("error %v", err)
				}
			})
		}
	}
}

func TestAReusedConnectionThatEndedIsReplacedAtOnce(t *testing.T) {
	// Each connection carries one answer and is then closed, in one of the ways that servers have.
	ways := map[string]func(*rawServer, net.Conn, *bufio.Reader){
		"while idle": func(s *rawServer, c net.Conn, r *bufio.Reader) {
			s.readRequest(r)
			_, _ = io.WriteString(c, ok("hello"))
		},
		"under the next request": func(s *rawServer, c net.Conn, r *bufio.Reader) {
			s.readRequest(r)
			_, _ = io.WriteString(c, ok("hello"))
			_, _ = r.ReadByte()
			_ = c.(*net.TCPConn).SetLinger(0)
		},
	}
	for name, serve := range ways {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, "tcp", serve)
			m := NewMetrics(prometheus.NewRegistry())
			e := endpointAt(s.url(), okhttp())
			e.MaxAttempts = 1
			c, err := New(e, Shared{Metrics: m})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 20 {
				call(t, c, "hello")
			}
			if n := counted(t, m.failures.WithLabelValues("example/greeter", KindClosed)); n != 0 {
				t.Errorf("%v failures counted, want none", n)
			}
			if n := counted(t, m.opened.WithLabelValues("example/*")); n != 20 {
				t.Errorf("%v connections opened, want 20", n)
			}
		})
	}
	t.Run("a fresh one that ends is a failure", func(t *testing.T) {
		s := serveRaw(t, "tcp", func(s *rawServer, _ net.Conn, r *bufio.Reader) { s.readRequest(r) })
		e := endpointAt(s.url(), okhttp())
		e.MaxAttempts = 3
		c, _ := New(e, Shared{})
		defer c.Close()
		if e := fails(t, c, KindClosed); e.Attempts != 3 || s.requests.Load() != 3 {
			t.Errorf("%v; %d requests", e, s.requests.Load())
		}
	})
	t.Run("one that ends within an answer is a failure", func(t *testing.T) {
		s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
			s.readRequest(r)
			_, _ = io.WriteString(c, ok("hello"))
			s.readRequest(r)
			_, _ = io.WriteString(c, "H")
		})
		e := endpointAt(s.url(), okhttp())
		e.MaxAttempts = 1
		c, _ := New(e, Shared{})
		defer c.Close()
		call(t, c, "hello")
		fails(t, c, KindClosed)
	})
}

// A second answer to one request must never be taken for the answer to the next.
func TestBytesNobodyAskedForEndTheConnection(t *testing.T) {
	s := serveRaw(t, "unix", func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			_, body, good := s.readRequest(r)
			if !good {
				return
			}
			_, _ = io.WriteString(c, ok(string(body)))
			_, _ = io.WriteString(c, ok("wrong: "+string(body)))
			s.requests.Add(1000)
		}
	})
	c := newCaller(t, s.url(), async())
	for i := range 50 {
		want := fmt.Sprint(i)
		got, err := c.Call(t.Context(), anybody, []byte(want))
		if err != nil || string(got) != want {
			t.Fatalf("answer %q, %v; want %q", got, err, want)
		}
		for s.requests.Load() < int64(1001*(i+1)) { // until the second answer is on its way
			time.Sleep(time.Microsecond)
		}
	}
}

func TestGarbageIsAnErrorAndNeverHangs(t *testing.T) {
	tests := map[string]string{
		"no HTTP":              "!\x00\x01\x02 garbage\r\n\r\n",
		"endless headers":      "HTTP/1.1 200 OK\r\n" + strings.Repeat("x-a: "+strings.Repeat("b", 1000)+"\r\n", 200),
		"answer to nobody":     "\r\n\r\n",
		"wrong length":         "HTTP/1.1 200 OK\r\ncontent-type: " + mediaType + "\r\ncontent-length: 1000\r\nconnection: close\r\n\r\nhi",
		"truncated chunk":      "HTTP/1.1 200 OK\r\ncontent-type: " + mediaType + "\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n100\r\nhi",
		"TLS alert":            "!\x15\x03\x01\x00\x02\x02\x46\n",
		"failure cut in chunk": "HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n100\r\nhi",
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, "tcp", each(answer))
			e := endpointAt(s.url(), async())
			e.MaxAttempts = 2
			c, err := New(e, Shared{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			until(t, "the error", func() {
				if e := fails(t, c, KindMalformed, KindClosed, KindStatus); e.Attempts != 2 {
					t.Errorf("%v", e)
				}
			})
			if p := (*c.targets.Load())[greeter].pool; p.open != 0 {
				t.Errorf("%d connections are kept after garbage", p.open)
			}
		})
	}
}

func TestMaxAttemptsEndsACallBeforeItsBudget(t *testing.T) {
	s := serveRaw(t, "tcp", each("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops"))
	m := NewMetrics(prometheus.NewRegistry())
	e := endpointAt(s.url(), okhttp())
	e.MaxAttempts = 4
	c, err := New(e, Shared{Metrics: m})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e := fails(t, c, KindStatus); e.Attempts != 4 || e.Error() != "call "+s.url()+`: status: status 500: "oops" (4 attempts)` {
		t.Error(e)
	}
	if n := counted(t, m.failures.WithLabelValues("example/greeter", KindStatus)); n != 4 {
		t.Errorf("%v failures counted", n)
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections; a short failure leaves its connection usable", s.conns.Load())
	}
}

func TestAnEndpointWhoseAttemptsFailIsNamedOnceAMinute(t *testing.T) {
	var said bytes.Buffer
	e := &module.Endpoint{Functions: module.Pattern{Namespace: "ns", Name: "f"}, URLPathTemplate: "http://127.0.0.1:1/f", Transport: within(10*time.Second, okhttp()), MaxAttempts: 3}
	c, err := New(e, Shared{Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if _, err := c.Call(t.Context(), anybody, nil); err == nil {
			t.Fatal("nobody listens there")
		}
	}
	if n := strings.Count(said.String(), "is tried again"); n != 1 || !strings.Contains(said.String(), "connection refused") {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
}
