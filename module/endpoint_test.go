package module

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func TestF4Endpoints(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Endpoint
	}{
		"v1 is okhttp, its time-outs are in the spec": {
			"kind: io.statefun.endpoints.v1/http\nspec:\n  functions: com.foo.bar/*\n  urlPathTemplate: http://bar.foo.com:8080/{function.name}\n" +
				"  timeouts: {call: 1minutes, connect: 10s, read: 10second, write: 10seconds}\n  maxNumBatchRequests: 10000\n",
			Endpoint{Functions: Pattern{"com.foo.bar", "*"}, MaxNumBatchRequests: 10000, OnFailure: FailureRetry, Transport: okHTTP()}},
		"F11 v2 without a transport is async": {
			endpointText("com.foo.bar/f"),
			Endpoint{Functions: Pattern{"com.foo.bar", "f"}, MaxNumBatchRequests: 1000, OnFailure: FailureRetry, Transport: async()}},
		"v2 with a transport without a type is async": {
			endpointText("a/b") + "  transport: {pool_size: 2, pool_ttl: 0, payload_max_bytes: '10'}\n  maxNumBatchRequests: \"-1\"\n",
			Endpoint{Functions: Pattern{"a", "b"}, MaxNumBatchRequests: -1, OnFailure: FailureRetry, Transport: Transport{
				Kind: TransportAsync, Call: 2 * time.Minute, Connect: 20 * time.Second, PoolSize: 2, PayloadMaxBytes: 10}}},
		"v2 with okhttp": {
			okHTTPText("timeouts: {call: 5s, connect: 1s, read: 2s, write: 5s}") + "  maxAttempts: 3\n  onFailure: dead-letter\n",
			Endpoint{Functions: Pattern{"a", "b"}, MaxNumBatchRequests: 1000, MaxAttempts: 3, OnFailure: FailureDeadLetter, Transport: Transport{
				Kind: TransportOkHTTP, Call: 5 * time.Second, Connect: time.Second, Read: 2 * time.Second, Write: 5 * time.Second,
				PoolSize: 1024, PoolTTL: time.Minute, FollowRedirects: true}}},
		"E29 async takes the defaults of a timeouts object before its own keys": {
			endpointText("a/b") + "  transport:\n    type: io.statefun.transports.v1/async\n    call: 30s\n    timeouts: {connect: 1s}\n",
			Endpoint{Functions: Pattern{"a", "b"}, MaxNumBatchRequests: 1000, OnFailure: FailureRetry, Transport: Transport{
				Kind: TransportAsync, Call: time.Minute, Connect: time.Second, PoolSize: 1024, PoolTTL: 15 * time.Second, PayloadMaxBytes: 33554432}}},
		"E19 certificates by path, file: and classpath:": {
			endpointText("a/b") + "  transport:\n    trust_cacerts: certs/ca.pem\n    client_cert: file:/etc/c.pem\n    client_key: file:///etc/k.pem\n    client_key_password: classpath:certs/p\n",
			Endpoint{Functions: Pattern{"a", "b"}, MaxNumBatchRequests: 1000, OnFailure: FailureRetry, Transport: Transport{
				Kind: TransportAsync, Call: 2 * time.Minute, Connect: 20 * time.Second, PoolSize: 1024, PoolTTL: 15 * time.Second, PayloadMaxBytes: 33554432,
				TrustCACerts: "certs/ca.pem", ClientCert: "/etc/c.pem", ClientKey: "/etc/k.pem", ClientKeyPassword: filepath.Join("sub", "certs", "p")}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"sub/m.yaml": c.text, "tail.yaml": tail}
			m, err := loadFiles(t, files, []string{"sub/m.yaml", "tail.yaml"}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := m.Endpoints[0]
			c.want.Position, c.want.URLPathTemplate = Position{"sub/m.yaml", 3, 14}, got.URLPathTemplate
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestURLs(t *testing.T) {
	f := protocol.TypeName{Namespace: "a", Name: "f"}
	for name, c := range map[string]struct{ template, want string }{
		"F9 each placeholder":     {"https://h/{function.name}/{function.name}", "https://h/f/f"},
		"F10 no placeholder":      {"https://api.gateway.com:1234/statefun?xyz=5678", "https://api.gateway.com:1234/statefun?xyz=5678"},
		"E24 a socket":            {"http+unix:///some/path.sock", "http+unix:///some/path.sock"},
		"E25 a socket and a path": {"http+unix:///some/path.sock/{function.name}", "http+unix:///some/path.sock/f"},
		"a name that is a host":   {"http://{function.name}/x", "http://f/x"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := (&Endpoint{URLPathTemplate: c.template}).URL(f)
			if err != nil || u.String() != c.want {
				t.Errorf("got %v, %v", u, err)
			}
		})
	}
}

func TestSplitSocket(t *testing.T) {
	for path, want := range map[string][2]string{
		"/some/path.sock":       {"/some/path.sock", "/"},      // E24
		"/some/path.sock/hello": {"/some/path.sock", "/hello"}, // E25
		"/a.sock/b.sock/c":      {"/a.sock", "/b.sock/c"},
		"/some/path/hello":      {"", ""}, // E26
	} {
		file, request, ok := SplitSocket(path)
		if file != want[0] || request != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q, %q, %v", path, file, request, ok)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, fn string
		want        bool
	}{
		{"a/f", "a/f", true}, {"a/f", "a/g", false}, // F5
		{"a/*", "a/f", true}, {"a/*", "b/f", false}, // F6
		{"com.foo.bar/*", "com.foo.bar.baz/x", false}, // F8
		{"a/f/", "a/f", true},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		fn, err := protocol.ParseTypeName(c.fn)
		if err != nil {
			t.Fatal(err)
		}
		if p.Matches(fn) != c.want {
			t.Errorf("%s matches %s: %v", p, fn, !c.want)
		}
	}
}
