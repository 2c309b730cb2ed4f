package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// host serves functions inside the test process.
type host struct {
	t       *testing.T
	addr    string
	server  *http.Server
	handler http.Handler
}

// serve starts a host that ends with the test.
func serve(t *testing.T, handler http.Handler) *host {
	t.Helper()
	h := &host{t: t, addr: "127.0.0.1:0", handler: handler}
	h.open()
	t.Cleanup(h.close)
	return h
}

// open listens, on the port of the last time when there was one.
func (h *host) open() {
	h.t.Helper()
	listener, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatalf("listen for functions: %v", err)
	}
	h.addr = listener.Addr().String()
	h.server = &http.Server{Handler: h.handler}
	go func(s *http.Server) { _ = s.Serve(listener) }(h.server)
}

// close drops all connections, as a function that died does.
func (h *host) close() { _ = h.server.Close() }

func (h *host) url() string { return "http://" + h.addr + "/functions" }

// faults stand between the worker and the functions of a host; each is for one address.
type faults struct {
	mu    sync.Mutex
	byID  map[string]http.HandlerFunc
	calls map[string]int
}

func newFaults() *faults {
	return &faults{byID: map[string]http.HandlerFunc{}, calls: map[string]int{}}
}

// set makes calls for the id go to a fault; nil mends it.
func (f *faults) set(id string, fault http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[id] = fault
}

// count is how often the id was called.
func (f *faults) count(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[id]
}

// before puts the faults before the functions.
func (f *faults) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the worker gave up
		}
		id, err := targetID(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		f.calls[id]++
		fault := f.byID[id]
		f.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if fault != nil {
			fault(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// targetID is the id of the address that a request is for.
func targetID(body []byte) (string, error) {
	const invocationField, targetField, idField = 100, 1, 3
	rest := body
	for _, number := range []protowire.Number{invocationField, targetField, idField} {
		var ok bool
		if rest, ok = field(rest, number); !ok {
			return "", fmt.Errorf("the request has no field %d where one must be", number)
		}
	}
	return string(rest), nil
}

// field is the first length-delimited field of that number in a message.
func field(message []byte, number protowire.Number) ([]byte, bool) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil, false
		}
		message = message[size:]
		if n == number && kind == protowire.BytesType {
			value, size := protowire.ConsumeBytes(message)
			return value, size >= 0
		}
		if size = protowire.ConsumeFieldValue(n, kind, message); size < 0 {
			return nil, false
		}
		message = message[size:]
	}
	return nil, false
}

// The faults that a function can show.

// failing answers 500.
func failing(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "the function is broken", http.StatusInternalServerError)
}

// garbage answers bytes that are no protobuf message, as if they were one.
func garbage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(bytes.Repeat([]byte{0xff}, 64))
}

// hanging does not answer until the worker gives up.
func hanging(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// gigabyte answers a gigabyte, or as much of it as the worker takes.
func gigabyte(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	chunk := make([]byte, 1<<20)
	for range 1 << 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}
