package invoker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	if key, err = openKey(key, password); err != nil {
		return tls.Certificate{}, fmt.Errorf("client_key %s: %w", t.ClientKey, err)
	}
	own, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client_cert %s with client_key %s: %w", t.ClientCert, t.ClientKey, err)
	}
	return own, nil
}

// openKey returns the PEM text of a key with its encryption taken off, if it has one.
func openKey(text, password []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("no PEM block in it")
	case block.Headers["DEK-Info"] != "":
		return nil, errors.New("it is encrypted in the old way of OpenSSL; convert it with openssl pkcs8 -topk8")
	case block.Type != "ENCRYPTED PRIVATE KEY":
		return text, nil
	case password == nil:
		return nil, errors.New("it is encrypted; name the file with its password in client_key_password")
	}
	der, err := decryptPKCS8(block.Bytes, password)
	if trimmed := bytes.TrimRight(password, "\r\n"); errors.Is(err, errPassword) && len(trimmed) < len(password) {
		// StateFun takes the file to the letter; editors end it with a line feed that is no part of the password.
		der, err = decryptPKCS8(block.Bytes, trimmed)
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
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
