package kafka

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"github.com/statefun-kafka/statefun-kafka/module"
)

const (
	// tokenBytes bounds the answer of a token endpoint, and a token in a file.
	tokenBytes = 64 << 10

	// tokenPatience is how long one log-in asks an endpoint that is down; the client tries the log-in again by its own rules.
	tokenPatience = 10 * time.Second

	// Java's defaults of sasl.login.connect.timeout.ms and sasl.login.read.timeout.ms together.
	tokenTimeout = 20 * time.Second

	// unknownLife is for a token that does not say when it ends.
	unknownLife = time.Minute
)

// A tokenSource gives the tokens of OAUTHBEARER: by the client credentials of RFC 6749 from an endpoint, or from a file
// that somebody else keeps fresh. It holds secrets: never print it.
type tokenSource struct {
	endpoint   *url.URL
	id, secret string
	scope      string
	encoded    bool // id and secret are form-encoded in the header, as RFC 6749 asks for and Java does not
	extensions map[string]string
	tls        *stores // for the endpoint; nil: the system's authorities
	client     *http.Client
	now        func() time.Time

	gate    chan struct{} // holds one while a token is looked at or fetched
	token   string
	refresh time.Time // from when on another is fetched
	expires time.Time // from when on this one is of no use
}

// tokenSource reads the properties of OAUTHBEARER. The newer names beat the options of the log-in, as in Java.
func (d *draft) tokenSource(config module.Property, l login) *tokenSource {
	option := func(property, name string) string {
		if v := d.value(property); v != "" {
			return v
		}
		return l.options[name]
	}
	s := &tokenSource{
		id:     option("sasl.oauthbearer.client.credentials.client.id", "clientId"),
		secret: option("sasl.oauthbearer.client.credentials.client.secret", "clientSecret"),
		scope:  option("sasl.oauthbearer.scope", "scope"), encoded: strings.EqualFold(d.value("sasl.oauthbearer.header.urlencode"), "true"),
		extensions: map[string]string{}, gate: make(chan struct{}, 1), now: time.Now,
	}
	const key = "sasl.oauthbearer.token.endpoint.url"
	at, given := d.values[key]
	if !given {
		d.problem(config, "property "+key+" is missing: tokens come from there, or from a file as file:///path", "")
		return nil
	}
	var err error
	s.endpoint, err = url.Parse(d.value(key))
	switch {
	case err != nil:
		d.problem(at, "property "+key+": is not a URL", "")
		return nil
	case s.endpoint.Scheme == "file" && s.endpoint.Path != "":
	case s.endpoint.Scheme != "https" && s.endpoint.Scheme != "http" || s.endpoint.Host == "":
		d.problem(at, "property "+key+": is no URL of https, http or file", "write https://host/path")
		return nil
	case s.id == "" || s.secret == "":
		d.problem(config, "property sasl.jaas.config: has no clientId or no clientSecret", "")
		return nil
	}
	for name, value := range l.options {
		if extension, ok := strings.CutPrefix(name, "extension_"); ok {
			s.extensions[extension] = value
		}
	}
	s.tls = d.endpointStores(config, l)
	s.client = &http.Client{Timeout: tokenTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if d.login > 0 {
		s.client.Timeout = d.login
	}
	return s
}

// endpointStores reads the ssl.* options of the log-in, which are for the endpoint alone.
func (d *draft) endpointStores(config module.Property, l login) *stores {
	of := newDraft(nil)
	for name, value := range l.options {
		if strings.HasPrefix(name, "ssl.") {
			of.values[name] = module.Property{Key: name, Value: value, Position: config.Position}
		}
	}
	if len(of.values) == 0 {
		return nil
	}
	s := of.stores()
	d.problems = append(d.problems, of.problems...)
	return s
}

// open reads the stores of the endpoint.
func (s *tokenSource) open() *storeError {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: s.client.Timeout, DisableKeepAlives: true}
	if s.tls != nil {
		config, err := s.tls.load()
		if err != nil {
			return err
		}
		transport.TLSClientConfig = config
	}
	s.client.Transport = transport
	return nil
}

// auth is called by the client at each log-in and before each end of a session. One token serves all its connections.
func (s *tokenSource) auth(ctx context.Context) (oauth.Auth, error) {
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return oauth.Auth{}, fmt.Errorf("wait for a token for OAUTHBEARER: %w", ctx.Err())
	}
	defer func() { <-s.gate }()
	if now := s.now(); s.token == "" || !now.Before(s.refresh) {
		if err := s.renew(ctx); err != nil && (s.token == "" || !now.Before(s.expires)) {
			return oauth.Auth{}, fmt.Errorf("get a token for OAUTHBEARER from %s: %w", s.endpoint.Redacted(), err)
		}
	}
	return oauth.Auth{Token: s.token, Extensions: s.extensions}, nil
}

// renew asks until there is a token, the endpoint refuses, or its patience is at an end.
func (s *tokenSource) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tokenPatience)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		token, life, err := s.fetch(ctx)
		if err == nil {
			now := s.now()
			s.token, s.refresh, s.expires = token, now.Add(life/5*4), now.Add(life)
			return nil
		}
		var passing *passingError
		if !errors.As(err, &passing) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// A passingError is worth another request.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

// fetch gets one token, and how long it lives from now on.
func (s *tokenSource) fetch(ctx context.Context) (string, time.Duration, error) {
	if s.endpoint.Scheme == "file" {
		return s.fromFile()
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.scope != "" {
		form.Set("scope", s.scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("the URL cannot be asked")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	id, secret := s.id, s.secret
	if s.encoded {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	request.SetBasicAuth(id, secret)
	response, err := s.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which is named already
		}
		return "", 0, &passingError{err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, tokenBytes+1))
	switch {
	case err != nil:
		return "", 0, &passingError{fmt.Errorf("read its answer: %w", err)}
	case len(body) > tokenBytes:
		return "", 0, fmt.Errorf("its answer has more than %d bytes", tokenBytes)
	case response.StatusCode != http.StatusOK:
		return "", 0, refusal(response.StatusCode, body)
	}
	return s.granted(body)
}

// refusal tells what the endpoint says of itself, by the form of RFC 6749; its free text may hold anything.
func refusal(status int, body []byte) error {
	var said struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &said)
	err := fmt.Errorf("it answers with status %d %.100q", status, said.Error)
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return &passingError{err}
	}
	return err
}

func (s *tokenSource) granted(body []byte) (string, time.Duration, error) {
	var answer struct {
		Token   string  `json:"access_token"`
		Seconds float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return "", 0, errors.New("its answer is no JSON with an access_token")
	}
	if answer.Seconds > 0 {
		return answer.Token, time.Duration(min(answer.Seconds, longestWire.Seconds()) * float64(time.Second)), nil
	}
	return answer.Token, s.lifeOf(answer.Token), nil
}

func (s *tokenSource) fromFile() (string, time.Duration, error) {
	file, err := os.Open(filepath.FromSlash(s.endpoint.Path))
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, tokenBytes+1))
	if err != nil {
		return "", 0, err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > tokenBytes {
		return "", 0, fmt.Errorf("the file holds no token, or more than %d bytes", tokenBytes)
	}
	// The file is small and may change at any time.
	return token, min(s.lifeOf(token), unknownLife), nil
}

// lifeOf reads the end of a token out of its claims, if it is a JWT and says so.
func (s *tokenSource) lifeOf(token string) time.Duration {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return unknownLife
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var said struct {
		Expires float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(claims, &said) != nil || said.Expires <= 0 || said.Expires > 1<<40 {
		return unknownLife
	}
	return max(0, time.Unix(int64(said.Expires), 0).Sub(s.now()))
}
