package conformance

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
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func sectionETLS() []Case {
	const parks = "the failure policy of the endpoint decides about the address; StateFun restarts the job."
	const early = "the worker does not start, and says so by name; StateFun fails at the first message."
	return []Case{
		{ID: "E1", Shows: "https://host:1234/statefun?xyz=5678: TLS, that host and port, request target /statefun?xyz=5678", Alone: true, Run: tlsTarget},
		{ID: "E2", Shows: "https://host/statefun: port 443", Alone: true, Run: tlsPort},
		{ID: "E19", Shows: "mutual TLS with plain, file: and classpath: locations, the key with and without a password", Alone: true, Run: mutualTLS},
		{ID: "E20", Shows: "TLS of the server alone with trust_cacerts", Alone: true, Run: serverTLS},
		{
			ID: "E21", Shows: "a client certificate of another authority, a server that is not trusted, no client certificate where one is required: each fails",
			Differs: parks, Alone: true, Run: failingTLS,
		},
		{ID: "E22", Shows: "trust_cacerts names a file that is not there", Differs: early, Alone: true, Run: missingAuthority},
		{
			ID: "E23", Shows: "client_cert without client_key is refused", Differs: differsAtLoad, Alone: true,
			Run: func(l *lab) {
				l.refused(endpoint("e23/*", "https://h/", transport("client_cert: cert.pem")...), "client_cert", "without client_key")
			},
		},
	}
}

// transport are the lines of an async transport whose calls give up soon.
func transport(lines ...string) []string {
	all := slices.Clone(shortCall)
	for _, line := range lines {
		all = append(all, "  "+line)
	}
	return all
}

// authority signs certificates for servers and clients on this machine.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(l *lab) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	cert, err := x509.ParseCertificate(signed(l, template, template, key, key))
	if err != nil {
		l.Fatal(err)
	}
	return authority{cert, key}
}

func signed(l *lab, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		l.Fatal(err)
	}
	return der
}

// certify signs a certificate for a key.
func (a authority) certify(l *lab, key *ecdsa.PrivateKey) []byte {
	return signed(l, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "somebody"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert, key, a.key)
}

// The forms of one key, made by openssl; the password of the encrypted one is secret.
const keyFiles = "../../invoker/testdata/"

func clientKey(l *lab) *ecdsa.PrivateKey {
	text, err := os.ReadFile(keyFiles + "key.pem")
	if err != nil {
		l.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		l.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}

// lay writes PEM files beside the module, where classpath: finds them, and returns the folder. The keys are there too.
func lay(l *lab, files map[string][]byte) string {
	folder := l.bench.folder
	for name, der := range files {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(filepath.Join(folder, l.ns+"-"+name), text, 0o600); err != nil {
			l.Fatal(err)
		}
	}
	for to, from := range map[string]string{"key.pem": "key.pem", "encrypted.pem": "aes256-sha256.pem"} {
		text, err := os.ReadFile(keyFiles + from)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, l.ns+"-"+to), text, 0o600)
		}
		if err != nil {
			l.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, l.ns+"-password"), []byte("secret"), 0o600); err != nil {
		l.Fatal(err)
	}
	return filepath.Join(folder, l.ns+"-")
}

// tlsSite is a server with a certificate of one authority that asks clients for one of another.
func tlsSite(l *lab, server, clients authority, ask tls.ClientAuthType) *site {
	s := &site{}
	s.Server = httptest.NewUnstartedServer(s)
	key := clientKey(l)
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{server.certify(l, key)}, PrivateKey: key}}, ClientCAs: pool, ClientAuth: ask}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	l.Cleanup(s.Close)
	return s
}

func tlsTarget(l *lab) {
	a := newAuthority(l)
	s := tlsSite(l, a, a, tls.NoClientCert)
	at := lay(l, map[string][]byte{"ca.pem": a.cert.Raw})
	host := strings.Replace(s.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	l.serve("f", endpoint("e1/f", "https://"+host+"/statefun?xyz=5678", transport("trust_cacerts: "+at+"ca.pem")...))
	l.send("x", "one")
	r := s.first(l)
	equal(l, "request target", r.RequestURI, "/statefun?xyz=5678")
	equal(l, "host", r.Host, host)
	equal(l, "server name in the handshake", r.TLS.ServerName, "localhost")
}

func tlsPort(l *lab) {
	l.serve("f", endpoint("e2/f", "https://127.77.77.77/statefun", "maxAttempts: 1"))
	l.send("x", "one")
	if _, err := l.worker.logged(`127\.77\.77\.77:(443): connect`); err != nil {
		l.Error(err)
	}
}

func mutualTLS(l *lab) {
	servers, clients := newAuthority(l), newAuthority(l)
	s := tlsSite(l, servers, clients, tls.RequireAndVerifyClientCert)
	at := lay(l, map[string][]byte{"ca.pem": servers.cert.Raw, "own.pem": clients.certify(l, clientKey(l))})
	using := func(name, before string, key ...string) string {
		lines := append([]string{"trust_cacerts: " + before + "ca.pem", "client_cert: " + before + "own.pem"}, key...)
		return endpoint(l.fn(name), s.URL+"/"+name, transport(lines...)...)
	}
	l.serve("plain file classpath password",
		using("plain", at, "client_key: "+at+"key.pem"),
		using("file", "file:"+at, "client_key: file:"+at+"key.pem"),
		using("classpath", "classpath:e19-", "client_key: classpath:e19-key.pem"),
		using("password", at, "client_key: "+at+"encrypted.pem", "client_key_password: "+at+"password"))
	l.send("x", "one")
	await(l.T, "a request of each of the four", func() (bool, <-chan struct{}) {
		s.mu.Lock()
		defer s.mu.Unlock()
		paths := map[string]bool{}
		for _, r := range s.asked {
			paths[r.URL.Path] = len(r.TLS.PeerCertificates) == 1
		}
		return paths["/plain"] && paths["/file"] && paths["/classpath"] && paths["/password"], nil
	})
}

func serverTLS(l *lab) {
	a := newAuthority(l)
	s := tlsSite(l, a, a, tls.NoClientCert)
	at := lay(l, map[string][]byte{"ca.pem": a.cert.Raw})
	l.serve("f", endpoint("e20/f", s.URL, transport("trust_cacerts: "+at+"ca.pem")...))
	l.send("x", "one")
	equal(l, "certificates of the client", len(s.first(l).TLS.PeerCertificates), 0)
}

func failingTLS(l *lab) {
	servers, clients, strangers := newAuthority(l), newAuthority(l), newAuthority(l)
	s := tlsSite(l, servers, clients, tls.RequireAndVerifyClientCert)
	at := lay(l, map[string][]byte{"ca.pem": servers.cert.Raw, "stranger.pem": strangers.cert.Raw,
		"own.pem": clients.certify(l, clientKey(l)), "foreign.pem": strangers.certify(l, clientKey(l))})
	using := func(name string, lines ...string) string {
		return endpoint(l.fn(name), s.URL+"/"+name, append([]string{"onFailure: dead-letter"}, transport(lines...)...)...)
	}
	key := "client_key: " + at + "key.pem"
	l.serve("foreign untrusted none",
		using("foreign", "trust_cacerts: "+at+"ca.pem", "client_cert: "+at+"foreign.pem", key),
		using("untrusted", "trust_cacerts: "+at+"stranger.pem", "client_cert: "+at+"own.pem", key),
		using("none", "trust_cacerts: "+at+"ca.pem"))
	l.send("x", "one")
	for _, dead := range l.deadLetters(3) {
		if detail := header(dead, "statefun.dead-letter/detail"); !strings.Contains(detail, "tls: ") {
			l.Errorf("%s failed by %s", header(dead, "statefun.dead-letter/address"), detail)
		}
	}
	equal(l, "requests", len(s.asked), 0)
}

func missingAuthority(l *lab) {
	w, err := l.bench.newWorker("conformance-e22", application(), egress("conformance/out"), ingress("e22/in", route{l.in(), []string{"e22/f"}}),
		endpoint("e22/f", "https://localhost:1/", transport("trust_cacerts: /nowhere/ca.pem")...))
	if err != nil {
		l.Fatal(err)
	}
	if err := w.begin(); err != nil {
		l.Fatal(err)
	}
	<-w.done
	if code := w.cmd.ProcessState.ExitCode(); code == 0 {
		l.Error("the worker ends well")
	}
	l.says(w.tail(), "trust_cacerts", "/nowhere/ca.pem")
}
