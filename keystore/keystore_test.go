package keystore

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
)

func read(t interface {
	Helper()
	Fatal(args ...any)
}, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The files were written by keytool of Java 17 and by openssl 3 with the password "changeit"; the key of key.jks has
// "another".
func TestIdentitiesOfAllForms(t *testing.T) {
	for name, c := range map[string]struct{ password, keyPassword, want string }{
		"key.jks":       {"changeit", "another", ""},
		"key.p12":       {"changeit", "", ""},
		"java8.p12":     {"changeit", "", ""}, // RC2 with 40 bits, as Java wrote up to version 8
		"openssl.p12":   {"changeit", "", ""},
		"encrypted.pem": {"", "changeit", ""},
		"two.jks":       {"changeit", "", "holds 2 private keys, want one"},
		"trust.jks":     {"changeit", "", "holds 0 private keys, want one"},
		"key.jceks":     {"changeit", "", "type JCEKS: convert it"},
		"cert.pem":      {"", "", "no private key in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			own, err := Identity(read(t, name), c.password, c.keyPassword)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256([]byte("signed"))
			signature, err := own.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(own.Certificate[0])
			if err != nil || leaf.CheckSignature(x509.ECDSAWithSHA256, []byte("signed"), signature) != nil {
				t.Errorf("the certificate is not that of the key (%v)", err)
			}
		})
	}
}

func TestAWrongPasswordIsTold(t *testing.T) {
	for name, passwords := range map[string][2]string{
		"key.jks": {"changeit", "changeit"}, "two.jks": {"wrong", ""}, "key.p12": {"wrong", ""}, "java8.p12": {"", ""}, "encrypted.pem": {"", "wrong"},
	} {
		if _, err := Identity(read(t, name), passwords[0], passwords[1]); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: error %v, want %v", name, err, ErrPassword)
		}
	}
	for _, name := range []string{"trust.jks", "trust.p12"} {
		if _, err := Trusted(read(t, name), "wrong"); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: error %v, want %v", name, err, ErrPassword)
		}
	}
}

func TestTrustStoresOfAllForms(t *testing.T) {
	want, err := Trusted(read(t, "cert.pem"), "")
	if err != nil || len(want) != 1 {
		t.Fatalf("%d certificates, %v", len(want), err)
	}
	for name, password := range map[string]string{"trust.jks": "changeit", "trust.p12": "changeit", "key.jks": "changeit"} {
		if got, err := Trusted(read(t, name), password); err != nil || len(got) != 1 || !got[0].Equal(want[0]) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
	if got, err := Trusted(read(t, "trust.jks"), ""); err != nil || len(got) != 1 {
		t.Errorf("without a password the digest is not checked, as in Java: %d certificates, %v", len(got), err)
	}
	for name, data := range map[string][]byte{"no certificate": []byte("-----BEGIN X-----\n-----END X-----\n"), "neither PEM nor PKCS #12": []byte("hello")} {
		if _, err := Trusted(data, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestATruncatedJavaKeyStoreIsRefused(t *testing.T) {
	data := read(t, "key.jks")
	for n := range data {
		if _, err := Identity(data[:n], "", "another"); err == nil {
			t.Fatalf("%d of %d bytes are a store", n, len(data))
		}
	}
}

func FuzzJavaKeyStore(f *testing.F) {
	for _, name := range []string{"key.jks", "trust.jks", "two.jks"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if s, err := parseJKS(data, ""); err == nil {
			_, _ = s.identity("another")
		}
	})
}
