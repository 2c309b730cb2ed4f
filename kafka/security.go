package kafka

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// protocols says what each security.protocol uses.
var protocols = map[string]struct{ tls, sasl bool }{
	"PLAINTEXT":      {},
	"SSL":            {tls: true},
	"SASL_PLAINTEXT": {sasl: true},
	"SASL_SSL":       {tls: true, sasl: true},
}

// A secured is how clients log in and whom they trust; nil stands for what is not used.
type secured struct {
	mechanism sasl.Mechanism
	tls       *stores
	tokens    *tokenSource // of the mechanism
}

// connect reads the security properties together, with the files they name.
func (d *draft) connect() {
	s := d.security()
	if len(d.problems) > 0 {
		return
	}
	if s.mechanism != nil {
		d.opts = append(d.opts, kgo.SASL(s.mechanism))
	}
	if s.tokens != nil {
		if err := s.tokens.open(); err != nil {
			d.problem(err.property, fmt.Sprintf("property %s: %v", err.property.Key, err.cause), "")
			return
		}
	}
	if s.tls == nil {
		return
	}
	config, err := s.tls.load()
	if err != nil {
		d.problem(err.property, fmt.Sprintf("property %s: %v", err.property.Key, err.cause), "")
		return
	}
	d.opts = append(d.opts, kgo.DialTLSConfig(config))
}

// security checks the security properties without opening a file.
func (d *draft) security() (s secured) {
	name := strings.ToUpper(d.value("security.protocol"))
	if name == "" {
		name = "PLAINTEXT"
	}
	uses, ok := protocols[name]
	if !ok {
		d.problem(d.values["security.protocol"],
			fmt.Sprintf("property security.protocol: %q is unknown: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", d.value("security.protocol")), "")
		return s
	}
	d.unused(name, uses.tls, uses.sasl)
	if uses.sasl {
		s.mechanism, s.tokens = d.mechanism()
	}
	if uses.tls {
		s.tls = d.stores()
	}
	return s
}

// unused warns of keys that the protocol makes useless: a forgotten security.protocol looks like this.
func (d *draft) unused(protocol string, usesTLS, usesSASL bool) {
	for key, p := range d.values {
		r := rules[key]
		if r.side != security || r.ignored != "" {
			continue
		}
		if strings.HasPrefix(key, "ssl.") && !usesTLS || strings.HasPrefix(key, "sasl.") && !usesSASL {
			d.warn(p, fmt.Sprintf("property %s has no effect: security.protocol is %s", key, protocol))
		}
	}
}

const mechanisms = "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"

// loginModules are the Java classes that go with each mechanism.
var loginModules = map[string]string{
	"PLAIN": "PlainLoginModule", "SCRAM-SHA-256": "ScramLoginModule", "SCRAM-SHA-512": "ScramLoginModule", "OAUTHBEARER": "OAuthBearerLoginModule",
}

// mechanism reads how clients log in.
func (d *draft) mechanism() (sasl.Mechanism, *tokenSource) {
	at, given := d.values["sasl.mechanism"]
	if !given {
		d.problem(d.values["security.protocol"], "property sasl.mechanism is missing, and Java's default GSSAPI is not supported", mechanisms)
		return nil, nil
	}
	name := d.value("sasl.mechanism")
	wants := loginModules[name]
	if wants == "" {
		d.problem(at, fmt.Sprintf("property sasl.mechanism: %q is not supported", name), mechanisms)
		return nil, nil
	}
	config, given := d.values["sasl.jaas.config"]
	if !given {
		what := "the username and the password"
		if name == "OAUTHBEARER" {
			what = "clientId and clientSecret"
		}
		d.problem(at, "property sasl.jaas.config is missing: it holds "+what, "")
		return nil, nil
	}
	l, err := parseJAAS(config.Value)
	if err != nil {
		d.problem(config, fmt.Sprintf("property sasl.jaas.config: %v", err), "")
		return nil, nil
	}
	if l.module != wants {
		d.problem(config, fmt.Sprintf("property sasl.jaas.config: mechanism %s needs a %s", name, wants), "")
		return nil, nil
	}
	if name == "OAUTHBEARER" {
		tokens := d.tokenSource(config, l)
		if tokens == nil {
			return nil, nil
		}
		return oauth.Oauth(tokens.auth), tokens
	}
	return d.password(name, config, l), nil
}

// password is one of the mechanisms with a username and a password.
func (d *draft) password(name string, config module.Property, l login) sasl.Mechanism {
	user, pass := l.options["username"], l.options["password"]
	if user == "" || pass == "" {
		d.problem(config, "property sasl.jaas.config: has no username or no password", "")
		return nil
	}
	if name == "PLAIN" {
		return plain.Auth{User: user, Pass: pass}.AsMechanism()
	}
	auth := scram.Auth{User: user, Pass: pass, IsToken: strings.EqualFold(l.options["tokenauth"], "true")}
	if name == "SCRAM-SHA-256" {
		return auth.AsSha256Mechanism()
	}
	return auth.AsSha512Mechanism()
}

// A storeError is what is wrong with the file or text of one property.
type storeError struct {
	property module.Property
	cause    error
}
