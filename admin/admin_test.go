package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/admin"
)

// serve runs a server until the test ends and fails the test when its end is not clean.
func serve(t *testing.T, c admin.Config) *admin.Server {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	s, err := admin.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

func get(t *testing.T, s *admin.Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAnswers(t *testing.T) {
	var reason atomic.Pointer[error]
	check := admin.Check{Name: "worker", Ready: func() error {
		if p := reason.Load(); p != nil {
			return *p
		}
		return nil
	}}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "statefun_test_answer_total", Help: "An answer."}, func() float64 { return 42 }))
	s := serve(t, admin.Config{Checks: []admin.Check{check, {Name: "disk", Ready: func() error { return nil }}}, Gatherer: reg})

	tests := []struct {
		name, path string
		reason     error
		status     int
		body       string
	}{
		{"alive when ready", "/healthz", nil, 200, "ok\n"},
		{"alive when not ready", "/healthz", errors.New("no broker"), 200, "ok\n"},
		{"ping is alive", "/ping", errors.New("no broker"), 200, "ok\n"},
		{"ready", "/readyz", nil, 200, "ok\n"},
		{"ready alias", "/ready", nil, 200, "ok\n"},
		{"ready in words", "/readyz?verbose", nil, 200, "[+] worker ok\n[+] disk ok\nready\n"},
		{"not ready says why", "/readyz", errors.New("no broker"), 503, "worker: no broker\n"},
		{"not ready alias", "/ready", errors.New("no broker"), 503, "worker: no broker\n"},
		{"not ready in words", "/readyz?verbose", errors.Join(errors.New("no broker"), errors.New("no group")), 503,
			"[-] worker: no broker; no group\n[+] disk ok\nnot ready\n"},
		{"unknown path", "/nowhere", nil, 404, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.reason != nil {
				reason.Store(&tt.reason)
				defer reason.Store(nil)
			}
			if status, body := get(t, s, tt.path); status != tt.status || body != tt.body {
				t.Fatalf("GET %s: %d %q, want %d %q", tt.path, status, body, tt.status, tt.body)
			}
		})
	}

	t.Run("metrics", func(t *testing.T) {
		if status, body := get(t, s, "/metrics"); status != 200 || !strings.Contains(body, "statefun_test_answer_total 42") {
			t.Fatalf("GET /metrics: %d %q", status, body)
		}
	})
}

func TestAddressIsLoggedAndWarnedAboutBeyondLoopback(t *testing.T) {
	for addr, warned := range map[string]bool{"127.0.0.1:0": false, "localhost:0": false, "0.0.0.0:0": true} {
		var log bytes.Buffer
		s := serve(t, admin.Config{Addr: addr, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if !strings.Contains(log.String(), "admin="+s.Addr()) && !strings.Contains(log.String(), `admin="`+s.Addr()) {
			t.Errorf("%s: the chosen address %s is not logged: %s", addr, s.Addr(), log.String())
		}
		if got := strings.Contains(log.String(), "level=WARN"); got != warned {
			t.Errorf("%s: warned %v, want %v: %s", addr, got, warned, log.String())
		}
	}
}

func TestPortInUseIsSaidWithAWayOut(t *testing.T) {
	first := serve(t, admin.Config{})
	_, err := admin.New(admin.Config{Addr: first.Addr()})
	if err == nil || !strings.Contains(err.Error(), first.Addr()) || !strings.Contains(err.Error(), "port 0") {
		t.Fatalf("error %v", err)
	}
}

func TestMalformedAddressIsNamed(t *testing.T) {
	if _, err := admin.New(admin.Config{Addr: "nine"}); err == nil || !strings.Contains(err.Error(), `"nine" (want host:port)`) {
		t.Fatalf("error %v", err)
	}
}
