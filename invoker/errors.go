package invoker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// The kinds of failure, for metrics and for whoever decides what to do about one.
const (
	KindURL             = "url"               // the URL template makes no URL for this function
	KindConnect         = "connect"           // refused, unreachable, or a name that does not resolve
	KindConnectTimeout  = "connect-timeout"   // no connection, or no room in the pool, in the time for it
	KindTLS             = "tls"               // the TLS handshake failed
	KindWriteTimeout    = "write-timeout"     // the request was not taken in time
	KindReadTimeout     = "read-timeout"      // nothing came for too long
	KindCallTimeout     = "call-timeout"      // the budget of the call ended while an attempt was under way
	KindClosed          = "closed"            // the connection was closed before the answer was complete
	KindStatus          = "status"            // the status is not 2xx
	KindContentType     = "content-type"      // the answer is not of the protocol's media type
	KindMalformed       = "malformed"         // the answer is not HTTP/1.1, or its encoding is broken
	KindAnswerTooLarge  = "answer-too-large"  // the answer is larger than the endpoint allows
	KindRequestTooLarge = "request-too-large" // the server refuses the request for its size: ErrTooLarge
	KindCancelled       = "cancelled"         // the context is done, or the caller was closed
	KindFunction        = "function"          // a function in process returned an error
	KindPanic           = "panic"             // a function in process panicked
)

var (
	// ErrTooLarge says that the server refuses the request for its size (status 413): send less.
	ErrTooLarge = errors.New("the server refuses a request of this size")
	// ErrClosed says that the Caller was closed.
	ErrClosed = errors.New("the caller of the endpoint is closed")
)

// What can be wrong with an answer whichever way it came.
var (
	errMalformed      = errors.New("malformed answer")
	errAnswerTooLarge = errors.New("answer too large")
)

// An Error says why a call failed: how the last of its attempts did.
type Error struct {
	Kind     string // one of the Kind constants
	Status   int    // of the answer, when there was one
	Attempts int
	URL      string // without a password
	Err      error
	// Down says that the circuit of the endpoint is open: the failure is everybody's, not this address'.
	Down  bool
	stack []byte // of a panic
}

// Busy tells a status by which a server, or a proxy before it, says that it cannot serve now, whatever the request is.
func (e *Error) Busy() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Error names the URL, the cause and the number of attempts.
func (e *Error) Error() string {
	plural := "s"
	if e.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("call %s: %s: %v (%d attempt%s)", e.URL, e.Kind, e.Err, e.Attempts, plural)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A phase is what an attempt was doing when it failed; a time-out has the phase's own kind.
type phase string

const (
	connecting phase = KindConnectTimeout
	writing    phase = KindWriteTimeout
	reading    phase = KindReadTimeout
)

// failed makes the error of an attempt that met err in phase p.
func failed(p phase, err error, deadline time.Time) *Error {
	e := &Error{Err: err}
	switch {
	case errors.Is(err, errMalformed):
		e.Kind = KindMalformed
	case errors.Is(err, errAnswerTooLarge):
		e.Kind = KindAnswerTooLarge
	case isTimeout(err):
		e.Kind = string(p)
		if !time.Now().Before(deadline) {
			e.Kind = KindCallTimeout
			e.Err = fmt.Errorf("the budget of the call ended: %w", err)
		}
	case p == connecting:
		e.Kind = KindConnect
	default:
		e.Kind = KindClosed
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			e.Err = fmt.Errorf("the server closed the connection before its answer was complete: %w", err)
		}
	}
	return e
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &t) && t.Timeout())
}
