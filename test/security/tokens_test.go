package security

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// tokens is a small identity provider: it gives tokens for a client's secret, and tells brokers the key to check them.
type tokens struct {
	key            *rsa.PrivateKey
	endpoint, jwks *httptest.Server

	mu     sync.Mutex
	issued []string
	life   time.Duration
}

const (
	clientID     = "worker"
	clientSecret = "secret-of-the-oauth-client"
)

func newTokens(t *testing.T, k *keys) *tokens {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := &tokens{key: key, life: time.Hour}
	s.endpoint = httptest.NewUnstartedServer(http.HandlerFunc(s.give))
	certificate, private := k.issue(t, "identity provider", false)
	s.endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: private}}}
	s.endpoint.StartTLS()
	s.jwks = httptest.NewServer(http.HandlerFunc(s.tell))
	t.Cleanup(func() { s.endpoint.Close(); s.jwks.Close() })
	return s
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s *tokens) give(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if err := r.ParseForm(); err != nil || id != clientID || secret != clientSecret || r.PostForm.Get("grant_type") != "client_credentials" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error": "invalid_client"}`)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	claims := fmt.Sprintf(`{"sub": %q, "aud": "kafka", "iss": "test", "scope": %q, "iat": %d, "exp": %d, "jti": "%d"}`,
		id, r.PostForm.Get("scope"), now.Unix(), now.Add(s.life).Unix(), len(s.issued))
	signed := encoded([]byte(`{"alg": "RS256", "kid": "one", "typ": "JWT"}`)) + "." + encoded([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	token := signed + "." + encoded(signature)
	s.issued = append(s.issued, token)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": s.life.Seconds()})
}

func (s *tokens) tell(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256",
		"n": encoded(s.key.N.Bytes()), "e": encoded(big.NewInt(int64(s.key.E)).Bytes()),
	}}})
}

// given returns the tokens issued so far.
func (s *tokens) given() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.issued...)
}
