package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// tokensOf reads a token source from properties, with a clock of the test's own.
func tokensOf(t *testing.T, more ...string) (*tokenSource, *time.Time) {
	t.Helper()
	list := props(append([]string{"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "OAUTHBEARER", "sasl.jaas.config", tokenLogin}, more...)...)
	d := newDraft(list)
	d.properties(list)
	s := d.security()
	if len(d.problems) > 0 {
		t.Fatal(module.Errors(d.problems))
	}
	if err := s.tokens.open(); err != nil {
		t.Fatal(err.cause)
	}
	now := time.Unix(1_795_000_000, 0)
	s.tokens.now = func() time.Time { return now }
	return s.tokens, &now
}

const tokenURL = "sasl.oauthbearer.token.endpoint.url"

func TestOneTokenServesAllConnectionsAndIsFetchedAnewInTime(t *testing.T) {
	var asked atomic.Int64
	var form, id, secret string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm.Encode()
		id, secret, _ = r.BasicAuth()
		fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "bearer", "expires_in": 100}`, asked.Add(1))
	}))
	defer server.Close()
	s, now := tokensOf(t, tokenURL, server.URL, "sasl.oauthbearer.scope", "read write")
	s.extensions["logicalCluster"] = "lkc"
	want := func(token string, calls int64) {
		t.Helper()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				got, err := s.auth(t.Context())
				if err != nil || got.Token != token || got.Extensions["logicalCluster"] != "lkc" {
					t.Errorf("token %q, %v; want %q", got.Token, err, token)
				}
			})
		}
		all.Wait()
		if n := asked.Load(); n != calls {
			t.Errorf("the endpoint was asked %d times, want %d", n, calls)
		}
	}
	want("t1", 1)
	*now = now.Add(79 * time.Second)
	want("t1", 1)
	*now = now.Add(time.Second)
	want("t2", 2)
	if form != "grant_type=client_credentials&scope=read+write" || id != "alice" || secret != "hush" {
		t.Errorf("asked with %q as %s", form, id)
	}
	server.Close()
	*now = now.Add(90 * time.Second) // a fresh one would be better, the old one still does
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := s.auth(ctx); err != nil || got.Token != "t2" {
		t.Errorf("token %q, %v", got.Token, err)
	}
	*now = now.Add(time.Minute)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := s.auth(ctx); err == nil {
		t.Errorf("token %q is used after its end", got.Token)
	}
}

func TestATokenEndpointThatFailsForAMomentIsAskedAgain(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"access_token": "t"}`)
	}))
	defer server.Close()
	s, _ := tokensOf(t, tokenURL, server.URL)
	if got, err := s.auth(t.Context()); err != nil || got.Token != "t" {
		t.Errorf("%q, %v", got.Token, err)
	}
}

func TestARefusedTokenIsToldWithoutSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "invalid_client", "error_description": "hush is not the secret of alice"}`)
		}, `it answers with status 401 "invalid_client"`},
		"a redirect, which would get the secret": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "it answers with status 302"},
		"no token":                               {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token": "hush"}`) }, "no JSON with an access_token"},
		"an endless body":                        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("hush", 20_000)) }, "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			s, _ := tokensOf(t, tokenURL, server.URL)
			_, err := s.auth(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), server.URL) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), "hush") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestATokenComesFromAFileThatOthersKeepFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s, now := tokensOf(t, tokenURL, "file://"+path)
	if _, err := s.auth(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp": %d}`, now.Add(30*time.Second).Unix()))
	write := func(token string) {
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("h." + claims + ".one")
	if got, err := s.auth(t.Context()); err != nil || got.Token != "h."+claims+".one" {
		t.Errorf("%q, %v", got.Token, err)
	}
	write("opaque")
	if got, _ := s.auth(t.Context()); got.Token == "opaque" {
		t.Error("the file is read with every log-in")
	}
	*now = now.Add(24 * time.Second)
	if got, err := s.auth(t.Context()); err != nil || got.Token != "opaque" {
		t.Errorf("%q, %v", got.Token, err)
	}
}
