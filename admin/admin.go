// Package admin is the worker's HTTP face for operators: health, readiness and metrics.
//
//	/healthz, /ping    200 as long as the process serves: liveness depends on neither Kafka nor functions, because a restart
//	                   mends neither of them
//	/readyz, /ready    200 when every check passes, 503 otherwise; with ?verbose one line a check
//	/metrics           Prometheus' text format
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

const (
	// closeTimeout is how long Run waits at its end for requests under way; a slow reader of metrics must not hold up the
	// worker's stop, which has ten seconds for everything.
	closeTimeout = time.Second

	// headerTimeout bounds a client that connects and says nothing.
	headerTimeout = 5 * time.Second
)

// Check is one condition of readiness.
type Check struct {
	// Name is shown by /readyz?verbose.
	Name string
	// Ready is nil when the condition holds and otherwise the reason why not. It is called from several goroutines at once
	// and should answer from memory.
	Ready func() error
}

// Config says where the server listens and what it shows.
type Config struct {
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Checks all pass in a process that is ready.
	Checks []Check
	// Gatherer has the metrics; nil leaves /metrics out.
	Gatherer prometheus.Gatherer
	// Logger gets the address and warnings; nil is silence.
	Logger *slog.Logger
}

// Server listens from New on and answers while Run runs.
type Server struct {
	listener net.Listener
	http     *http.Server
	checks   []Check
	logger   *slog.Logger
}

// New listens on the address, so that a port in use is known before anything else starts.
func New(c Config) (*Server, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	ln, err := net.Listen("tcp", c.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen for admin requests on %s: another program listens there; choose another address with %s, port 0 takes a free one", c.Addr, naming.AdminAddr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for admin requests on %q (want host:port): %w", c.Addr, err)
	}
	s := &Server{listener: ln, checks: c.Checks, logger: c.Logger}
	s.http = &http.Server{Handler: s.routes(c.Gatherer), ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn)}
	if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		s.logger.Warn("the admin address is reachable from other machines and asks for no password", "address", s.Addr())
	}
	s.logger.Info("admin server listens", "admin", s.Addr())
	return s, nil
}

// Addr is the host:port listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run answers requests until ctx is done. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve admin requests on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.http.Shutdown(closing); err != nil {
		_ = s.http.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin requests on %s: %w", s.Addr(), err)
	}
	return nil
}

func (s *Server) routes(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/ping"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	}
	for _, path := range []string{"/readyz", "/ready"} {
		mux.HandleFunc("GET "+path, s.ready)
	}
	if metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelError)}))
	}
	return mux
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	_, verbose := r.URL.Query()["verbose"]
	status := http.StatusOK
	var lines, reasons strings.Builder
	for _, c := range s.checks {
		err := c.Ready()
		if err == nil {
			fmt.Fprintf(&lines, "[+] %s ok\n", c.Name)
			continue
		}
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&lines, "[-] %s: %s\n", c.Name, oneLine(err))
		fmt.Fprintf(&reasons, "%s: %s\n", c.Name, oneLine(err))
	}
	switch {
	case verbose && status == http.StatusOK:
		answer(w, status, lines.String()+"ready\n")
	case verbose:
		answer(w, status, lines.String()+"not ready\n")
	case status == http.StatusOK:
		answer(w, status, "ok\n")
	default:
		answer(w, status, reasons.String())
	}
}

// oneLine keeps joined errors, which have a line each, on the line of their check.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
