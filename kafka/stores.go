package kafka

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// stores are where the certificates of a TLS connection come from, not opened yet.
type stores struct {
	trust       *material // nil: the system's authorities
	chain, key  *material // nil: no client certificate; the same one when a file holds both
	unverified  bool      // the name in the server's certificate is not compared
	least, most uint16    // TLS versions; 0: Go's
}

// A material is PEM text, or the file that holds it.
type material struct {
	property module.Property
	inline   bool
}

func (m *material) read() ([]byte, *storeError) {
	if m.inline {
		return []byte(m.property.Value), nil
	}
	text, err := os.ReadFile(strings.TrimSpace(m.property.Value))
	if err != nil {
		return nil, &storeError{m.property, err}
	}
	return text, nil
}

// stores reads the ssl.* properties. Java's key stores are refused with the way to PEM.
func (d *draft) stores() *stores {
	s := &stores{}
	s.trust = d.store("ssl.truststore.type", "ssl.truststore.location", "ssl.truststore.certificates")
	s.chain = d.store("ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.certificate.chain")
	s.key = s.chain
	inline, hasKey := d.values["ssl.keystore.key"]
	switch {
	case hasKey && s.chain != nil && s.chain.inline:
		s.key = &material{property: inline, inline: true}
	case hasKey:
		d.problem(inline, "property ssl.keystore.key is given without ssl.keystore.certificate.chain", "give both or none")
	case s.chain != nil && s.chain.inline:
		d.problem(s.chain.property, "property ssl.keystore.certificate.chain is given without ssl.keystore.key", "give both or none")
	}
	if p, given := d.values["ssl.key.password"]; given && p.Value != "" {
		d.problem(p, "property ssl.key.password: encrypted keys are not supported",
			"decrypt the key with openssl pkcs8 -in encrypted.pem -out key.pem, and keep the file private")
	}
	d.identification(s)
	d.versions(s)
	return s
}

// store reads one of the two stores, which is a PEM file or PEM text.
func (d *draft) store(typeKey, locationKey, textKey string) *material {
	location, hasFile := d.values[locationKey]
	text, hasText := d.values[textKey]
	kind := strings.ToUpper(d.value(typeKey))
	switch {
	case hasFile && hasText:
		d.problem(text, fmt.Sprintf("properties %s and %s are both given", textKey, locationKey), "keep one of them")
		return nil
	case hasText:
		if kind != "" && kind != "PEM" {
			d.problem(d.values[typeKey], fmt.Sprintf("property %s: %s holds PEM, not %s", typeKey, textKey, kind), "set "+typeKey+" to PEM")
		}
		return &material{property: text, inline: true}
	case !hasFile:
		return nil
	}
	// Java's type is JKS when none is given; the name of the file says when it is PEM after all.
	if kind == "" && slices.Contains([]string{".pem", ".crt", ".cer"}, strings.ToLower(filepath.Ext(strings.TrimSpace(location.Value)))) {
		kind = "PEM"
	}
	if kind != "PEM" {
		at, shown := location, kind
		if kind == "" {
			shown = "JKS (Java's default)"
		} else {
			at = d.values[typeKey]
		}
		d.problem(at, fmt.Sprintf("property %s: a store of type %s is not supported", typeKey, shown),
			fmt.Sprintf("convert it to a PEM file (keytool -importkeystore to PKCS12, then openssl pkcs12 -nodes), name that in %s and set %s to PEM", locationKey, typeKey))
		return nil
	}
	return &material{property: location}
}

// identification reads whether the server's name is compared: https is the default, empty turns it off.
func (d *draft) identification(s *stores) {
	const key = "ssl.endpoint.identification.algorithm"
	if !d.given(key) {
		return
	}
	switch strings.ToLower(d.value(key)) {
	case "https":
	case "":
		s.unverified = true
	default:
		d.problem(d.values[key], fmt.Sprintf("property %s: %q is unknown: use https, or nothing to compare no names", key, d.value(key)), "")
	}
}

var tlsVersions = map[string]uint16{
	"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
}

// versions reads ssl.enabled.protocols. Go knows a range only, so one left out in its middle is allowed.
func (d *draft) versions(s *stores) {
	const key = "ssl.enabled.protocols"
	if !d.given(key) {
		return
	}
	for name := range strings.SplitSeq(d.value(key), ",") {
		v, ok := tlsVersions[strings.TrimSpace(name)]
		if !ok {
			d.problem(d.values[key], fmt.Sprintf("property %s: %q is unknown: use TLSv1.2 and TLSv1.3", key, strings.TrimSpace(name)), "")
			return
		}
		if s.least == 0 || v < s.least {
			s.least = v
		}
		s.most = max(s.most, v)
	}
}

// load opens the files.
func (s *stores) load() (*tls.Config, *storeError) {
	config := &tls.Config{MinVersion: max(s.least, tls.VersionTLS12), MaxVersion: s.most}
	if s.least != 0 {
		config.MinVersion = s.least
	}
	if s.trust != nil {
		text, failed := s.trust.read()
		if failed != nil {
			return nil, failed
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, &storeError{s.trust.property, errors.New("holds no certificate in PEM form")}
		}
	}
	if s.chain != nil {
		pair, failed := s.certificate()
		if failed != nil {
			return nil, failed
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if s.unverified {
		verifyChainOnly(config)
	}
	return config, nil
}

func (s *stores) certificate() (tls.Certificate, *storeError) {
	chain, failed := s.chain.read()
	if failed != nil {
		return tls.Certificate{}, failed
	}
	key, failed := s.key.read()
	if failed != nil {
		return tls.Certificate{}, failed
	}
	if hasBlock(key, "ENCRYPTED PRIVATE KEY") {
		return tls.Certificate{}, &storeError{s.key.property, errors.New("the key is encrypted, which is not supported: decrypt it with openssl pkcs8 -in encrypted.pem -out key.pem")}
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, &storeError{s.chain.property, fmt.Errorf("the client certificate cannot be used: %w", err)}
	}
	return pair, nil
}

func hasBlock(text []byte, kind string) bool {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return false
		}
		if block.Type == kind {
			return true
		}
		text = bytes.TrimSpace(rest)
	}
}

// verifyChainOnly checks the server's certificates but not that they are for its name, as Java does with an
// empty identification algorithm. Go has no switch for the name alone, so the chain is checked here.
func verifyChainOnly(config *tls.Config) {
	roots := config.RootCAs
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the broker sent no certificate")
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
}
