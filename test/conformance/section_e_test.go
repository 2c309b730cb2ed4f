package conformance

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func sectionE() []Case {
	const jitter = "each pause is moved by up to half of it either way, so that addresses that failed together do not come back together."
	give := []string{"onFailure: dead-letter"}
	return append([]Case{
		{ID: "E3", Shows: "http://host: the request target is /, the port 80, and there is no TLS", Alone: true, Run: bareHost},
		{ID: "E4", Shows: "the ports 80 and 443 are left out of the Host header, any other port stands in it", Alone: true, Run: hostHeader},
		{
			ID: "E5", Shows: "async: connections are refused for a second, then the call succeeds with the body of every attempt the same",
			Differs: jitter, Alone: true, Run: refusedForAWhile,
		},
		{ID: "E6", Shows: "async: a connection that ends within an attempt uses its share of the budget only", Endpoint: give, Run: disconnected},
		{
			ID: "E7", Shows: "async: the budget of the call is used up",
			Differs:  "the failure policy of the endpoint decides about that address; StateFun restarts the job.",
			Endpoint: append([]string{"transport:", "  type: io.statefun.transports.v1/async", "  call: 400ms", "  connect: 400ms"}, give...), Run: budgetUsedUp,
		},
		{
			ID: "E8", Shows: "async: there is no connection to be had, pool_size is 1",
			Differs:  "a call is not made before there is a connection for it, so none fails for want of one.",
			Endpoint: []string{"transport:", "  type: io.statefun.transports.v1/async", "  pool_size: 1", "  call: 20s", "  connect: 200ms"}, Run: poolOfOne,
		},
		{
			ID: "E9", Shows: "async: 404 and 400 are tried again until the budget ends", Endpoint: give,
			Run: func(l *lab) { statuses(l, true, 404, 400) },
		},
		{
			ID: "E10", Shows: "okhttp: 404 and 400 fail at once", Endpoint: okhttpEndpoint(give...),
			Run: func(l *lab) { statuses(l, false, 404, 400) },
		},
		{
			ID: "E11", Shows: "okhttp: 409, 420, 408, 429, 499, 500, 502, 503 and 599 are tried again after 10, 20, 40 … ms", Differs: jitter,
			Endpoint: okhttpEndpoint(), Run: okhttpTriesAgain,
		},
		{
			ID: "E12", Shows: "the pauses between attempts fill the budget and never more",
			Differs:  "a pause is two seconds at most, and the budget keeps a share for a last attempt; StateFun pauses up to the very end of it.",
			Endpoint: give, Run: pausesWithinTheBudget,
		},
		{ID: "E13", Shows: "200 with text/plain: okhttp fails at once, async tries again", Alone: true, Run: plainText},
		{ID: "E14", Shows: "async: Application/Octet-Stream is accepted, with ; charset=utf-8 it is not", Endpoint: give, Run: contentTypes},
		{ID: "E15", Shows: "async: an answer of 40 MB fails, and is tried again until the budget ends", Endpoint: give, Run: largeAnswer},
		{ID: "E16", Shows: "async: a request of 40 MB is sent", Alone: true, Run: largeRequest},
		{ID: "E17", Shows: "an answer encoded with gzip is decoded", Alone: true, Run: gzipped},
		{ID: "E18", Shows: "302: async fails and tries again, okhttp follows it", Alone: true, Run: redirected},
	}, append(sectionESockets(), sectionETLS()...)...)
}

// sectionESockets has the Unix sockets and what is refused or decided when the module is read.
func sectionESockets() []Case {
	return []Case{
		{ID: "E24", Shows: "http+unix:///some/path.sock: that file, path /", Alone: true, Run: func(l *lab) { unixSocket(l, "", "/") }},
		{ID: "E25", Shows: "http+unix:///some/path.sock/hello: path /hello", Alone: true, Run: func(l *lab) { unixSocket(l, "/hello", "/hello") }},
		{
			ID: "E26", Shows: "http+unix:///some/path/hello is refused", Differs: differsAtLoad, Alone: true,
			Run: func(l *lab) {
				l.refused(endpoint("e26/*", "http+unix:///some/path/hello", okhttpEndpoint()...)+egress("e26/out"), ".sock")
			},
		},
		{
			ID: "E27", Shows: "okhttp: timeouts {call: 5s} alone is refused, because read is 10 s", Differs: differsAtLoad, Alone: true,
			Run: func(l *lab) {
				l.refused(endpoint("e27/*", "http://h/", append(okhttpEndpoint(), "  timeouts: {call: 5s}")...), "10s by default", "shorter than read")
			},
		},
		{
			ID: "E28", Shows: "okhttp: timeouts {read: 0s} is refused", Differs: differsAtLoad, Alone: true,
			Run: func(l *lab) {
				l.refused(endpoint("e28/*", "http://h/", append(okhttpEndpoint(), "  timeouts: {read: 0s}")...), "read")
			},
		},
		{
			ID: "E29", Shows: "async: call 30s with timeouts {connect: 1s} is a call of one minute", Alone: true,
			Differs: "validate also warns that call has no effect.",
			Run:     timeoutsObjectWins,
		},
	}
}

const differsAtLoad = "the module is refused before anything starts, by name and line; StateFun fails at the first message."

// okhttpEndpoint are the lines of an endpoint that is called with okhttp; the transport stands last.
func okhttpEndpoint(lines ...string) []string {
	return append(lines, "transport:", "  type: io.statefun.transports.v1/okhttp")
}

// site is a server of a case's own, and what it was asked.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
}

func newSite(l *lab, handler http.Handler) *site {
	s := &site{}
	if handler == nil {
		handler = s
	}
	s.Server = httptest.NewServer(handler)
	l.Cleanup(s.Close)
	return s
}

// first waits for the first request.
func (s *site) first(l *lab) (r *http.Request) {
	l.Helper()
	await(l.T, "a request", func() (bool, <-chan struct{}) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.asked) > 0 {
			r = s.asked[0]
		}
		return r != nil, nil
	})
	return r
}

// serve starts the worker of a case with these endpoints, whose functions ns/names all get each record.
func (l *lab) serve(names string, endpoints ...string) {
	l.Helper()
	var targets []string
	for _, name := range strings.Fields(names) {
		targets = append(targets, l.fn(name))
	}
	documents := append([]string{application(), egress("conformance/out")}, endpoints...)
	l.start(append(documents, ingress(l.ns+"/in", route{l.in(), targets}))...)
}

func bareHost(l *lab) {
	s := newSite(l, nil)
	l.serve("f g", endpoint("e3/f", s.URL), endpoint("e3/g", "http://127.77.77.77", "maxAttempts: 1"))
	l.send("x", "one")
	r := s.first(l)
	equal(l, "request target", r.RequestURI, "/")
	equal(l, "TLS", r.TLS != nil, false)
	if _, err := l.worker.logged(`127\.77\.77\.77:(80): connect`); err != nil {
		l.Error(err)
	}
}

func hostHeader(l *lab) {
	s := newSite(l, nil)
	endpoints, names := []string{endpoint("e4/f", s.URL+"/x")}, "f"
	usual := &site{}
	// Only some machines let a test listen there; the invoker's own tests have this half on all of them.
	if listener, err := net.Listen("tcp", "127.0.0.1:80"); err == nil {
		usual.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: usual}}
		usual.Start()
		l.Cleanup(usual.Close)
		endpoints, names = append(endpoints, endpoint("e4/g", "http://127.0.0.1:80/x")), "f g"
	}
	l.serve(names, endpoints...)
	l.send("x", "one")
	equal(l, "host", s.first(l).Host, s.Listener.Addr().String())
	if usual.Server != nil {
		equal(l, "host at port 80", usual.first(l).Host, "127.0.0.1")
	}
}

func refusedForAWhile(l *lab) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	l.serve("f", endpoint("e5/f", "http://"+address+"/"))
	l.script(broken(), broken(), result(l.output("x", "done")))
	l.send("x", "one")
	l.awaitMetricAtLeast(5, "statefun_invoker_failures_total", `kind="connect"`)
	if listener, err = net.Listen("tcp", address); err != nil {
		l.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.functions.serve(w, r, "f") })}
	go func() { _ = server.Serve(listener) }()
	l.Cleanup(func() { _ = server.Close() })
	l.written(1)
	calls := l.called(3)
	for _, c := range calls {
		equal(l, "body", string(c.body), string(calls[0].body))
	}
	metric, _ := l.worker.metric("statefun_worker_parked_addresses")
	equal(l, "parked addresses", metric, 0)
}

func disconnected(l *lab) {
	gone := false
	l.answer("f", func(call) reply {
		if !gone {
			gone = true
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		return result(l.output("x", "done"))
	})
	l.send("x", "one")
	l.written(1)
	equal(l, "calls", len(l.called(2)), 2)
}

func budgetUsedUp(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	defer g.release()
	l.send("x", "one")
	dead := l.deadLetters(1)[0]
	equal(l, "reason", header(dead, "statefun.dead-letter/reason"), "call-timeout")
	equal(l, "topic", header(dead, "statefun.dead-letter/topic"), l.in())
	equal(l, "calls", len(l.called(1)), 1)
}

func poolOfOne(l *lab) {
	g := l.hold("f", func(c call) reply { return result(l.output(c.Target.ID, "done")) })
	l.send("x", "one")
	l.called(1)
	l.send("y", "two")
	l.arrived(2)
	time.Sleep(400 * time.Millisecond) // twice the time for a connection; that nothing is called has no event
	equal(l, "calls at once", len(l.called(1)), 1)
	g.release()
	l.written(2)
	equal(l, "calls", len(l.called(2)), 2)
}

// statuses answers one address after the other with a status, and looks whether that is tried again.
func statuses(l *lab, again bool, all ...int) {
	l.answer("f", func(c call) reply {
		var status int
		_, _ = fmt.Sscan(c.Target.ID, &status)
		return reply{status: status}
	})
	for _, status := range all {
		l.send(fmt.Sprint(status), "one")
	}
	for _, dead := range l.deadLetters(len(all)) {
		equal(l, "reason", header(dead, "statefun.dead-letter/reason"), "status")
	}
	attempts := map[string]int{}
	for _, c := range l.called(len(all)) {
		attempts[c.Target.ID]++
	}
	for id, n := range attempts {
		if (n > 1) != again {
			l.Errorf("%s: %d attempts", id, n)
		}
	}
}

func okhttpTriesAgain(l *lab) {
	all := []int{409, 420, 408, 429, 499, 500, 502, 503, 599}
	attempts := map[string][]time.Time{}
	var mu sync.Mutex
	l.answer("f", func(c call) reply {
		mu.Lock()
		defer mu.Unlock()
		attempts[c.Target.ID] = append(attempts[c.Target.ID], c.at)
		if len(attempts[c.Target.ID]) == 4 {
			return result(l.output(c.Target.ID, "done"))
		}
		var status int
		_, _ = fmt.Sscan(c.Target.ID, &status)
		return reply{status: status}
	})
	for _, status := range all {
		l.send(fmt.Sprint(status), "one")
	}
	l.written(len(all))
	mu.Lock()
	defer mu.Unlock()
	for id, at := range attempts {
		equal(l, "attempts at "+id, len(at), 4)
		for i, pause := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond} {
			if got := at[i+1].Sub(at[i]); got < pause/2 {
				l.Errorf("%s: pause %d took %v, want about %v", id, i, got, pause)
			}
		}
	}
}

func pausesWithinTheBudget(l *lab) {
	l.answer("f", func(call) reply { return broken() })
	l.send("x", "one")
	l.deadLetters(1)
	calls := l.called(2)
	if span := calls[len(calls)-1].at.Sub(calls[0].at); span > 3*time.Second || span < time.Second {
		l.Errorf("%d attempts took %v, the budget is 3 s", len(calls), span)
	}
	if n := len(calls); n < 5 || n > 15 {
		l.Errorf("%d attempts in 3 s, pauses double from 4 ms", n)
	}
}

func plainText(l *lab) {
	for _, name := range []string{"okhttp", "async"} {
		l.answer(name, func(call) reply { return reply{contentType: "text/plain", body: []byte("hello")} })
	}
	l.serve("okhttp async",
		endpoint("e13/okhttp", l.url(), okhttpEndpoint("onFailure: dead-letter")...),
		endpoint("e13/async", l.url(), append([]string{"onFailure: dead-letter"}, shortCall...)...))
	l.send("x", "one")
	for _, dead := range l.deadLetters(2) {
		equal(l, "reason", header(dead, "statefun.dead-letter/reason"), "content-type")
	}
	equal(l, "attempts of okhttp", len(l.calledFor("okhttp", 1)), 1)
	l.calledFor("async", 3)
}

func contentTypes(l *lab) {
	l.answer("f", func(c call) reply {
		r := result(l.output(c.Target.ID, "done"))
		r.contentType = c.Target.ID
		return r
	})
	l.send("Application/Octet-Stream", "one")
	l.send("application/octet-stream; charset=utf-8", "one")
	equal(l, "accepted", string(l.written(1)[0].Key), "Application/Octet-Stream")
	equal(l, "refused", string(l.deadLetters(1)[0].Key), "application/octet-stream; charset=utf-8")
	equal(l, "outputs", len(l.written(1)), 1)
}

func largeAnswer(l *lab) {
	large := make([]byte, 40_000_000)
	l.answer("f", func(call) reply { return reply{body: large} })
	l.send("x", "one")
	equal(l, "reason", header(l.deadLetters(1)[0], "statefun.dead-letter/reason"), "answer-too-large")
	l.called(2)
}

// largeRequest fills states until a request that carries them all has more than 40 MB.
func largeRequest(l *lab) {
	const states, each, atOnce = 46, 900_000, 6
	value := strings.Repeat("v", each)
	names := make([]string, states)
	for i := range names {
		names[i] = fmt.Sprint("s", i)
	}
	l.answer("f", func(c call) reply {
		var lacking []string
		if len(c.States) < states {
			for _, name := range names {
				lacking = append(lacking, spec(name, ""))
			}
			return incomplete(lacking...)
		}
		for _, s := range c.States {
			if s.Value == nil && len(lacking) < atOnce {
				lacking = append(lacking, set(s.Name, value))
			}
		}
		if len(lacking) == 0 {
			return result(l.output("x", fmt.Sprint(len(c.body) > 40_000_000)))
		}
		return result(append(lacking, message("e16/f", "x", "again"))...)
	})
	l.start()
	l.send("x", "one")
	equal(l, "a request of 40 MB", string(l.written(1)[0].Value), "true")
}

func gzipped(l *lab) {
	s := newSite(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			http.Error(w, "not asked for", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(result(l.output(strings.Trim(r.URL.Path, "/"), "decoded")).body)
		_ = z.Close()
	}))
	l.serve("okhttp async", endpoint("e17/okhttp", s.URL+"/okhttp", okhttpEndpoint()...), endpoint("e17/async", s.URL+"/async"))
	l.send("x", "one")
	for _, r := range l.written(2) {
		equal(l, string(r.Key), string(r.Value), "decoded")
	}
}

func redirected(l *lab) {
	s := newSite(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to", http.StatusFound)
			return
		}
		result(l.output(r.Method, "followed")).write(w)
	}))
	l.serve("okhttp async", endpoint("e18/okhttp", s.URL+"/from", okhttpEndpoint()...),
		endpoint("e18/async", s.URL+"/from", append([]string{"onFailure: dead-letter"}, shortCall...)...))
	l.send("x", "one")
	equal(l, "method at the end of the redirect", string(l.written(1)[0].Key), http.MethodPost)
	equal(l, "async", header(l.deadLetters(1)[0], "statefun.dead-letter/address"), "e18/async/x")
}

func unixSocket(l *lab, suffix, path string) {
	file := filepath.Join(l.TempDir(), "path.sock")
	listener, err := net.Listen("unix", file)
	if err != nil {
		l.Fatal(err)
	}
	s := &site{}
	s.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: s}}
	s.Start()
	l.Cleanup(s.Close)
	l.serve("f", endpoint(l.fn("f"), "http+unix://"+file+suffix, okhttpEndpoint()...))
	l.send("x", "one")
	equal(l, "path", s.first(l).RequestURI, path)
}

func timeoutsObjectWins(l *lab) {
	module := strings.Join(l.documents(), "")
	with := strings.Replace(module, strings.Join(shortCall, "\n  "),
		"transport:\n    type: io.statefun.transports.v1/async\n    call: 30s\n    timeouts: {connect: 1s}", 1)
	l.accepted(with, "call", "the timeouts object stands for call and connect")
}

// awaitMetricAtLeast waits until a metric has reached a value.
func (l *lab) awaitMetricAtLeast(want float64, parts ...string) {
	l.Helper()
	await(l.T, fmt.Sprintf("%v to reach %v", parts, want), func() (bool, <-chan struct{}) {
		got, ok := l.worker.metric(parts...)
		return ok && got >= want, nil
	})
}
