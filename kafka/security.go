package kafka

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
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

// connect reads the security properties together, with the files they name.
func (d *draft) connect() {
	m, t := d.security()
	if len(d.problems) > 0 {
		return
	}
	if m != nil {
		d.opts = append(d.opts, kgo.SASL(m))
	}
	if t == nil {
		return
	}
	config, err := t.load()
	if err != nil {
		d.problem(err.property, fmt.Sprintf("property %s: %v", err.property.Key, err.cause), "")
		return
	}
	d.opts = append(d.opts, kgo.DialTLSConfig(config))
}

// security checks the security properties without opening a file; nil stands for what is not used.
func (d *draft) security() (sasl.Mechanism, *stores) {
	name := strings.ToUpper(d.value("security.protocol"))
	if name == "" {
		name = "PLAINTEXT"
	}
	uses, ok := protocols[name]
	if !ok {
		d.problem(d.values["security.protocol"],
			fmt.Sprintf("property security.protocol: %q is unknown: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", d.value("security.protocol")), "")
		return nil, nil
	}
	d.unused(name, uses.tls, uses.sasl)
	var m sasl.Mechanism
	var s *stores
	if uses.sasl {
		m = d.mechanism()
	}
	if uses.tls {
		s = d.stores()
	}
	return m, s
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

const mechanisms = "use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"

// mechanism reads how clients log in.
func (d *draft) mechanism() sasl.Mechanism {
	at, given := d.values["sasl.mechanism"]
	if !given {
		d.problem(d.values["security.protocol"], "property sasl.mechanism is missing, and Java's default GSSAPI is not supported", mechanisms)
		return nil
	}
	name := d.value("sasl.mechanism")
	wants := map[string]string{"PLAIN": "PlainLoginModule", "SCRAM-SHA-256": "ScramLoginModule", "SCRAM-SHA-512": "ScramLoginModule"}[name]
	if wants == "" {
		d.problem(at, fmt.Sprintf("property sasl.mechanism: %q is not supported", name), mechanisms)
		return nil
	}
	config, given := d.values["sasl.jaas.config"]
	if !given {
		d.problem(at, "property sasl.jaas.config is missing: it holds the username and the password", "")
		return nil
	}
	l, err := parseJAAS(config.Value)
	if err != nil {
		d.problem(config, fmt.Sprintf("property sasl.jaas.config: %v", err), "")
		return nil
	}
	if l.module != wants {
		d.problem(config, fmt.Sprintf("property sasl.jaas.config: mechanism %s needs a %s", name, wants), "")
		return nil
	}
	switch name {
	case "PLAIN":
		return plain.Auth{User: l.username, Pass: l.password}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: l.username, Pass: l.password, IsToken: l.token}.AsSha256Mechanism()
	}
	return scram.Auth{User: l.username, Pass: l.password, IsToken: l.token}.AsSha512Mechanism()
}

// A storeError is what is wrong with the file or text of one property.
type storeError struct {
	property module.Property
	cause    error
}
