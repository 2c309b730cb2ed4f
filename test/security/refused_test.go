package security

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// refused lets workers with the wrong keys try: they say what is wrong, and never with what.
func refused(t *testing.T, c *cluster, folder, program, url string, f *files) {
	pemTrust := []string{"ssl.truststore.type", "PEM", "ssl.truststore.location", f.trustPEM}
	for name, r := range map[string]struct {
		address    string
		properties []string
		says       string
	}{
		"wrong password":       {c.secure, f.sasl("PLAIN", fmt.Sprintf(plainLogin, plainUser, "another-"+keySecret), pemTrust...), "SASL_AUTHENTICATION_FAILED"},
		"wrong scram password": {c.secure, f.sasl("SCRAM-SHA-512", fmt.Sprintf(scramLogin, scramUser, "another-"+keySecret), pemTrust...), "SASL_AUTHENTICATION_FAILED"},
		"no certificate":       {c.mutual, append([]string{"security.protocol", "SSL"}, pemTrust...), "certificate"},
		"untrusted":            {c.secure, f.sasl("PLAIN", fmt.Sprintf(plainLogin, plainUser, plainSecret)), "certificate"},
		"wrong store password": {c.mutual, append([]string{"security.protocol", "SSL", "ssl.keystore.location", f.keyJKS, "ssl.keystore.password", "another-" + keySecret}, pemTrust...),
			"property ssl.keystore.location: wrong password"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &application{cluster: c, name: strings.ReplaceAll("refused-"+name, " ", "-"), folder: folder, program: program, url: url,
				address: r.address, properties: r.properties}
			p := a.start(t)
			if line := p.Await(t.Context(), startLimit, r.says); line == "" {
				t.Errorf("the worker does not say %q", r.says)
			}
			p.Kill()
			text, err := os.ReadFile(p.Log)
			if err != nil {
				t.Fatal(err)
			}
			a.holdsNoSecret(t, "the log", string(text))
			if strings.Contains(string(text), "partitions run") {
				t.Error("the worker got in")
			}
		})
	}
}
