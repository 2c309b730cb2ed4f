package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/keystore"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// stores are where the certificates of a TLS connection come from, not opened yet.
type stores struct {
	trust       *material // nil: the system's authorities
	own         *material // nil: no client certificate; a key store, or the chain as PEM text
	key         *material // the key as PEM text; nil: it is in own
	keyPassword string    // of an encrypted key; empty: the store's own
	unverified  bool      // the name in the server's certificate is not compared
	least, most uint16    // TLS versions; 0: Go's
}

// A material is PEM text, or a file of any form that package keystore reads.
type material struct {
	property module.Property
	inline   bool
	password string
}

func (m *material) read() ([]byte, *storeError) {
	if m.inline {
		return []byte(m.property.Value), nil
	}
	path := strings.TrimSpace(m.property.Value)
	file, err := os.Open(path)
	if err != nil {
		return nil, &storeError{m.property, err}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, keystore.MaxBytes+1))
	if err == nil && len(text) > keystore.MaxBytes {
		err = fmt.Errorf("%s is longer than %d bytes: it is no store of keys", path, keystore.MaxBytes)
	}
	if err != nil {
		return nil, &storeError{m.property, err}
	}
	return text, nil
}

// fault names the property of a store that cannot be used; password is the property that would open it.
func (m *material) fault(err error, password string) *storeError {
	if m.password == "" && errors.Is(err, keystore.ErrPassword) || errors.Is(err, keystore.ErrEncrypted) {
		err = fmt.Errorf("it does not open without a password: give %s", password)
	}
	return &storeError{m.property, err}
}

const (
	trustPassword = "ssl.truststore.password"
	storePassword = "ssl.keystore.password"
	keyPassword   = "ssl.key.password"
)

// stores reads the ssl.* properties.
func (d *draft) stores() *stores {
	s := &stores{}
	s.trust = d.store("ssl.truststore.type", "ssl.truststore.location", "ssl.truststore.certificates", trustPassword)
	s.own = d.store("ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.certificate.chain", storePassword)
	inline, hasKey := d.values["ssl.keystore.key"]
	switch {
	case hasKey && s.own != nil && s.own.inline:
		s.key = &material{property: inline, inline: true}
	case hasKey:
		d.problem(inline, "property ssl.keystore.key is given without ssl.keystore.certificate.chain", "give both or none")
	case s.own != nil && s.own.inline:
		d.problem(s.own.property, "property ssl.keystore.certificate.chain is given without ssl.keystore.key", "give both or none")
	}
	s.keyPassword = d.values[keyPassword].Value
	d.identification(s)
	d.versions(s)
	return s
}

// storeTypes are Java's names of the forms that we read. The content tells which it is.
var storeTypes = []string{"", "PEM", "PKCS12", "JKS"}

// store reads one of the two stores, which is a file or PEM text.
func (d *draft) store(typeKey, locationKey, textKey, passwordKey string) *material {
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
	case !slices.Contains(storeTypes, kind):
		d.problem(d.values[typeKey], fmt.Sprintf("property %s: a store of type %s is not supported: use PEM, PKCS12 or JKS", typeKey, kind),
			"convert it with keytool -importkeystore -deststoretype PKCS12")
		return nil
	case kind == "PEM" && d.given(passwordKey):
		d.warn(d.values[passwordKey], fmt.Sprintf("property %s has no effect: a PEM file has none, only the key in it may have %s", passwordKey, keyPassword))
	}
	return &material{property: location, password: d.values[passwordKey].Value}
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
		data, failed := s.trust.read()
		if failed != nil {
			return nil, failed
		}
		trusted, err := keystore.Trusted(data, s.trust.password)
		if err != nil {
			return nil, s.trust.fault(err, trustPassword)
		}
		config.RootCAs = x509.NewCertPool()
		for _, c := range trusted {
			config.RootCAs.AddCert(c)
		}
	}
	if s.own != nil {
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
	data, failed := s.own.read()
	if failed != nil {
		return tls.Certificate{}, failed
	}
	if s.key == nil {
		pair, err := keystore.Identity(data, s.own.password, s.keyPassword)
		if err != nil {
			needs := storePassword
			if errors.Is(err, keystore.ErrEncrypted) {
				needs = keyPassword
			}
			return tls.Certificate{}, s.own.fault(err, needs)
		}
		return pair, nil
	}
	key, failed := s.key.read()
	if failed != nil {
		return tls.Certificate{}, failed
	}
	pair, err := keystore.PEMIdentity(data, key, s.keyPassword)
	if err != nil {
		return tls.Certificate{}, s.key.fault(err, keyPassword)
	}
	return pair, nil
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
