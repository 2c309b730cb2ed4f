package invoker

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// defaultAnswerBytes bounds the answer of an endpoint that sets no bound: what StateFun's async transport allows.
const defaultAnswerBytes = 32 << 20

// maxRedirects is how often one attempt is sent on, as in OkHttp.
const maxRedirects = 20

// connectionLife is how long okhttp's connections are used, which in StateFun have no end while they are busy: servers
// that were added, or that a name has moved to, get their share within it. The async transport's pool_ttl does the same.
const connectionLife = time.Minute

// firstPauseAsync is async's pause behind a first attempt.
const firstPauseAsync = 4 * time.Millisecond

const mediaType = "application/octet-stream"

// rules are what the two transports of StateFun differ in.
type rules struct {
	okhttp, inProcess bool
	// call, connect, read and write as in module.Transport; but call is never 0.
	call, connect, read, write time.Duration
	tries                      time.Duration // if not for as long as call
	// firstPause is doubled after each attempt.
	firstPause      time.Duration
	answerBytes     int64
	followRedirects bool
	acceptEncoding  string

	// maxOpen bounds the connections of a pool, maxIdle those of them kept idle; 0: no bound.
	maxOpen, maxIdle int
	// maxAge ends a connection some time after it was opened, maxRest after its last use (okhttp); 0: never.
	maxAge, maxRest time.Duration
}

func newRules(e *module.Endpoint) (rules, error) {
	t := e.Transport
	r := rules{call: t.Call, connect: t.Connect, read: t.Read, write: t.Write, followRedirects: t.FollowRedirects, answerBytes: t.PayloadMaxBytes}
	if r.answerBytes <= 0 {
		r.answerBytes = defaultAnswerBytes
	}
	if r.call <= 0 || r.connect <= 0 {
		return rules{}, errors.New("the call and connect time-outs must be more than 0")
	}
	if t.PoolSize < 0 {
		return rules{}, fmt.Errorf("pool_size %d is negative", t.PoolSize)
	}
	switch t.Kind {
	case module.TransportOkHTTP:
		r.okhttp = true
		r.firstPause = 10 * time.Millisecond
		r.maxIdle = t.PoolSize
		if r.maxRest = max(t.PoolTTL, 0); r.maxRest > 0 {
			r.maxAge = connectionLife
		}
		r.acceptEncoding = "gzip"
		if r.read <= 0 || r.write <= 0 {
			return rules{}, errors.New("the read and write time-outs must be more than 0")
		}
		if max(r.connect, r.read, r.write) > r.call {
			return rules{}, fmt.Errorf("the connect, read and write time-outs (%s, %s, %s) must not be longer than the call time-out of %s", r.connect, r.read, r.write, r.call)
		}
	case module.TransportAsync:
		r.firstPause = firstPauseAsync
		r.maxOpen = t.PoolSize
		r.maxAge = max(t.PoolTTL, 0)
		r.acceptEncoding = "gzip,deflate"
	default:
		return rules{}, fmt.Errorf("transport %q: use %q or %q", t.Kind, module.TransportOkHTTP, module.TransportAsync)
	}
	return r, nil
}

const (
	// unbounded is for how long a call in process that has no budget is tried again. What runs is not ended by it.
	unbounded = time.Minute
	// untilParked is for how long it is where its address is parked in the end. No circuit says that it will fail, so many
	// addresses that fail would have all slots of the worker; a parked one waits as well and has none.
	untilParked = time.Second
)

// inProcessRules are those of a function in this process, which is tried again as by the async transport.
func inProcessRules(e *module.Endpoint) rules {
	r := rules{inProcess: true, call: e.Transport.Call, firstPause: firstPauseAsync, answerBytes: e.Transport.PayloadMaxBytes}
	if r.call <= 0 {
		r.call = unbounded
	}
	if e.OnFailure == module.FailureRetry {
		r.tries = min(r.call, untilParked)
	}
	if r.answerBytes <= 0 {
		r.answerBytes = defaultAnswerBytes
	}
	return r
}

// lasts is for how long attempts of a call begin.
func (r *rules) lasts() time.Duration {
	if r.tries > 0 {
		return r.tries
	}
	return r.call
}

// retryable says whether another attempt may help, by the rules of the transport: async tries everything
// again, okhttp what went wrong on the wire and the statuses that stand for a passing state.
func (r *rules) retryable(e *Error) bool {
	switch e.Kind {
	case KindRequestTooLarge:
		return false
	case KindStatus:
		return !r.okhttp || retryableStatus(e.Status)
	case KindContentType, KindAnswerTooLarge:
		return !r.okhttp
	default:
		return true
	}
}

func retryableStatus(status int) bool {
	switch status {
	case 408, 409, 420, 429, 499:
		return true
	default:
		return status >= 500
	}
}

// accepts says whether the content-type of an answer will do. Both transports refuse parameters; async
// takes the media type as one of a list.
func (r *rules) accepts(contentType []byte) bool {
	for {
		item, rest, more := contentType, []byte(nil), false
		if !r.okhttp {
			item, rest, more = bytes.Cut(contentType, []byte{','})
		}
		if equalFold(bytes.TrimSpace(item), mediaType) {
			return true
		}
		if !more {
			return false
		}
		contentType = rest
	}
}

// longestPause ends the doubling. StateFun doubles to the end of the budget, so that a function that comes back after
// half a minute is called by some addresses half a minute later.
const longestPause = 2 * time.Second

// A backoff holds the pauses between the attempts of one call.
type backoff struct {
	pause   time.Duration
	reserve time.Duration
	jitter  func(time.Duration) time.Duration
}

// backoff returns the pauses of a new call. A last attempt keeps a share of the budget for itself:
// a pause up to the very end of the budget would be a pause for nothing.
func (r *rules) backoff() backoff {
	return backoff{pause: r.firstPause, reserve: min(r.lasts()/4, time.Second), jitter: spread}
}

// next returns the pause before the next attempt, and false when the remaining budget is too small for one.
func (b *backoff) next(remaining time.Duration) (time.Duration, bool) {
	if remaining <= max(b.reserve, time.Millisecond) {
		return 0, false
	}
	p := min(b.jitter(b.pause), remaining-b.reserve)
	b.pause = min(2*b.pause, longestPause)
	return p, true
}

// spread moves d by up to half of it either way, so that addresses that failed together do not come back together.
func spread(d time.Duration) time.Duration { return d/2 + rand.N(d) }
