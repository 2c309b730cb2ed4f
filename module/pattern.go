package module

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// functionName is the one placeholder of a URL template.
const functionName = "{function.name}"

// A Pattern says which function types an endpoint serves: one type, or with the name "*" a whole namespace.
type Pattern struct{ Namespace, Name string }

// ParsePattern reads namespace/name or namespace/*.
func ParsePattern(s string) (Pattern, error) {
	t, err := protocol.ParseTypeName(s)
	if err != nil {
		return Pattern{}, err
	}
	if strings.Contains(t.Namespace, "*") || (t.Name != "*" && strings.Contains(t.Name, "*")) {
		return Pattern{}, fmt.Errorf("function pattern %q has its * in the wrong place: only namespace/* is a pattern", s)
	}
	return Pattern(t), nil
}

// Whole reports whether p stands for all functions of its namespace.
func (p Pattern) Whole() bool { return p.Name == "*" }

// Matches reports whether the function type is one of the pattern's. Namespaces are compared as a whole.
func (p Pattern) Matches(t protocol.TypeName) bool {
	return p.Namespace == t.Namespace && (p.Whole() || p.Name == t.Name)
}

// String returns the pattern as it is written in a module.
func (p Pattern) String() string { return p.Namespace + "/" + p.Name }

// URL returns where functions of type fn are called: the template with the type's name put in, unescaped as in StateFun.
func (e *Endpoint) URL(fn protocol.TypeName) (*url.URL, error) {
	return parseURL(strings.ReplaceAll(e.URLPathTemplate, functionName, fn.Name))
}

// Shown is the URL template for people and logs: without the password and the query, which may hold a key.
func (e *Endpoint) Shown() string {
	text, query, _ := strings.Cut(e.URLPathTemplate, "?")
	if query != "" {
		text += "?…"
	}
	scheme, rest, _ := strings.Cut(text, "://")
	authority, path, hasPath := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return text
	}
	user, _, _ := strings.Cut(authority[:at], ":")
	text = scheme + "://" + user + ":xxxxx" + authority[at:]
	if hasPath {
		text += "/" + path
	}
	return text
}

var errNoScheme = errors.New("the URL has no scheme: begin it with http://, https:// or http+unix://")

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil && !strings.Contains(text, "://") {
		return nil, errNoScheme
	}
	if err != nil {
		// The text of url.Error repeats the URL, which may hold a password.
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	switch u.Scheme {
	case "http", "https":
		if u.Hostname() == "" {
			return nil, fmt.Errorf("the URL has no host")
		}
	case "http+unix", "https+unix":
		if _, _, ok := SplitSocket(u.Path); !ok {
			return nil, fmt.Errorf("the path of a Unix socket URL needs an element that ends in .sock")
		}
	case "":
		return nil, errNoScheme
	default:
		return nil, fmt.Errorf("the URL has scheme %q: use http, https or http+unix", u.Scheme)
	}
	return u, nil
}

// SplitSocket splits the path of a Unix socket URL behind its first element that ends in .sock
// into the socket's file and the path of the request ("/" when nothing is left).
func SplitSocket(p string) (file, request string, ok bool) {
	elements := strings.Split(p, "/")
	for i, e := range elements {
		if strings.HasSuffix(e, ".sock") {
			return strings.Join(elements[:i+1], "/"), path.Join("/", strings.Join(elements[i+1:], "/")), true
		}
	}
	return "", "", false
}
