package invoker

import (
	"context"
	"sync"
)

// maxIdleWatches bounds the contexts that stay watched while no call uses them.
const maxIdleWatches = 256

// watches close the connections in use when the context of their call is done. A worker's calls share a
// few contexts, so each context is watched once for all of them: context.AfterFunc for each call would
// allocate and take the context's lock twice.
type watches struct {
	mu     sync.Mutex
	byDone map[<-chan struct{}]*watch
}

// A watch holds the connections in use under one context.
type watch struct {
	first *conn
	stop  func() bool
	fired bool
}

// add begins to watch ctx for c; false: ctx is done already.
func (ws *watches) add(ctx context.Context, c *conn) bool {
	done := ctx.Done()
	if done == nil {
		return true
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w, ok := ws.byDone[done]
	if !ok {
		if ctx.Err() != nil {
			return false
		}
		w = ws.watch(ctx, done)
	}
	c.watched, c.prev, c.next = w, nil, w.first
	if w.first != nil {
		w.first.prev = c
	}
	w.first = c
	return true
}

func (ws *watches) watch(ctx context.Context, done <-chan struct{}) *watch {
	if ws.byDone == nil {
		ws.byDone = map[<-chan struct{}]*watch{}
	}
	if len(ws.byDone) >= maxIdleWatches {
		ws.forget()
	}
	w := &watch{}
	w.stop = context.AfterFunc(ctx, func() { ws.fire(w, done) })
	ws.byDone[done] = w
	return w
}

// remove ends the watching for c: after it, ctx does not close c any more. It says whether ctx did.
func (ws *watches) remove(c *conn) (fired bool) {
	if c.watched == nil {
		return false
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := c.watched
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.watched, c.prev, c.next = nil, nil, nil
	return w.fired
}

func (ws *watches) fire(w *watch, done <-chan struct{}) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byDone[done] == w {
		delete(ws.byDone, done)
	}
	w.fired = true
	for c := w.first; c != nil; c = c.next {
		c.close()
	}
}

// end forgets the contexts that no call uses.
func (ws *watches) end() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.forget()
}

func (ws *watches) forget() {
	for d, w := range ws.byDone {
		if w.first == nil {
			w.stop()
			delete(ws.byDone, d)
		}
	}
}
