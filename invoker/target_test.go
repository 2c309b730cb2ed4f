package invoker

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func TestURLsLeadToTheirDestination(t *testing.T) {
	tests := []struct{ name, url, network, address, tls, host, path string }{
		{"E1 https with port and query", "https://api.gateway.com:1234/statefun?xyz=5678", "tcp", "api.gateway.com:1234", "api.gateway.com", "api.gateway.com:1234", "/statefun?xyz=5678"},
		{"E2 https without port", "https://greeter-svc/statefun", "tcp", "greeter-svc:443", "greeter-svc", "greeter-svc", "/statefun"},
		{"E3 http without path", "http://greeter-svc", "tcp", "greeter-svc:80", "", "greeter-svc", "/"},
		{"E4 port 80 given", "http://greeter-svc:80/a", "tcp", "greeter-svc:80", "", "greeter-svc", "/a"},
		{"E4 port 443 given", "https://greeter-svc:443/a", "tcp", "greeter-svc:443", "greeter-svc", "greeter-svc", "/a"},
		{"E4 port 443 without TLS", "http://greeter-svc:443/a", "tcp", "greeter-svc:443", "", "greeter-svc", "/a"},
		{"E4 another port", "http://greeter-svc:8080/a", "tcp", "greeter-svc:8080", "", "greeter-svc:8080", "/a"},
		{"IPv6 with port", "http://[::1]:8080/a", "tcp", "[::1]:8080", "", "[::1]:8080", "/a"},
		{"IPv6 without port", "http://[::1]/a", "tcp", "[::1]:80", "", "[::1]", "/a"},
		{"query without path", "http://h?a=b", "tcp", "h:80", "", "h", "/?a=b"},
		{"a fragment stays here", "http://h/a#b", "tcp", "h:80", "", "h", "/a"},
		{"blanks are escaped", "http://h/a b?c d", "tcp", "h:80", "", "h", "/a%20b?c%20d"},
		{"escapes stay", "http://h/a%2Fb", "tcp", "h:80", "", "h", "/a%2Fb"},
		{"E24 socket file alone", "http+unix:///some/path.sock", "unix", "/some/path.sock", "", "localhost", "/"},
		{"E25 socket file and path", "http+unix:///some/path.sock/hello", "unix", "/some/path.sock", "", "localhost", "/hello"},
		{"socket file, long path and query", "https+unix:///some/path.sock/hello/you?a=b", "unix", "/some/path.sock", "", "localhost", "/hello/you?a=b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			d, err := destinationOf(u)
			if err != nil {
				t.Fatal(err)
			}
			if want := (destination{tt.network, tt.address, tt.tls}); d != want {
				t.Errorf("destination %+v, want %+v", d, want)
			}
			if h, p := hostHeader(u), requestTarget(u); h != tt.host || p != tt.path {
				t.Errorf("host %q, path %q; want %q, %q", h, p, tt.host, tt.path)
			}
		})
	}
}

func TestEndpointsThatCannotWorkAreRefused(t *testing.T) {
	change := func(tr module.Transport, f func(*module.Transport)) module.Transport {
		f(&tr)
		return tr
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	tests := []struct {
		name, url string
		transport module.Transport
		want      string
	}{
		{"E22 trust_cacerts is missing", "https://h/", change(async(), func(t *module.Transport) { t.TrustCACerts = missing }), "read trust_cacerts: open " + missing},
		{"E22 trust_cacerts has no certificate", "https://h/", change(async(), func(t *module.Transport) { t.TrustCACerts = "tls_test.go" }), "no certificate in it"},
		{"E23 client_cert without client_key", "https://h/", change(async(), func(t *module.Transport) { t.ClientCert = "testdata/key.pem" }), "client_cert and client_key go together"},
		{"E23 client_key without client_cert", "https://h/", change(async(), func(t *module.Transport) { t.ClientKey = "testdata/key.pem" }), "client_cert and client_key go together"},
		{"E26 no socket file in the path", "http+unix:///some/path/hello", async(), ".sock"},
		{"unknown scheme", "ftp://h/", async(), `scheme "ftp"`},
		{"E27 read longer than call", "http://h/", change(okhttp(), func(t *module.Transport) { t.Call = 5 * time.Second }), "must not be longer than the call time-out of 5s"},
		{"E28 read of nothing", "http://h/", change(okhttp(), func(t *module.Transport) { t.Read = 0 }), "must be more than 0"},
		{"no budget", "http://h/", change(async(), func(t *module.Transport) { t.Call = 0 }), "must be more than 0"},
		{"unknown transport", "http://h/", change(async(), func(t *module.Transport) { t.Kind = "pigeon" }), `transport "pigeon"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(endpointAt(tt.url, tt.transport), Shared{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "endpoint example/*") {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A namespace pattern takes any name that a message gives. However many there are, memory stays bounded.
func TestTypesBeyondTheLimitAreNotKept(t *testing.T) {
	c := newCaller(t, "http://{function.name}.svc/", async())
	for i := range maxTargets + 10 {
		if _, err := c.target(protocol.TypeName{Namespace: "example", Name: "f" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(*c.targets.Load()); n != maxTargets || len(c.pools) != maxTargets {
		t.Fatalf("%d types and %d pools are kept, the limit is %d", n, len(c.pools), maxTargets)
	}
	last, err := c.target(protocol.TypeName{Namespace: "example", Name: "another"})
	if err != nil || last.function != "other" || last.pool != nil {
		t.Fatalf("%+v, %v", last, err)
	}
}
