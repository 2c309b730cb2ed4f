package invoker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswersHoldTheLimitAndOneMore(t *testing.T) {
	const size, calls, limit = 1 << 20, 16, 4 << 20
	answer := bytes.Repeat([]byte("x"), size)
	s := answerWith(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(answer)
	})
	bodies := NewBodies(limit)
	c, err := New(endpointAt(s.URL, async()), Shared{Bodies: bodies})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := make(chan int, calls)
	for range calls {
		go func() {
			body, err := c.Call(t.Context(), anybody, []byte("request"))
			if err != nil {
				t.Error(err)
			}
			read <- len(body)
		}()
	}
	for range calls {
		n := <-read
		if held := bodies.Held(); held > limit+size {
			t.Errorf("answers hold %d bytes, the limit is %d and one answer", held, limit)
		}
		bodies.Applied(n)
	}
	if held := bodies.Held(); held != 0 {
		t.Errorf("%d bytes are held when all is applied", held)
	}
}

func TestOneReaderGoesOnWhenAllWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBodies(10 * freeBytes)
		deadline := time.Now().Add(time.Hour)
		first := &share{bodies: b, ctx: t.Context(), deadline: deadline}
		second := &share{bodies: b, ctx: t.Context(), deadline: deadline}
		grow(t, first, 5*freeBytes)
		grow(t, second, 5*freeBytes)
		grow(t, first, 20*freeBytes) // there is no room, and nobody else goes on

		var mu sync.Mutex
		var done bool
		go func() {
			grow(t, second, 6*freeBytes)
			mu.Lock()
			defer mu.Unlock()
			done = true
		}()
		still := func(want bool, when string) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if done != want {
				t.Errorf("the second goes on: %v %s", done, when)
			}
		}
		still(false, "while the first is read")
		b.read(20 * freeBytes)
		first.close()
		still(false, "while the first waits to be applied")
		b.Applied(20 * freeBytes)
		still(true, "when it is applied")
		second.close()
		if b.Held() != 0 {
			t.Errorf("%d bytes are held", b.Held())
		}
	})
}

func TestAnAnswerWithoutRoomEndsWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBodies(freeBytes)
		b.read(freeBytes)
		ctx, cancel := context.WithCancel(t.Context())
		late := &share{bodies: b, ctx: t.Context(), deadline: time.Now().Add(time.Minute)}
		began := time.Now()
		if err := late.grow(2 * freeBytes); !isTimeout(err) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		cancel()
		given := &share{bodies: b, ctx: ctx, deadline: time.Now().Add(time.Minute)}
		if err := given.grow(2 * freeBytes); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		small := &share{bodies: b, ctx: ctx, deadline: began}
		grow(t, small, freeBytes)
	})
}

// Answers of other functions come and are applied all the time, so that there is always one that waits.
func TestSmallAnswersDoNotKeepLargeOnesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBodies(100 * freeBytes)
		deadline := time.Now().Add(time.Minute)
		first := &share{bodies: b, ctx: t.Context(), deadline: deadline}
		second := &share{bodies: b, ctx: t.Context(), deadline: deadline}
		b.read(1000)
		grow(t, first, 50*freeBytes)
		grow(t, second, 49*freeBytes)
		began := time.Now()
		grow(t, first, 51*freeBytes)
		first.close()
		grow(t, second, 52*freeBytes)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("they were read after %v", waited)
		}
	})
}

func grow(t *testing.T, s *share, size int64) {
	t.Helper()
	if err := s.grow(size); err != nil {
		t.Error(err)
	}
}
