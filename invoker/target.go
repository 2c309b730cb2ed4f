package invoker

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// A destination is what connections are made to. Names are resolved anew for each connection, so that
// an endpoint may move.
type destination struct {
	network, address string // as net.Dial takes them
	tlsName          string // name that the certificate is for; empty: no TLS
}

// A target is where the calls of one function type go, with everything that is the same for all of them.
type target struct {
	at       *url.URL
	url      string // for errors
	to       destination
	head     []byte            // of the request, up to and including "content-length: "
	pool     *pool             // nil: each attempt makes a connection of its own
	name     protocol.TypeName // in process
	function string            // as the metrics name it
	latency  prometheus.Observer
}

func (c *Caller) newTarget(u *url.URL, d destination) *target {
	return &target{at: u, url: shown(u), to: d, head: requestHead(requestTarget(u), hostHeader(u), c.rules.acceptEncoding)}
}

// shown is a URL for errors: without the password and the query, which may hold a key.
func shown(u *url.URL) string {
	bare := *u
	bare.RawQuery, bare.ForceQuery = "", false
	if u.RawQuery != "" {
		return bare.Redacted() + "?…"
	}
	return bare.Redacted()
}

// resolve says where a function type is called.
func (c *Caller) resolve(fn protocol.TypeName) (*url.URL, destination, error) {
	u, err := c.endpoint.URL(fn)
	if err != nil {
		return nil, destination{}, fmt.Errorf("urlPathTemplate %q: %w", c.endpoint.Shown(), err)
	}
	d, err := destinationOf(u)
	if err != nil {
		return nil, destination{}, fmt.Errorf("urlPathTemplate %q: %w", c.endpoint.Shown(), err)
	}
	return u, d, nil
}

func destinationOf(u *url.URL) (destination, error) {
	switch u.Scheme {
	case "http", "https":
		if u.Hostname() == "" {
			return destination{}, errors.New("the URL has no host")
		}
		d := destination{network: "tcp"}
		port := "80"
		if u.Scheme == "https" {
			d.tlsName, port = u.Hostname(), "443"
		}
		if p := u.Port(); p != "" {
			port = p
		}
		d.address = net.JoinHostPort(u.Hostname(), port)
		return d, nil
	case "http+unix", "https+unix": // there is no TLS on a socket file, whatever the scheme says
		file, _, ok := module.SplitSocket(u.Path)
		if !ok {
			return destination{}, errors.New("the path of a Unix socket URL needs an element that ends in .sock")
		}
		return destination{network: "unix", address: file}, nil
	default:
		return destination{}, fmt.Errorf("the URL has scheme %q: use http, https or http+unix", u.Scheme)
	}
}

// hostHeader leaves out the ports 80 and 443 whatever the scheme, as StateFun does.
func hostHeader(u *url.URL) string {
	if isUnix(u) {
		return "localhost"
	}
	if p := u.Port(); p == "80" || p == "443" || p == "" {
		return strings.TrimSuffix(u.Host, ":"+p)
	}
	return u.Host
}

// requestTarget is the path and the query; a fragment stays with the client, as HTTP has it.
func requestTarget(u *url.URL) string {
	path := u.EscapedPath()
	if isUnix(u) {
		_, rest, _ := module.SplitSocket(u.Path)
		path = (&url.URL{Path: rest}).EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + strings.ReplaceAll(u.RawQuery, " ", "%20")
	}
	return path
}

func isUnix(u *url.URL) bool { return strings.HasSuffix(u.Scheme, "+unix") }

// requestHead writes what comes before the value of content-length. That one header is last, because it
// alone differs from call to call.
func requestHead(path, host, acceptEncoding string) []byte {
	return []byte("POST " + path + " HTTP/1.1\r\n" +
		"host: " + host + "\r\n" +
		"user-agent: statefun\r\n" +
		"connection: keep-alive\r\n" +
		"content-type: " + mediaType + "\r\n" +
		"accept: " + mediaType + "\r\n" +
		"accept-encoding: " + acceptEncoding + "\r\n" +
		"content-length: ")
}
