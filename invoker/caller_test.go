package invoker

import (
	"bufio"
	"context"
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
	c, err := New(endpointAt("http+unix://"+path, async()), Shared{Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan error, 1)
	go func() {
		body, err := c.Call(t.Context(), anybody, []byte("request"))
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
	c, err := New(e, Shared{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), anybody, nil)
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
		_, err := c.Call(t.Context(), anybody, nil)
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

func TestE16_ALargeRequestIsSent(t *testing.T) {
	s := answerWith(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", mediaType)
		fmt.Fprintf(w, "%d", n)
	})
	c := newCaller(t, s.URL, async())
	for _, size := range []int{inlineBytes, inlineBytes + 1, 40_000_000} {
		got, err := c.Call(t.Context(), anybody, make([]byte, size))
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
					_, _ = c.Call(short, anybody, []byte("given up"))
					cancel()
					continue
				}
				want := strings.Repeat(fmt.Sprintf("%d/%d ", g, i), 1+i*50)
				got, err := c.Call(ctx, protocol.Address{Type: protocol.TypeName{Namespace: "example", Name: fmt.Sprint("f", g%4)}}, []byte(want))
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
		if _, err := c.Call(ctx, anybody, request); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations a call, want 1", n)
	}
}
