package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// call is one request that a function got.
type call struct {
	request
	function string // the last part of the URL's path
	header   http.Header
	body     []byte
	at       time.Time
	ctx      context.Context // ends when the worker gives up
}

// functions are those of one case: they record their calls and answer what the case says.
type functions struct {
	mu      sync.Mutex
	calls   []call
	answers map[string]func(call) reply // by function name
	changed chan struct{}               // closed and replaced at every call
}

func newFunctions() *functions {
	return &functions{answers: map[string]func(call) reply{}, changed: make(chan struct{})}
}

// serve records a call and answers it. Bodies of the 2.2 generation are recorded without being read.
func (f *functions) serve(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the worker gave up
	}
	c := call{function: name, header: r.Header.Clone(), body: body, at: time.Now(), ctx: r.Context()}
	// A body of another generation does not parse, or parses to something else; its case reads it from the bytes.
	c.request, _ = parseRequest(body)
	f.mu.Lock()
	f.calls = append(f.calls, c)
	answer := f.answers[name]
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
	if answer == nil {
		done().write(w)
		return
	}
	answer(c).write(w)
}

func (f *functions) answer(name string, with func(call) reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name] = with
}

// all is what was called so far, and a channel that closes when there is more.
func (f *functions) all() ([]call, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[:len(f.calls):len(f.calls)], f.changed
}

// host serves the functions of all cases under /namespace/function.
type host struct {
	listener net.Listener

	mu    sync.Mutex
	cases map[string]*functions // by namespace
}

func newHost() (*host, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for functions: %w", err)
	}
	h := &host{listener: listener, cases: map[string]*functions{}}
	go func() { _ = http.Serve(listener, h) }()
	return h, nil
}

// ServeHTTP hands the call to the functions of the case.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	namespace, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	h.of(namespace).serve(w, r, name)
}

// of is the functions of a namespace.
func (h *host) of(namespace string) *functions {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.cases[namespace]
	if f == nil {
		f = newFunctions()
		h.cases[namespace] = f
	}
	return f
}

// url is where the functions of a namespace are; it is a template for module.yaml.
func (h *host) url(namespace string) string {
	return fmt.Sprintf("http://%s/%s/{function.name}", h.listener.Addr(), namespace)
}

// gate holds calls back until it is opened, or until the worker gives up.
type gate struct {
	once sync.Once
	open chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

func (g *gate) pass(c call) {
	select {
	case <-g.open:
	case <-c.ctx.Done():
	}
}

func (g *gate) released() bool {
	select {
	case <-g.open:
		return true
	default:
		return false
	}
}
