package keystore

import (
	"crypto/sha1"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// A jks is a Java key store. Its form:
//
//	magic     4 bytes; version 4 bytes, 1 or 2; number of entries 4 bytes
//	entry     tag 4 bytes; alias; date 8 bytes; then
//	  1 key   protected key; number of certificates 4 bytes; certificates
//	  2 trust one certificate
//	digest    20 bytes: SHA-1 of password, the words "Mighty Aphrodite", and all before
//
// Texts have a length of 2 bytes, keys and certificates one of 4; before a certificate of version 2 stands its type.
type jks struct {
	trusted []*x509.Certificate
	keys    []jksKey
}

type jksKey struct {
	protected []byte
	chain     [][]byte
}

const (
	jksKeyEntry   = 1
	jksTrustEntry = 2
	jksWords      = "Mighty Aphrodite"
)

var errJKSShort = errors.New("read it as a Java key store: it ends too early")

// parseJKS reads a whole store. As in Java an empty password leaves its digest unchecked.
func parseJKS(data []byte, password string) (*jks, error) {
	if len(data) < sha1.Size {
		return nil, errJKSShort
	}
	body, digest := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
	if password != "" {
		h := sha1.New()
		_, _ = h.Write(utf16Bytes(password))
		_, _ = h.Write([]byte(jksWords))
		_, _ = h.Write(body)
		if subtle.ConstantTimeCompare(h.Sum(nil), digest) != 1 {
			return nil, fmt.Errorf("%w, or the file was changed", ErrPassword)
		}
	}
	c := &cursor{rest: body}
	c.number() // the magic
	version := c.number()
	if version != 1 && version != 2 {
		return nil, fmt.Errorf("read it as a Java key store: its version %d is unknown", version)
	}
	s := &jks{}
	for range c.number() {
		if c.failed {
			return nil, errJKSShort
		}
		if err := s.entry(c, version); err != nil {
			return nil, err
		}
	}
	if c.failed {
		return nil, errJKSShort
	}
	return s, nil
}

func (s *jks) entry(c *cursor, version uint32) error {
	tag := c.number()
	c.text()  // alias
	c.take(8) // date
	switch tag {
	case jksTrustEntry:
		return s.trust(c.certificate(version), c.failed)
	case jksKeyEntry:
		k := jksKey{protected: c.bytes()}
		for range c.number() {
			if c.failed {
				return errJKSShort
			}
			k.chain = append(k.chain, c.certificate(version))
		}
		s.keys = append(s.keys, k)
		if len(k.chain) > 0 { // Java trusts who the store itself is
			return s.trust(k.chain[0], c.failed)
		}
		return nil
	}
	if c.failed {
		return errJKSShort
	}
	return fmt.Errorf("read it as a Java key store: entry of unknown kind %d", tag)
}

func (s *jks) trust(der []byte, failed bool) error {
	if failed {
		return errJKSShort
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("read a certificate of the Java key store: %w", err)
	}
	s.trusted = append(s.trusted, c)
	return nil
}

// identity is the store's one key with its chain.
func (s *jks) identity(password string) (tls.Certificate, error) {
	if len(s.keys) != 1 {
		return tls.Certificate{}, fmt.Errorf("the Java key store holds %d private keys, want one: take the others out with keytool -delete", len(s.keys))
	}
	der, err := unprotect(s.keys[0].protected, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the private key of the Java key store: %w", err)
	}
	return tls.Certificate{PrivateKey: key, Certificate: s.keys[0].chain}, nil
}

var oidJKSProtection = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}

// unprotect takes off the protection that Sun made for keys: a stream of SHA-1 digests, each of the password and the one
// before, the first of the salt. Behind the key stands the digest of password and key.
func unprotect(protected []byte, password string) ([]byte, error) {
	var outer struct {
		Scheme pkix.AlgorithmIdentifier
		Data   []byte
	}
	if _, err := asn1.Unmarshal(protected, &outer); err != nil {
		return nil, fmt.Errorf("read the protected key of the Java key store: %w", err)
	}
	if !outer.Scheme.Algorithm.Equal(oidJKSProtection) {
		return nil, fmt.Errorf("the private key of the Java key store is protected by %s: convert the store with keytool -importkeystore -deststoretype PKCS12", outer.Scheme.Algorithm)
	}
	if len(outer.Data) < 2*sha1.Size {
		return nil, errJKSShort
	}
	secret := utf16Bytes(password)
	stream, text, check := outer.Data[:sha1.Size], outer.Data[sha1.Size:len(outer.Data)-sha1.Size], outer.Data[len(outer.Data)-sha1.Size:]
	plain := make([]byte, len(text))
	for at := 0; at < len(text); at += sha1.Size {
		next := sha1.Sum(append(secret[:len(secret):len(secret)], stream...))
		stream = next[:]
		subtle.XORBytes(plain[at:], text[at:], stream)
	}
	if sum := sha1.Sum(append(secret[:len(secret):len(secret)], plain...)); subtle.ConstantTimeCompare(sum[:], check) != 1 {
		return nil, ErrPassword
	}
	return plain, nil
}

// utf16Bytes is a password as Java's key stores digest it.
func utf16Bytes(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}

// A cursor reads a store from its start; once failed it gives nothing.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) take(n uint32) []byte {
	if c.failed || uint64(n) > uint64(len(c.rest)) {
		c.failed = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) number() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) text() {
	if b := c.take(2); b != nil {
		c.take(uint32(binary.BigEndian.Uint16(b)))
	}
}

func (c *cursor) bytes() []byte { return c.take(c.number()) }

func (c *cursor) certificate(version uint32) []byte {
	if version == 2 {
		c.text() // its type
	}
	return c.bytes()
}
