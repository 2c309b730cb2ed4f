package invoker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/keystore"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// An authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key, cert: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns a certificate for the key, for servers and clients on this machine.
func (a authority) sign(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// testKey is the key that all files of testdata hold, each in its own form.
func testKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	text, err := os.ReadFile("testdata/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}

// serveTLS starts an echo server with a certificate of one authority that takes clients of the other.
func serveTLS(t *testing.T, server, client authority, clients tls.ClientAuthType) *httptest.Server {
	t.Helper()
	key := testKey(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	pool := x509.NewCertPool()
	pool.AddCert(client.cert)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{server.sign(t, key)}, PrivateKey: key}}, ClientCAs: pool, ClientAuth: clients}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLS(t *testing.T) {
	server, client, stranger := newAuthority(t), newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	key := testKey(t)
	serverCA := writePEM(t, dir, "ca.pem", "CERTIFICATE", server.cert.Raw)
	strangerCA := writePEM(t, dir, "stranger.pem", "CERTIFICATE", stranger.cert.Raw)
	own := writePEM(t, dir, "own.pem", "CERTIFICATE", client.sign(t, key))
	foreign := writePEM(t, dir, "foreign.pem", "CERTIFICATE", stranger.sign(t, key))
	absolute, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	password, withLineFeed := filepath.Join(dir, "password"), filepath.Join(dir, "password2")
	for path, text := range map[string]string{password: "secret", withLineFeed: "secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mutual, serverOnly := serveTLS(t, server, client, tls.RequireAndVerifyClientCert), serveTLS(t, server, client, tls.NoClientCert)
	tests := []struct {
		name                      string
		server                    *httptest.Server
		trust, cert, key, passwod string
		works                     bool
	}{
		{"E19 mutual, paths", mutual, serverCA, own, "testdata/key.pem", "", true},
		{"E19 mutual, file: locations", mutual, "file:" + serverCA, "file://" + own, "file:" + absolute + "/key.pem", "", true},
		{"E19 mutual, classpath: beside the module", mutual, "classpath:ca.pem", "classpath:own.pem", "testdata/key.pem", "", true},
		{"E19 mutual, key with password", mutual, serverCA, own, "testdata/aes256-sha256.pem", password, true},
		{"E19 mutual, password file that ends its line", mutual, serverCA, own, "testdata/aes256-sha256.pem", withLineFeed, true},
		{"E20 server alone", serverOnly, serverCA, "", "", "", true},
		{"E21 client certificate of another authority", mutual, serverCA, foreign, "testdata/key.pem", "", false},
		{"E21 server not trusted", serverOnly, strangerCA, "", "", "", false},
		{"E21 server not trusted by the system", serverOnly, "", "", "", "", false},
		{"E21 no client certificate", mutual, serverCA, "", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := within(5*time.Second, async())
			tr.TrustCACerts, tr.ClientCert, tr.ClientKey, tr.ClientKeyPassword = tt.trust, tt.cert, tt.key, tt.passwod
			e := endpointAt(tt.server.URL, tr)
			e.File = filepath.Join(dir, "module.yaml")
			e.MaxAttempts = 1
			c, err := New(e, Shared{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if tt.works {
				call(t, c, "request")
				call(t, c, "request")
				if p := (*c.targets.Load())[greeter].pool; p.open != 1 {
					t.Errorf("%d connections open, want 1 used twice", p.open)
				}
				return
			}
			// With TLS 1.3 the server's refusal of a client comes after the client's part of the handshake.
			fails(t, c, KindTLS, KindClosed)
		})
	}
	t.Run("a large request over TLS", func(t *testing.T) {
		tr := async()
		tr.TrustCACerts = serverCA
		c := newCaller(t, serverOnly.URL, tr)
		want := strings.Repeat("0123456789", 100_000)
		if got, err := c.Call(t.Context(), anybody, []byte(want)); err != nil || string(got) != want {
			t.Fatalf("%d bytes come back as %d, %v", len(want), len(got), err)
		}
	})
}

// The files were written by openssl pkcs8 -topk8 with the password "secret".
func TestEncryptedKeysAreOpened(t *testing.T) {
	plain, err := os.ReadFile("testdata/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ file, password, want string }{
		{"key", "", ""},
		{"aes256-sha256", "secret", ""},
		{"aes256-sha256", "secret\r\n", ""},
		{"aes128-sha1", "secret", ""},
		{"aes192-sha512", "secret", ""},
		{"des3", "secret", ""},
		{"aes256-sha256", "wrong", "wrong password"},
		{"aes256-sha256", "", "no password is given"},
		{"pbes1", "secret", "convert it with openssl"},
		{"scrypt", "secret", "convert it with openssl"},
		{"legacy", "secret", "convert it with openssl"},
	}
	for _, tt := range tests {
		t.Run(tt.file+" "+tt.want, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + tt.file + ".pem")
			if err != nil {
				t.Fatal(err)
			}
			var password []byte
			if tt.password != "" {
				password = []byte(tt.password)
			}
			got, err := keystore.PlainKey(text, password)
			if tt.want == "" && (err != nil || string(got) != string(plain)) {
				t.Fatalf("%s, %v", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzEncryptedKey(f *testing.F) {
	for _, name := range []string{"aes256-sha256", "des3", "scrypt", "pbes1"} {
		text, err := os.ReadFile("testdata/" + name + ".pem")
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(text)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if strings.Contains(string(der), "\x02\x03") || strings.Contains(string(der), "\x02\x04") {
			t.Skip("a number of rounds that takes seconds")
		}
		_, _ = keystore.DecryptPKCS8(der, []byte("secret"))
	})
}

func TestLocationsAreRefusedByName(t *testing.T) {
	e := &module.Endpoint{Position: module.Position{File: "/etc/statefun/module.yaml"}}
	_, err := readLocation(e, "client_cert", "classpath:certs/own.pem")
	if err == nil || !strings.Contains(err.Error(), "read client_cert: open /etc/statefun/certs/own.pem") {
		t.Errorf("%v", err)
	}
}
