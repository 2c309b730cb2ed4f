package keystore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrEncrypted says that a key needs a password and there is none.
var ErrEncrypted = errors.New("the key is encrypted and no password is given")

func pemCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %d of it: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
}

// PEMIdentity returns a private key with its chain from PEM texts, which may be one and the same.
func PEMIdentity(chain, key []byte, password string) (tls.Certificate, error) {
	plain, err := PlainKey(key, []byte(password))
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, plain)
}

// PlainKey returns the PEM text of the first private key in text with its encryption taken off, if it has one.
func PlainKey(text, password []byte) ([]byte, error) {
	block := keyBlockOf(text)
	switch {
	case block == nil:
		return nil, errors.New("no private key in PEM form is in it")
	case block.Headers["DEK-Info"] != "":
		return nil, errors.New("the key is encrypted in the old way of OpenSSL; convert it with openssl pkcs8 -topk8")
	case block.Type != "ENCRYPTED PRIVATE KEY":
		return pem.EncodeToMemory(block), nil
	case len(password) == 0:
		return nil, ErrEncrypted
	}
	der, err := DecryptPKCS8(block.Bytes, password)
	if trimmed := bytes.TrimRight(password, "\r\n"); errors.Is(err, ErrPassword) && len(trimmed) < len(password) {
		// A password file is taken to the letter first; editors end it with a line feed that is no part of the password.
		der, err = DecryptPKCS8(block.Bytes, trimmed)
	}
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func keyBlockOf(text []byte) *pem.Block {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil || strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block
		}
	}
}
