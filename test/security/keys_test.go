package security

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// keys are the files of one test run: an authority, the broker's key and a client's.
type keys struct {
	folder    string
	authority *x509.Certificate
	signer    *ecdsa.PrivateKey
	serial    int64
}

// The passwords of the stores; none of them may appear in what the worker says.
const (
	trustStoreSecret = "secret-of-the-trust-store"
	keyStoreSecret   = "secret-of-the-key-store"
	keySecret        = "secret-of-the-key-itself"
)

func newKeys(t *testing.T, folder string) *keys {
	t.Helper()
	k := &keys{folder: folder}
	k.authority, k.signer = k.issue(t, "authority", true)
	return k
}

// issue makes a key with a certificate of the authority, which signs itself.
func (k *keys) issue(t *testing.T, name string, authority bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(k.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: authority,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := k.authority, k.signer
	if authority {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (k *keys) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(k.folder, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// store writes a PKCS #12 key store.
func (k *keys) store(t *testing.T, name string, certificate *x509.Certificate, key crypto.PrivateKey, password string) string {
	t.Helper()
	data, err := pkcs12.Modern.Encode(key, certificate, []*x509.Certificate{k.authority}, password)
	if err != nil {
		t.Fatal(err)
	}
	return k.write(t, name, data)
}

// trust writes a PKCS #12 trust store of the authority.
func (k *keys) trust(t *testing.T, name string) string {
	t.Helper()
	data, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{k.authority}, trustStoreSecret)
	if err != nil {
		t.Fatal(err)
	}
	return k.write(t, name, data)
}

// javaStore turns a PKCS #12 store into one of Java's own form, as keytool does it.
func (k *keys) javaStore(t *testing.T, from, password string, more ...string) string {
	t.Helper()
	path := from + ".jks"
	run(t, "keytool", append([]string{"-importkeystore", "-noprompt", "-srckeystore", from, "-srcstoretype", "PKCS12", "-srcstorepass", password,
		"-destkeystore", path, "-deststoretype", "JKS", "-deststorepass", password}, more...)...)
	return path
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// aliasOf finds the name that Java gives to the key of a PKCS #12 store.
func aliasOf(t *testing.T, store string) string {
	t.Helper()
	out, err := exec.Command("keytool", "-list", "-keystore", store, "-storepass", keyStoreSecret).CombinedOutput()
	if err != nil {
		t.Fatalf("keytool: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "PrivateKeyEntry") {
			alias, _, _ := strings.Cut(line, ",")
			return alias
		}
	}
	t.Fatalf("no key in %s:\n%s", store, out)
	return ""
}
