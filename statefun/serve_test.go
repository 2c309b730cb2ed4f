package statefun_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// service is a served function that waits for the test.
type service struct {
	addr    string
	entered chan *statefun.Context // each call
	leave   chan struct{}          // closed: calls may return
	stop    context.CancelFunc
	result  chan error // of Serve
}

// startService serves a function until the test says stop.
func startService(t *testing.T, grace time.Duration) *service {
	t.Helper()
	s := &service{entered: make(chan *statefun.Context), leave: make(chan struct{}), result: make(chan error, 1)}
	h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
		s.entered <- ctx
		<-s.leave
		return nil
	})
	h.Grace = grace
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	go func() { s.result <- h.Serve(ctx, l) }()
	return s
}

// call posts a call; its status is 0 when the connection was cut.
func (s *service) call(t *testing.T) <-chan int {
	request, status := oneMessage(t), make(chan int, 1)
	go func() {
		answer, err := http.Post("http://"+s.addr+"/any/path", "application/octet-stream", bytes.NewReader(request))
		if err != nil {
			status <- 0
			return
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		status <- answer.StatusCode
	}()
	return status
}

// awaitDeaf returns when nobody takes connections any more.
func (s *service) awaitDeaf() {
	for {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func TestServeLetsRunningCallsEnd(t *testing.T) {
	s := startService(t, 0)
	status := s.call(t)
	ctx := <-s.entered
	s.stop()
	s.awaitDeaf()
	select {
	case err := <-s.result:
		t.Fatalf("Serve returned %v while a call ran", err)
	case <-ctx.Done():
		t.Fatal("the running call was cancelled")
	default:
	}
	close(s.leave)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the call that ran got status %d", got)
	}
	if err := <-s.result; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServeCutsOffWhatRunsTooLong(t *testing.T) {
	s := startService(t, time.Millisecond)
	status := s.call(t)
	ctx := <-s.entered
	s.stop()
	if err := <-s.result; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Serve returned %v", err)
	}
	<-ctx.Done()
	if got := <-status; got != 0 {
		t.Errorf("the call that was cut off got status %d", got)
	}
	close(s.leave)
}

func TestServeNamesWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := statefun.Serve(t.Context(), taken.Addr().String(), statefun.Function{Type: "test/f", Invoke: nothing}); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("an address that is taken: %v", err)
	}
	if err := statefun.Serve(t.Context(), "127.0.0.1:0", statefun.Function{Type: "f"}); err == nil || !strings.Contains(err.Error(), `"f"`) {
		t.Errorf("a bad function: %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if err := handler(t, nothing).Serve(t.Context(), closed); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener that is closed: %v", err)
	}
}

// A listener that breaks ends Serve with an error, and with it what was connected before.
func TestServeServesNothingAfterItsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- handler(t, nothing).Serve(context.Background(), l) }()
	client := &http.Client{Transport: &http.Transport{}}
	call := func() error {
		answer, err := client.Post("http://"+l.Addr().String()+"/", "application/octet-stream", bytes.NewReader(oneMessage(t)))
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.Body.Close()
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
	if err := call(); err == nil {
		t.Error("a call on the connection of the first one was answered after Serve had returned")
	}
}
