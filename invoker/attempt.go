package invoker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// failureBytes is how much of the body of a failure is read, so that the connection can be kept and
	// the error can quote it; failureText is what of it the error quotes.
	failureBytes = 4 << 10
	failureText  = 200
	// failureTime is how long a failure's body may take.
	failureTime = time.Second
)

var errStale = errors.New("the connection ended while it was idle")

// attempt sends a request once, on to wherever it is redirected.
func (c *Caller) attempt(ctx context.Context, t *target, request []byte, now, deadline time.Time) ([]byte, *Error) {
	for hops := 0; ; hops++ {
		body, failure, location := c.send(ctx, t, request, now, deadline)
		if failure == nil {
			return body, nil
		}
		if failure.URL = t.url; location == "" {
			return nil, failure
		}
		if hops == maxRedirects {
			failure.Err = fmt.Errorf("redirected more than %d times", maxRedirects)
			return nil, failure
		}
		next, err := c.redirected(t, location)
		if err != nil {
			failure.Err = fmt.Errorf("redirected to %.200q: %w", location, err)
			return nil, failure
		}
		c.redirect.Do(func() {
			c.log.Warn("endpoint redirects its calls, which costs a connection for each; set urlPathTemplate to where it leads",
				"endpoint", c.endpoint.Functions.String(), "from", t.url, "to", next.url)
		})
		t, now = next, time.Now()
	}
}

// redirected returns where a redirect leads. Its connections are not kept: the server names as many
// places as it likes.
func (c *Caller) redirected(from *target, location string) (*target, error) {
	u, err := from.at.Parse(location)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is not followed", u.Scheme)
	}
	d, err := destinationOf(u)
	if err != nil {
		return nil, err
	}
	return c.newTarget(u, d), nil
}

// send sends a request once. A connection used before that ends before one byte of an answer came is
// replaced by a new one at once: servers close idle connections when they like, which is no failure.
func (c *Caller) send(ctx context.Context, t *target, request []byte, now, deadline time.Time) (body []byte, failure *Error, location string) {
	var cn *conn
	if t.pool != nil {
		var err error
		if cn, err = t.pool.take(ctx, now, earlier(now.Add(c.rules.connect), deadline)); err != nil {
			return nil, &Error{Kind: KindConnectTimeout, Err: err}, ""
		}
	}
	for {
		if cn == nil {
			if cn, failure = c.open(ctx, t, deadline); failure != nil {
				return nil, failure, ""
			}
			now = time.Now()
		}
		body, failure = c.exchange(ctx, cn, t, request, now, deadline)
		if failure == nil || !cn.reused || cn.got || failure.Kind != KindClosed {
			break
		}
		cn.close()
		cn = nil
	}
	if failure != nil && c.redirects(failure.Status) {
		location = string(cn.answer.location)
	}
	switch {
	case t.pool == nil:
		cn.close()
	case cn.keep:
		t.pool.put(cn)
	default:
		t.pool.drop(cn)
	}
	return body, failure, location
}

// open makes a connection, for which the pool has given leave.
func (c *Caller) open(ctx context.Context, t *target, deadline time.Time) (*conn, *Error) {
	cn, err := c.dial(ctx, t.to, earlier(time.Now().Add(c.rules.connect), deadline))
	if err == nil {
		if t.pool != nil {
			t.pool.opened(cn)
		}
		return cn, nil
	}
	if t.pool != nil {
		t.pool.drop(nil)
	}
	failure := failed(connecting, err, deadline)
	var handshake *handshakeError
	if failure.Kind == KindConnect && errors.As(err, &handshake) {
		failure.Kind = KindTLS
	}
	return nil, failure
}

// exchange sends a request on a connection and reads the answer, unless ctx ends it before.
func (c *Caller) exchange(ctx context.Context, cn *conn, t *target, request []byte, now, deadline time.Time) ([]byte, *Error) {
	cn.keep = false
	if !c.watches.add(ctx, cn) {
		return nil, &Error{Kind: KindCancelled, Err: ctx.Err()}
	}
	body, failure := c.roundTrip(ctx, cn, t.head, request, now, deadline)
	if c.watches.remove(cn) {
		cn.keep = false
		if failure != nil {
			return nil, &Error{Kind: KindCancelled, Err: ctx.Err()}
		}
	}
	cn.reused = cn.reused || cn.keep
	return body, failure
}

func (c *Caller) roundTrip(ctx context.Context, cn *conn, head, request []byte, now, deadline time.Time) ([]byte, *Error) {
	if err := cn.begin(&c.rules, now, deadline); err != nil {
		return nil, failed(writing, err, deadline)
	}
	if cn.reused && !cn.idle.ok() {
		return nil, &Error{Kind: KindClosed, Err: errStale}
	}
	if err := cn.send(head, request); err != nil {
		return nil, c.unsent(cn, err, deadline)
	}
	if err := cn.answer.readHead(cn.reader); err != nil {
		return nil, failed(reading, err, deadline)
	}
	if failure := c.judge(cn); failure != nil {
		return nil, failure
	}
	room := &cn.answer.body.share
	*room = share{bodies: c.bodies, ctx: ctx, deadline: deadline}
	defer room.close()
	body, err := cn.answer.readBody(c.rules.answerBytes)
	if err != nil {
		return nil, failed(reading, err, deadline)
	}
	c.bodies.read(len(body))
	cn.keep = cn.answer.reusable()
	return body, nil
}

// unsent makes the error of a request that could not be written. A server that refuses a large request
// answers and closes before it has read it: that answer says more than the broken pipe.
func (c *Caller) unsent(cn *conn, err error, deadline time.Time) *Error {
	failure := failed(writing, err, deadline)
	if failure.Kind != KindClosed {
		return failure
	}
	cn.hurry(failureTime)
	if cn.answer.readHead(cn.reader) == nil {
		if answered := c.judge(cn); answered != nil {
			cn.keep = false
			return answered
		}
	}
	return failure
}

// judge returns what is wrong with the head of an answer, nil if nothing is.
func (c *Caller) judge(cn *conn) *Error {
	a := &cn.answer
	switch {
	case a.status == 413:
		c.finish(cn)
		return &Error{Kind: KindRequestTooLarge, Status: a.status, Err: ErrTooLarge}
	case a.status/100 != 2:
		err := fmt.Errorf("status %d", a.status)
		if text := c.finish(cn); text != "" {
			err = fmt.Errorf("status %d: %q", a.status, text)
		}
		return &Error{Kind: KindStatus, Status: a.status, Err: err}
	case !c.rules.accepts(a.contentType):
		err := fmt.Errorf("the answer has content-type %.100q, want %q", a.contentType, mediaType)
		c.finish(cn)
		return &Error{Kind: KindContentType, Status: a.status, Err: err}
	default:
		return nil
	}
}

// finish reads the body of a failure if it is short, so that the connection can be used again, and
// returns the beginning of its text.
func (c *Caller) finish(cn *conn) string {
	a := &cn.answer
	if a.body.toClose || a.length > failureBytes {
		return ""
	}
	cn.hurry(failureTime)
	a.body.limit = failureBytes
	text, err := a.body.all()
	if err == nil {
		cn.keep = a.reusable()
	}
	if a.encoding != plain || len(text) == 0 {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), failureText)])), "")
}

// redirects says whether an answer of this status sends the request on. Statuses that would turn the
// POST into a GET (300, 303) are failures: no function answers a GET.
func (c *Caller) redirects(status int) bool {
	switch status {
	case 301, 302, 307, 308:
		return c.rules.followRedirects
	default:
		return false
	}
}
