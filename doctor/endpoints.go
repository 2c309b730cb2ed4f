package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// probe connects to every endpoint once. No function is called: a call may have effects.
func probe(ctx context.Context, m *module.Module) []Endpoint {
	found := make([]Endpoint, len(m.Endpoints))
	var steps []func()
	for i := range m.Endpoints {
		steps = append(steps, func() { found[i] = probeEndpoint(ctx, m, &m.Endpoints[i]) })
	}
	together(steps...)
	return found
}

func probeEndpoint(ctx context.Context, m *module.Module, e *module.Endpoint) Endpoint {
	found := Endpoint{Functions: e.Functions.String(), URL: e.Shown()}
	u, err := e.URL(functionOf(m, e))
	if err != nil {
		found.Error = err.Error()
		return found
	}
	found.URL = u.Redacted()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	network, address := "tcp", u.Host
	switch {
	case strings.HasSuffix(u.Scheme, "+unix"):
		file, _, isSocket := module.SplitSocket(u.Path)
		if !isSocket {
			found.Skipped = "its path names no socket file"
			return found
		}
		network, address = "unix", file
	case u.Port() == "":
		address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		found.Error = err.Error()
		return found
	}
	defer conn.Close()
	if u.Scheme == "https" {
		found.TLS, err = handshake(ctx, conn, u, e)
		if err != nil {
			found.Error = err.Error()
		}
	}
	return found
}

// functionOf is a function that the endpoint serves: one that an ingress names, because the URL may depend on it.
func functionOf(m *module.Module, e *module.Endpoint) protocol.TypeName {
	for _, in := range m.Ingresses {
		for _, t := range in.Topics {
			i := slices.IndexFunc(t.Targets, e.Functions.Matches)
			if i >= 0 {
				return t.Targets[i]
			}
		}
	}
	name := protocol.TypeName{Namespace: e.Functions.Namespace, Name: e.Functions.Name}
	if e.Functions.Whole() {
		name.Name = "name"
	}
	return name
}

// handshake shows whether the server speaks TLS, and holds its certificate against the name and the time. The authority is
// only looked at where the system's are meant; one of the endpoint's own is the invoker's to read.
func handshake(ctx context.Context, raw net.Conn, u *url.URL, e *module.Endpoint) (string, error) {
	conn := tls.Client(raw, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", fmt.Errorf("TLS handshake: %w", err)
	}
	state := conn.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the server sent no certificate")
	}
	own, rest := state.PeerCertificates[0], state.PeerCertificates[1:]
	shown := fmt.Sprintf("%s, certificate valid until %s", tls.VersionName(state.Version), own.NotAfter.Format(time.DateOnly))
	if err := own.VerifyHostname(u.Hostname()); err != nil {
		return shown, err
	}
	if now := time.Now(); now.After(own.NotAfter) || now.Before(own.NotBefore) {
		return shown, fmt.Errorf("the certificate is valid from %s to %s only", own.NotBefore.Format(time.DateTime), own.NotAfter.Format(time.DateTime))
	}
	if e.Transport.TrustCACerts != "" {
		return shown + ", its authority was not checked", nil
	}
	options := x509.VerifyOptions{DNSName: u.Hostname(), Intermediates: x509.NewCertPool()}
	for _, c := range rest {
		options.Intermediates.AddCert(c)
	}
	_, err := own.Verify(options)
	return shown, err
}
