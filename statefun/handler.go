package statefun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// DefaultMaxRequestBytes is the size of the largest request that a Handler reads unless told otherwise. A runtime sends
// the state and the waiting messages of one instance at once.
const DefaultMaxRequestBytes = 64 << 20

// mediaType is that of requests and answers.
const mediaType = "application/octet-stream"

// A Handler serves functions to a runtime, as an [http.Handler] under any path. Set its fields before the first call.
type Handler struct {
	// MaxRequestBytes bounds the body of a request; 0 means DefaultMaxRequestBytes. A larger one is answered with
	// status 413, at which statefun-kafka sends smaller batches.
	MaxRequestBytes int64
	// Timeout is the longest time that a call may take, as the deadline of the function's Context; 0 means none.
	Timeout time.Duration
	// Grace is how long the calls that run may go on when Serve is to end; 0 means DefaultGrace.
	Grace time.Duration
	// Logger takes a line for each call that fails; nil means none. The runtime gets the reason in either case.
	Logger *slog.Logger
	// Clock is what Context.Now reads; nil means time.Now.
	Clock func() time.Time

	functions map[functionKey]*binding
	works     sync.Pool // of *work
}

// functionKey is a function type as it travels. Two type names that read the same may be cut at different slashes.
type functionKey struct{ namespace, name string }

// errRequest marks a request that no repetition makes better.
var errRequest = errors.New("bad request")

// NewHandler makes a handler for functions. The error names all that is wrong with them.
func NewHandler(functions ...Function) (*Handler, error) {
	h := &Handler{functions: map[functionKey]*binding{}}
	var faults []error
	for _, f := range functions {
		if err := f.check(); err != nil {
			faults = append(faults, err)
			continue
		}
		namespace, name, _ := f.Type.Split()
		key := functionKey{namespace, name}
		if h.functions[key] != nil {
			faults = append(faults, fmt.Errorf("function %q is given twice", f.Type))
			continue
		}
		b := &binding{Function: f, wild: name == wildcard}
		for _, s := range f.States {
			b.specs = append(b.specs, s.spec())
		}
		h.functions[key] = b
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return h, nil
}

// ServeHTTP answers a call of the runtime. The status is 200 when the function has succeeded, or needs state; 500 when
// it has failed or is not known here; 400, 405, 413 or 415 for what is no such call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, status, err := h.read(w, r)
	if err != nil {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		h.refuse(w, status, err)
		return
	}
	buffers := h.work()
	defer h.release(buffers)
	answer, err := h.invoke(r.Context(), body, buffers)
	switch {
	case errors.Is(err, errRequest):
		h.refuse(w, http.StatusBadRequest, err)
	case err != nil:
		h.refuse(w, http.StatusInternalServerError, err)
	default:
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer) // if the runtime is gone it calls again
	}
}

// Invoke answers one call outside of HTTP: body is a ToFunction, the answer a FromFunction. It fits where a platform
// calls Go code itself, such as a Lambda. ctx should end with the call; functions keep what they like of body. The answer
// belongs to the caller.
func (h *Handler) Invoke(ctx context.Context, body []byte) ([]byte, error) {
	buffers := h.work()
	defer h.release(buffers)
	kept := buffers.answer
	buffers.answer = nil // so that the answer gets memory of its own
	answer, err := h.invoke(ctx, body, buffers)
	if buffers.answer = kept; err != nil {
		h.log(err)
		return nil, err
	}
	return answer, nil
}

// invoke runs a call with buffers that it may use until they are released; the answer is a part of them.
func (h *Handler) invoke(ctx context.Context, body []byte, w *work) ([]byte, error) {
	if err := w.parse(body); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if h.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.Timeout)
		defer cancel()
	}
	function := h.find(&w.target)
	if function == nil {
		return nil, fmt.Errorf("there is no function %s/%s here", w.target.namespace, w.target.name)
	}
	c := &call{function: function, work: w, turn: over, now: h.now(), logger: h.logger(),
		self: Address{Type: function.Type, ID: string(w.target.id)}}
	if function.wild {
		c.self.Type = TypeName(string(w.target.namespace) + "/" + string(w.target.name))
	}
	answer, err := c.run(ctx)
	c.mu.Lock()
	c.work = nil
	c.mu.Unlock()
	if err == nil {
		w.answer = answer
	}
	return answer, err
}

// find is the function for a target: that of its type, or else that of its namespace.
func (h *Handler) find(target *wireAddress[[]byte]) *binding {
	if b := h.functions[functionKey{string(target.namespace), string(target.name)}]; b != nil && !b.wild {
		return b
	}
	return h.functions[functionKey{string(target.namespace), wildcard}]
}

// read takes the body of a request that looks like a call.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (body []byte, status int, err error) {
	limit := h.MaxRequestBytes
	if limit <= 0 {
		limit = DefaultMaxRequestBytes
	}
	switch {
	case r.Method != http.MethodPost:
		return nil, http.StatusMethodNotAllowed, fmt.Errorf("the method is %s, not POST", r.Method)
	case !isMediaType(r.Header.Get("Content-Type")):
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the content type is %s, not %s", r.Header.Get("Content-Type"), mediaType)
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		return nil, http.StatusUnsupportedMediaType, fmt.Errorf("the content encoding is %s, not none", r.Header.Get("Content-Encoding"))
	case r.ContentLength > limit:
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the request has %d bytes, %d are allowed", r.ContentLength, limit)
	}
	body, err = readBody(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("the request has more than the %d bytes that are allowed", limit)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("read the request: %w", err)
	case len(body) == 0:
		return nil, http.StatusBadRequest, errors.New("the request is empty")
	}
	return body, http.StatusOK, nil
}

// trusted is the length up to which a body gets its memory at once; a longer one must come before it is believed.
const trusted = 1 << 20

// readBody reads a body of that length, or of unknown length below 0. The memory is not used again: messages
// and what functions keep of them are views of it.
func readBody(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > trusted {
		return io.ReadAll(r)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}

// isMediaType takes an absent type too, as all SDKs do.
func isMediaType(header string) bool {
	if header == "" || header == mediaType {
		return true
	}
	given, _, err := mime.ParseMediaType(header)
	return err == nil && given == mediaType
}

// refuse answers with a reason and logs it.
func (h *Handler) refuse(w http.ResponseWriter, status int, err error) {
	h.log(err)
	http.Error(w, err.Error(), status)
}

func (h *Handler) log(err error) {
	attributes := []any{"error", err}
	var p *PanicError
	if errors.As(err, &p) {
		attributes = append(attributes, "stack", string(p.Stack))
	}
	h.logger().Error("call failed", attributes...)
}

// discard stands for a logger that was not given.
var discard = slog.New(slog.DiscardHandler)

func (h *Handler) logger() *slog.Logger {
	if h.Logger == nil {
		return discard
	}
	return h.Logger
}

func (h *Handler) now() time.Time {
	if h.Clock == nil {
		return time.Now()
	}
	return h.Clock()
}

func (h *Handler) work() *work {
	if w, ok := h.works.Get().(*work); ok {
		return w
	}
	return &work{}
}

func (h *Handler) release(w *work) {
	if w.reset() {
		h.works.Put(w)
	}
}
