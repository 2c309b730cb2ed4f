package invoker

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"
)

// hang takes a request and never answers it.
func hang(s *rawServer, _ net.Conn, r *bufio.Reader) {
	s.readRequest(r)
	_, _ = r.ReadByte()
}

func TestCancellingEndsACallAtOnce(t *testing.T) {
	t.Run("while it waits for the answer", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		c := newCaller(t, s.url(), async())
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 10)
		for range cap(results) {
			go func() {
				_, err := c.Call(ctx, anybody, nil)
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
		c, err := New(endpointAt("http+unix:///nowhere/x.sock", async()), Shared{Log: slog.New(log)})
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
			if _, err := c.Call(ctx, anybody, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestAContextThatIsDoneOrHasADeadline(t *testing.T) {
	t.Run("before it begins", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		c := newCaller(t, s.url(), async())
		_, err := c.Call(cancelled(t.Context()), anybody, nil)
		if !errors.Is(err, context.Canceled) || s.conns.Load() != 0 {
			t.Errorf("error %v, %d connections", err, s.conns.Load())
		}
	})
	t.Run("by its own deadline", func(t *testing.T) {
		s := serveRaw(t, "tcp", hang)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := newCaller(t, s.url(), async()).Call(ctx, anybody, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a context that comes back later is watched anew", func(t *testing.T) {
		s := serveRaw(t, "tcp", each(ok("hello")))
		c := newCaller(t, s.url(), async())
		for range 2 * maxIdleWatches {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := c.Call(ctx, anybody, nil); err != nil {
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
	c, err := New(endpointAt("http+unix:///nowhere/x.sock", async()), Shared{Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), anybody, nil)
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
	if _, err := c.Call(context.Background(), anybody, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}
