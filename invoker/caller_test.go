package invoker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// counted is the value of a counter or gauge.
func counted(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func TestRequestIsWrittenAsTheReferenceDoes(t *testing.T) {
	heads := make(chan string, 1)
	s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
		head, body, _ := s.readRequest(r)
		heads <- head + string(body)
		_, _ = io.WriteString(c, ok(""))
	})
	call(t, newCaller(t, s.url()+"/{function.name}?a=b", async()), "")
	want := "POST /statefun/greeter?a=b HTTP/1.1\r\nhost: " + s.Addr().String() + "\r\nuser-agent: statefun\r\nconnection: keep-alive\r\n" +
		"content-type: application/octet-stream\r\naccept: application/octet-stream\r\naccept-encoding: gzip,deflate\r\ncontent-length: 7\r\n\r\nrequest"
	if got := <-heads; got != want {
		t.Fatalf("request\n%q\nwant\n%q", got, want)
	}
}

func TestCallsOverEachNetwork(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			s := serveRaw(t, network, each(ok("hello")))
			c := newCaller(t, s.url(), okhttp())
			for range 3 {
				call(t, c, "hello")
			}
			if n := s.conns.Load(); n != 1 {
				t.Errorf("3 calls made %d connections, want 1 used again", n)
			}
		})
	}
}

// events lets a test wait for a log line.
type events chan string

func (e events) Enabled(context.Context, slog.Level) bool { return true }
func (e events) Handle(_ context.Context, r slog.Record) error {
	e <- r.Message
	return nil
}
func (e events) WithAttrs([]slog.Attr) slog.Handler { return e }
func (e events) WithGroup(string) slog.Handler      { return e }

func TestE5_RefusedConnectionsAreTriedUntilTheServerIsThere(t *testing.T) {
	path := t.TempDir() + "/f.sock"
	log := make(events, 1000)
	c, err := New(endpointAt("http+unix://"+path, async()), nil, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() {
		body, err := c.Call(t.Context(), greeter, []byte("request"))
		if err == nil && string(body) != "request" {
			err = fmt.Errorf("answer %q", body)
		}
		done <- err
	}()
	for range 3 {
		<-log
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(echo)}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestE5_TheSameBodyIsSentAgain(t *testing.T) {
	var n atomic.Int64
	s := answerWith(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= 3 {
			panic(http.ErrAbortHandler)
		}
		echo(w, r)
	})
	call(t, newCaller(t, s.URL, async()), "request")
	if n.Load() != 4 {
		t.Errorf("%d attempts, want 4", n.Load())
	}
}

func TestE6_ADisconnectUsesItsShareOfTheBudgetOnly(t *testing.T) {
	s := serveRaw(t, "tcp", func(s *rawServer, _ net.Conn, r *bufio.Reader) { s.readRequest(r) })
	begin := time.Now()
	e := fails(t, newCaller(t, s.url(), within(400*time.Millisecond, async())), KindClosed, KindCallTimeout)
	if took := time.Since(begin); e.Attempts < 3 || took > 5*time.Second {
		t.Errorf("%d attempts in %s, want several within the budget of 400 ms", e.Attempts, took)
	}
	if e.Kind == KindClosed && int64(e.Attempts) != s.requests.Load() {
		t.Errorf("%d attempts counted, %d seen", e.Attempts, s.requests.Load())
	}
}

func TestE7_TheBudgetEndsACallThatHangs(t *testing.T) {
	for name, tr := range map[string]module.Transport{"okhttp": okhttp(), "async": async()} {
		t.Run(name, func(t *testing.T) {
			s := serveRaw(t, "tcp", func(s *rawServer, _ net.Conn, r *bufio.Reader) {
				s.readRequest(r)
				_, _ = r.ReadByte() // until the client closes
			})
			e := fails(t, newCaller(t, s.url(), within(50*time.Millisecond, tr)), KindCallTimeout)
			if e.Attempts != 1 || !strings.Contains(e.Error(), "budget") {
				t.Errorf("%v", e)
			}
		})
	}
}

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
		_, err := c.Call(t.Context(), greeter, make([]byte, 64<<20))
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

func TestE8_AFullPoolFailsTheCallAndLosesNoConnection(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	s := serveRaw(t, "tcp", func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for {
			if _, _, good := s.readRequest(r); !good {
				return
			}
			entered <- struct{}{}
			<-release
			_, _ = io.WriteString(c, ok("hello"))
		}
	})
	tr := within(200*time.Millisecond, async())
	tr.PoolSize, tr.Connect = 1, 20*time.Millisecond
	tr.Call = time.Minute
	e := endpointAt(s.url(), tr)
	e.MaxAttempts = 2
	c, err := New(e, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), greeter, nil)
		first <- err
	}()
	<-entered
	if failure := fails(t, c, KindConnectTimeout); failure.Attempts != 2 || !strings.Contains(failure.Error(), "pool_size") {
		t.Errorf("%v", failure)
	}
	// One who waits gets the connection as soon as it is free.
	second := make(chan error, 1)
	c.rules.connect = time.Minute
	go func() {
		_, err := c.Call(t.Context(), greeter, nil)
		second <- err
	}()
	release <- struct{}{}
	if err := <-first; err != nil {
		t.Error(err)
	}
	release <- struct{}{}
	if err := <-second; err != nil {
		t.Error(err)
	}
	p := (*c.targets.Load())[greeter].pool
	if s.conns.Load() != 1 || p.open != 1 || len(p.idle) != 1 {
		t.Errorf("%d connections made, %d open, %d idle; want 1 of each", s.conns.Load(), p.open, len(p.idle))
	}
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
			c, err := New(e, nil, nil)
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

func TestE16_ALargeRequestIsSent(t *testing.T) {
	s := answerWith(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", mediaType)
		fmt.Fprintf(w, "%d", n)
	})
	c := newCaller(t, s.URL, async())
	for _, size := range []int{inlineBytes, inlineBytes + 1, 40_000_000} {
		got, err := c.Call(t.Context(), greeter, make([]byte, size))
		if err != nil || string(got) != fmt.Sprint(size) {
			t.Fatalf("of %d bytes arrived %s, %v", size, got, err)
		}
	}
}

func TestE18_OkhttpFollowsRedirects(t *testing.T) {
	other := answerWith(t, echo)
	for _, status := range []int{301, 302, 307, 308} {
		s := answerWith(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/again", status)
				return
			}
			http.Redirect(w, r, other.URL+"/there", status)
		})
		call(t, newCaller(t, s.URL, okhttp()), "request")
	}
	loop := answerWith(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", 302) })
	if e := fails(t, newCaller(t, loop.URL, okhttp()), KindStatus); !strings.Contains(e.Error(), "more than 20 times") {
		t.Error(e)
	}
	file := answerWith(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http+unix:///var/run/x.sock")
		w.WriteHeader(302)
	})
	if e := fails(t, newCaller(t, file.URL, okhttp()), KindStatus); !strings.Contains(e.Error(), "is not followed") {
		t.Error(e)
	}
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
				_, err := c.Call(t.Context(), greeter, make([]byte, 1<<20))
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
			c, err := New(e, m, nil)
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
		c, _ := New(e, nil, nil)
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
		c, _ := New(e, nil, nil)
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
		got, err := c.Call(t.Context(), greeter, []byte(want))
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
			c, err := New(e, nil, nil)
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

func TestCancellingEndsACallAtOnce(t *testing.T) {
	hang := func(s *rawServer, _ net.Conn, r *bufio.Reader) {
		s.readRequest(r)
		_, _ = r.ReadByte()
	}
	t.Run("while it waits for the answer", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		c := newCaller(t, s.url(), async())
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 10)
		for range cap(results) {
			go func() {
				_, err := c.Call(ctx, greeter, nil)
				results <- err
			}()
		}
		for s.requests.Load() < int64(cap(results)) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		until(t, "the end of all calls", func() {
			for range cap(results) {
				if err := <-results; !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			}
		})
		if n := len(c.watches.byDone); n != 0 {
			t.Errorf("%d contexts still watched", n)
		}
	})
	t.Run("between two attempts", func(t *testing.T) {
		log := make(events, 1000)
		c, err := New(endpointAt("http+unix:///nowhere/x.sock", async()), nil, slog.New(log))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range 8 {
				<-log
			}
			cancel()
		}()
		until(t, "the end of the call", func() {
			if _, err := c.Call(ctx, greeter, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("before it begins", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		c := newCaller(t, s.url(), async())
		_, err := c.Call(cancelled(t.Context()), greeter, nil)
		if !errors.Is(err, context.Canceled) || s.conns.Load() != 0 {
			t.Errorf("error %v, %d connections", err, s.conns.Load())
		}
	})
	t.Run("by its own deadline", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := newCaller(t, s.url(), async()).Call(ctx, greeter, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a context that comes back later is watched anew", func(t *testing.T) {
		s := serveRaw(t, "tcp", each(ok("hello")))
		c := newCaller(t, s.url(), async())
		for range 2 * maxIdleWatches {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := c.Call(ctx, greeter, nil); err != nil {
				t.Fatal(err)
			}
			defer cancel()
		}
		if n := len(c.watches.byDone); n > maxIdleWatches {
			t.Errorf("%d contexts are watched", n)
		}
	})
}

func TestCloseEndsFurtherAttempts(t *testing.T) {
	log := make(events, 1000)
	c, err := New(endpointAt("http+unix:///nowhere/x.sock", async()), nil, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), greeter, nil)
		done <- err
	}()
	<-log
	c.Close()
	c.Close()
	until(t, "the end of the call", func() {
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
	if _, err := c.Call(context.Background(), greeter, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestMaxAttemptsEndsACallBeforeItsBudget(t *testing.T) {
	s := serveRaw(t, "tcp", each("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops"))
	m := NewMetrics(prometheus.NewRegistry())
	e := endpointAt(s.url(), okhttp())
	e.MaxAttempts = 4
	c, err := New(e, m, nil)
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

func TestManyCallsAtOnceGetTheirOwnAnswers(t *testing.T) {
	s := answerWith(t, echo)
	tr := async()
	tr.PoolSize = 8
	c := newCaller(t, s.URL, tr)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			ctx := t.Context()
			for i := range 50 {
				if i%10 == 9 { // some are given up on the way
					short, cancel := context.WithTimeout(ctx, time.Duration(g)*10*time.Microsecond)
					_, _ = c.Call(short, greeter, []byte("given up"))
					cancel()
					continue
				}
				want := strings.Repeat(fmt.Sprintf("%d/%d ", g, i), 1+i*50)
				got, err := c.Call(ctx, protocol.TypeName{Namespace: "example", Name: fmt.Sprint("f", g%4)}, []byte(want))
				if err != nil || string(got) != want {
					t.Errorf("answer %.40q, %v; want %.40q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, p := range c.pools {
		if p.open != len(p.idle) || p.open > 8 || len(p.waiting) > 0 {
			t.Errorf("%d open, %d idle, %d waiting", p.open, len(p.idle), len(p.waiting))
		}
	}
}

func TestOneCallAllocatesItsAnswerOnly(t *testing.T) {
	s := serveRaw(t, "unix", quick)
	c := newCaller(t, s.url(), okhttp())
	request := make([]byte, 200)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := c.Call(ctx, greeter, request); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations a call, want 1", n)
	}
}

func TestFunctionInProcess(t *testing.T) {
	f := Function(func(_ context.Context, fn protocol.TypeName, request []byte) ([]byte, error) {
		if len(request) == 0 {
			panic("no request")
		}
		return append(request, fn.Name...), nil
	})
	if got, err := f.Call(t.Context(), greeter, []byte("hello ")); err != nil || string(got) != "hello greeter" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := f.Call(t.Context(), greeter, nil)
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindPanic || !strings.Contains(err.Error(), "panic: no request") {
		t.Errorf("%v", err)
	}
}
