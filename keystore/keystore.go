// Package keystore reads private keys and certificates from PEM text, PKCS #12 files and Java key stores.
//
// What a file is, is told by its content, as Java does: its type JKS opens a PKCS #12 file too. Passwords are never part of
// an error.
package keystore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// MaxBytes bounds a file: a trust store of all public authorities has a quarter of it.
const MaxBytes = 1 << 20

var (
	errEmpty   = errors.New("it holds no certificate")
	errUnknown = errors.New("it is neither PEM nor PKCS #12 nor a Java key store (JKS)")
	errJCEKS   = errors.New("it is a Java key store of type JCEKS: convert it with keytool -importkeystore -deststoretype PKCS12")
)

// Trusted returns the authorities of a trust store.
func Trusted(data []byte, password string) ([]*x509.Certificate, error) {
	var trusted []*x509.Certificate
	var err error
	switch formOf(data) {
	case formPEM:
		trusted, err = pemCertificates(data)
	case formPKCS12:
		if trusted, err = pkcs12.DecodeTrustStore(data, password); err != nil {
			err = pkcs12Fault(err)
		}
	case formJKS:
		var s *jks
		if s, err = parseJKS(data, password); err == nil {
			trusted = s.trusted
		}
	case formJCEKS:
		err = errJCEKS
	default:
		err = errUnknown
	}
	if err == nil && len(trusted) == 0 {
		err = errEmpty
	}
	return trusted, err
}

// Identity returns the private key of a key store with its chain. Of the key a password of its own is optional.
func Identity(data []byte, password, keyPassword string) (tls.Certificate, error) {
	if keyPassword == "" {
		keyPassword = password
	}
	switch formOf(data) {
	case formPEM:
		return PEMIdentity(data, data, keyPassword)
	case formPKCS12:
		key, leaf, chain, err := pkcs12.DecodeChain(data, password)
		if err != nil {
			return tls.Certificate{}, pkcs12Fault(err)
		}
		own := tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
		for _, c := range chain {
			own.Certificate = append(own.Certificate, c.Raw)
		}
		return own, nil
	case formJKS:
		s, err := parseJKS(data, password)
		if err != nil {
			return tls.Certificate{}, err
		}
		return s.identity(keyPassword)
	case formJCEKS:
		return tls.Certificate{}, errJCEKS
	}
	return tls.Certificate{}, errUnknown
}

// The forms of a store.
const (
	formUnknown = iota
	formPEM
	formPKCS12
	formJKS
	formJCEKS
)

const (
	jksMagic   = 0xfeedfeed
	jceksMagic = 0xcececece
)

func formOf(data []byte) int {
	if len(data) >= 4 {
		switch binary.BigEndian.Uint32(data) {
		case jksMagic:
			return formJKS
		case jceksMagic:
			return formJCEKS
		}
	}
	switch {
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return formPEM
	case len(data) > 0 && data[0] == 0x30: // a sequence in DER
		return formPKCS12
	}
	return formUnknown
}

func pkcs12Fault(err error) error {
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return ErrPassword
	}
	return fmt.Errorf("read it as PKCS #12: %w", err)
}
