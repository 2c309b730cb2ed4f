package invoker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/keystore"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// sessions is how many TLS sessions are kept for shorter handshakes.
const sessions = 64

// clientTLS reads the certificates that an endpoint names: whom it trusts, and who it is itself.
func clientTLS(e *module.Endpoint) (*tls.Config, error) {
	t := e.Transport
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(sessions)}
	if t.TrustCACerts != "" {
		text, err := readLocation(e, "trust_cacerts", t.TrustCACerts)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("trust_cacerts %s: no certificate in it; it has to be PEM", t.TrustCACerts)
		}
	}
	switch {
	case (t.ClientCert == "") != (t.ClientKey == ""):
		return nil, errors.New("client_cert and client_key go together: give both or none")
	case t.ClientKeyPassword != "" && t.ClientKey == "":
		return nil, errors.New("client_key_password without client_key")
	case t.ClientCert != "":
		own, err := clientCertificate(e)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

func clientCertificate(e *module.Endpoint) (tls.Certificate, error) {
	t := e.Transport
	chain, err := readLocation(e, "client_cert", t.ClientCert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readLocation(e, "client_key", t.ClientKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	var password []byte
	if t.ClientKeyPassword != "" {
		if password, err = readLocation(e, "client_key_password", t.ClientKeyPassword); err != nil {
			return tls.Certificate{}, err
		}
	}
	if key, err = keystore.PlainKey(key, password); errors.Is(err, keystore.ErrEncrypted) {
		return tls.Certificate{}, fmt.Errorf("client_key %s: %w: name the file with its password in client_key_password", t.ClientKey, err)
	} else if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_key %s: %w", t.ClientKey, err)
	}
	own, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_cert %s with client_key %s: %w", t.ClientCert, t.ClientKey, err)
	}
	return own, nil
}

// readLocation reads a file that a key of the transport names: as a path, as file:… or as classpath:…
// What StateFun finds on its class path lies beside module.yaml, so that is where we look for it.
func readLocation(e *module.Endpoint, key, location string) ([]byte, error) {
	path := location
	if rest, ok := strings.CutPrefix(location, "classpath:"); ok {
		path = filepath.Join(filepath.Dir(e.File), filepath.FromSlash(rest))
	} else if rest, ok := strings.CutPrefix(location, "file:"); ok {
		path = filepath.FromSlash(rest)
		if strings.HasPrefix(rest, "//") {
			path = filepath.FromSlash(strings.TrimPrefix(rest, "//"))
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return text, nil
}
