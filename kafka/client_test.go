package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// ping opens a client by the properties and asks the broker something.
func ping(t *testing.T, brokers []string, list []module.Property) error {
	t.Helper()
	s, err := NewSettings(brokers, list)
	if err != nil {
		return err
	}
	client, err := s.Open(kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func TestLogins(t *testing.T) {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "hush"),
		kfake.Superuser("SCRAM-SHA-256", "alice", "hush"), kfake.Superuser("SCRAM-SHA-512", "alice", "hush"))
	defer cluster.Close()
	const scramLogin = `org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="hush";`
	for mechanism, login := range map[string]string{"PLAIN": plainLogin, "SCRAM-SHA-256": scramLogin, "SCRAM-SHA-512": scramLogin} {
		t.Run(mechanism, func(t *testing.T) {
			with := func(login string) []module.Property {
				return props("security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", mechanism, "sasl.jaas.config", login)
			}
			if err := ping(t, cluster.ListenAddrs(), with(login)); err != nil {
				t.Errorf("refused: %v", err)
			}
			err := ping(t, cluster.ListenAddrs(), with(strings.Replace(login, "hush", "wrong-password", 1)))
			if err == nil || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

// An authority issues certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem = issue(t, nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes a certificate of the authority, or one that signs itself.
func issue(t *testing.T, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	leaf := func(by *authority, name string) (chain, key []byte) {
		_, k, chain := issue(t, by, &x509.Certificate{DNSNames: []string{name}, IPAddresses: addresses(name),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
		return chain, keyPEM(t, k)
	}
	cluster := func(name string, clients bool) *kfake.Cluster {
		pair, err := tls.X509KeyPair(leaf(ca, name))
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}}
		if clients {
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			config.ClientCAs.AddCert(ca.cert)
		}
		c := kfake.MustCluster(kfake.NumBrokers(1), kfake.TLS(config))
		t.Cleanup(c.Close)
		return c
	}
	plain, named, mutual := cluster("127.0.0.1", false), cluster("elsewhere", false), cluster("127.0.0.1", true)
	chain, key := leaf(ca, "client")
	foreignChain, foreignKey := leaf(other, "client")
	folder := t.TempDir()
	file := func(name string, text ...[]byte) string {
		path := filepath.Join(folder, name)
		var all []byte
		for _, part := range text {
			all = append(all, part...)
		}
		if err := os.WriteFile(path, all, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	trust := []string{"security.protocol", "ssl", "ssl.truststore.type", "PEM", "ssl.truststore.location", file("ca", ca.pem)}
	for name, c := range map[string]struct {
		cluster *kfake.Cluster
		more    []string
		ok      bool
	}{
		"a trusted broker":                        {plain, nil, true},
		"a broker of another name":                {named, nil, false},
		"another name, names are not compared":    {named, []string{"ssl.endpoint.identification.algorithm", ""}, true},
		"an untrusted broker":                     {plain, []string{"ssl.truststore.location", file("other.pem", other.pem)}, false},
		"untrusted, names are not compared":       {plain, []string{"ssl.truststore.location", file("other.pem", other.pem), "ssl.endpoint.identification.algorithm", ""}, false},
		"no client certificate where one must be": {mutual, nil, false},
		"a client certificate in one file":        {mutual, []string{"ssl.keystore.location", file("client.pem", key, chain)}, true},
		"a client certificate as text":            {mutual, []string{"ssl.keystore.type", "PEM", "ssl.keystore.certificate.chain", string(chain), "ssl.keystore.key", string(key)}, true},
		"a client certificate of somebody else":   {mutual, []string{"ssl.keystore.location", file("foreign.pem", foreignKey, foreignChain)}, false},
		"TLS 1.2 alone":                           {plain, []string{"ssl.enabled.protocols", "TLSv1.2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := ping(t, c.cluster.ListenAddrs(), props(append(trust[:len(trust):len(trust)], c.more...)...))
			if (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func addresses(name string) []net.IP {
	if ip := net.ParseIP(name); ip != nil {
		return []net.IP{ip}
	}
	return nil
}

func TestAnEncryptedKeyIsRefusedWithoutItsPassword(t *testing.T) {
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	_, err := NewSettings([]string{"b:1"}, props("security.protocol", "SSL", "ssl.keystore.certificate.chain", "x", "ssl.keystore.key", encrypted))
	want := "m.yaml:3: property ssl.keystore.key: it does not open without a password: give ssl.key.password"
	if got := problemLines(err); got != want {
		t.Errorf("got %q", got)
	}
}
