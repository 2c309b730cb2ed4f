package invoker

import (
	"slices"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
)

func rulesOf(t *testing.T, tr module.Transport) rules {
	t.Helper()
	r, err := newRules(endpointAt("http://h", tr))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStatusesAreRetriedByTheRulesOfTheTransport(t *testing.T) {
	ok, as := rulesOf(t, okhttp()), rulesOf(t, async())
	for _, status := range []int{409, 420, 408, 429, 499, 500, 501, 502, 503, 599} { // E11
		if e := (&Error{Kind: KindStatus, Status: status}); !ok.retryable(e) || !as.retryable(e) {
			t.Errorf("E11: status %d is not retried", status)
		}
	}
	for _, status := range []int{302, 303, 400, 401, 403, 404, 405, 415, 422, 498} {
		e := &Error{Kind: KindStatus, Status: status}
		if ok.retryable(e) {
			t.Errorf("E10: okhttp retries status %d", status)
		}
		if !as.retryable(e) {
			t.Errorf("E9: async does not retry status %d", status)
		}
	}
	for _, kind := range []string{KindConnect, KindConnectTimeout, KindTLS, KindReadTimeout, KindWriteTimeout, KindClosed, KindMalformed} {
		if e := (&Error{Kind: kind}); !ok.retryable(e) || !as.retryable(e) {
			t.Errorf("kind %s is not retried", kind)
		}
	}
	if e := (&Error{Kind: KindRequestTooLarge, Status: 413}); ok.retryable(e) || as.retryable(e) {
		t.Error("413 is retried")
	}
}

func TestContentTypes(t *testing.T) {
	ok, as := rulesOf(t, okhttp()), rulesOf(t, async())
	tests := []struct {
		value         string
		okhttp, async bool
	}{
		{"application/octet-stream", true, true},
		{"Application/Octet-Stream", true, true}, // E14; okhttp is stricter there than the standard, we are not
		{"application/octet-stream; charset=utf-8", false, false},
		{"application/octet-stream;charset=utf-8", false, false},
		{"text/plain", false, false}, // E13
		{"text/plain, application/octet-stream", false, true},
		{"application/octet-stream2", false, false},
		{"", false, false},
		{",", false, false},
	}
	for _, tt := range tests {
		if a, b := ok.accepts([]byte(tt.value)), as.accepts([]byte(tt.value)); a != tt.okhttp || b != tt.async {
			t.Errorf("E14: %q: okhttp %v, async %v; want %v, %v", tt.value, a, b, tt.okhttp, tt.async)
		}
	}
}

func TestPausesDouble(t *testing.T) {
	tests := []struct {
		name      string
		transport module.Transport
		want      []time.Duration
	}{
		{"E5 async", async(), []time.Duration{4, 8, 16, 32, 64}},
		{"E11 okhttp", okhttp(), []time.Duration{10, 20, 40, 80, 160}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rulesOf(t, tt.transport)
			b := r.backoff()
			b.jitter = func(d time.Duration) time.Duration { return d }
			var got []time.Duration
			for range tt.want {
				d, again := b.next(time.Minute)
				if !again {
					t.Fatal("no further attempt with a minute left")
				}
				got = append(got, d/time.Millisecond)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("pauses %v ms, want %v", got, tt.want)
			}
		})
	}
}

// E12, with what we add to it: the pauses end a little before the budget, so that a last attempt can use it.
func TestPausesFillTheBudgetAndLeaveTimeForALastAttempt(t *testing.T) {
	b := backoff{pause: time.Second, reserve: time.Second, jitter: func(d time.Duration) time.Duration { return d }}
	remaining := time.Minute
	for {
		d, again := b.next(remaining)
		if !again {
			break
		}
		remaining -= d
	}
	if remaining != time.Second {
		t.Errorf("%s are left of the budget, want 1s", remaining)
	}
	b = backoff{pause: time.Second, jitter: func(d time.Duration) time.Duration { return d }}
	if d, again := b.next(2 * time.Millisecond); !again || d != 2*time.Millisecond {
		t.Errorf("pause %s, %v; want it cut to the budget", d, again)
	}
	if _, again := b.next(time.Millisecond); again {
		t.Error("another attempt with 1 ms left")
	}
}

func TestJitterSpreadsPauses(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := spread(100 * time.Millisecond)
		if d < 50*time.Millisecond || d >= 150*time.Millisecond {
			t.Fatalf("pause of %s for 100 ms", d)
		}
		seen[d.Truncate(10*time.Millisecond)] = true
	}
	if len(seen) != 10 {
		t.Errorf("pauses in %d tenths of the range, want all 10", len(seen))
	}
}
