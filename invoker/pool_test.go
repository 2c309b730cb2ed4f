package invoker

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pooled makes a connection the way a call does after the pool gave leave, over a pipe.
func pooled(p *pool) *conn {
	near, _ := net.Pipe()
	c := &conn{raw: near, wire: near}
	p.opened(c)
	return c
}

func isClosed(c *conn) bool { return c.raw.SetDeadline(time.Time{}) != nil }

func take(t *testing.T, p *pool) *conn {
	t.Helper()
	c, err := p.take(t.Context(), time.Now(), time.Now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		return pooled(p)
	}
	return c
}

func newTestPool(r rules) *pool { return newPool(r, NewMetrics(nil).pool("example/*")) }

func TestThePoolReusesTheLastConnectionFirst(t *testing.T) {
	p := newTestPool(rules{})
	a, b, c := take(t, p), take(t, p), take(t, p)
	p.put(a)
	p.put(c)
	p.put(b)
	for i, want := range []*conn{b, c, a} {
		if got := take(t, p); got != want {
			t.Errorf("connection %d is not the last that came back", i)
		}
	}
}

func TestIdleConnectionsExpire(t *testing.T) {
	tests := []struct {
		name  string
		rules rules
		lives time.Duration // for sure
		gone  time.Duration // for sure
	}{
		{"async: 15 s and one to three more after they were opened", rules{maxAge: 15 * time.Second}, 15 * time.Second, 19 * time.Second},
		{"okhttp: a minute after their last use", rules{maxRest: time.Minute}, 59 * time.Second, 61 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newTestPool(tt.rules)
				used, resting := take(t, p), take(t, p)
				p.put(resting)
				p.put(used)
				begin := time.Now()
				time.Sleep(tt.lives)
				if isClosed(used) || isClosed(resting) {
					t.Fatal("closed too early")
				}
				if c := take(t, p); c != used {
					t.Fatal("an idle connection was not used")
				}
				time.Sleep(tt.gone - time.Since(begin))
				synctest.Wait()
				if !isClosed(resting) {
					t.Error("a resting connection is still open")
				}
				if isClosed(used) {
					t.Error("a connection in use was closed")
				}
				p.put(used)
				if got, want := isClosed(used), tt.rules.maxAge > 0; got != want {
					t.Errorf("a connection in use past its time, given back: closed %v, want %v", got, want)
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if p.open != 0 || len(p.idle) != 0 || p.sweeper != nil {
					t.Errorf("%d open, %d idle, sweeper %v", p.open, len(p.idle), p.sweeper)
				}
			})
		})
	}
}

func TestConnectionsThatExpiredUnsweptAreNotUsed(t *testing.T) {
	p := newTestPool(rules{maxRest: time.Hour})
	c := take(t, p)
	p.put(c)
	c.expires = time.Now().Add(-time.Second)
	if again := take(t, p); again == c || !isClosed(c) || p.open != 1 {
		t.Errorf("used again %v, closed %v, %d open", again == c, isClosed(c), p.open)
	}
	p.close()
}

func TestThePoolKeepsSoManyIdleAndNoMore(t *testing.T) {
	p := newTestPool(rules{maxIdle: 2})
	a, b, c := take(t, p), take(t, p), take(t, p)
	p.put(a)
	p.put(b)
	p.put(c)
	if !isClosed(a) || isClosed(b) || isClosed(c) || p.open != 2 || len(p.idle) != 2 {
		t.Errorf("closed %v %v %v, %d open, %d idle", isClosed(a), isClosed(b), isClosed(c), p.open, len(p.idle))
	}
}

func TestAFullPoolServesThoseWhoWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(rules{maxOpen: 1})
		held := take(t, p)
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				c, err := p.take(t.Context(), time.Now(), time.Now().Add(time.Minute))
				if err != nil {
					t.Error(err)
					return
				}
				if c == nil {
					c = pooled(p)
				}
				order <- i
				if i == 1 {
					p.drop(c) // the leave to make another goes on to the next
					return
				}
				p.put(c)
			}()
			synctest.Wait()
		}
		p.put(held)
		for i := range 3 {
			if got := <-order; got != i {
				t.Errorf("%d was served as number %d", got, i)
			}
		}
		synctest.Wait()
		if p.open != 1 || len(p.idle) != 1 || len(p.waiting) != 0 {
			t.Errorf("%d open, %d idle, %d waiting", p.open, len(p.idle), len(p.waiting))
		}
	})
}

func TestWaitingForAFullPoolEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(rules{maxOpen: 1})
		take(t, p)
		begin := time.Now()
		if _, err := p.take(t.Context(), begin, begin.Add(20*time.Second)); !errors.Is(err, errPoolFull) || time.Since(begin) != 20*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin = time.Now()
		if _, err := p.take(ctx, begin, begin.Add(20*time.Second)); !errors.Is(err, context.Canceled) || time.Since(begin) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		if len(p.waiting) != 0 || p.open != 1 {
			t.Errorf("%d waiting, %d open", len(p.waiting), p.open)
		}
	})
}

func TestAClosedPoolKeepsNothing(t *testing.T) {
	p := newTestPool(rules{maxRest: time.Hour})
	a, b := take(t, p), take(t, p)
	p.put(a)
	p.close()
	p.put(b)
	if !isClosed(a) || !isClosed(b) || p.open != 0 {
		t.Errorf("closed %v %v, %d open", isClosed(a), isClosed(b), p.open)
	}
}
