package security

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files are what a client has on its disk.
type files struct {
	trustPEM, trustP12, trustJKS string
	keyPEM, keyP12, keyJKS       string
	encrypted                    string // the key as PEM, with a password
	chain                        *x509.Certificate
	secrets                      string // a properties file
	folder                       string // one file a secret
}

func clientFiles(t *testing.T, k *keys) *files {
	t.Helper()
	certificate, private := k.issue(t, "client", false)
	f := &files{chain: certificate, folder: filepath.Join(k.folder, "secrets")}
	f.trustPEM = k.write(t, "trust.pem", certificatePEM(k.authority))
	f.trustP12 = k.trust(t, "trust.p12")
	f.trustJKS = k.javaStore(t, f.trustP12, trustStoreSecret)
	f.keyPEM = k.write(t, "client.pem", append(certificatePEM(certificate), keyPEM(t, private)...))
	f.keyP12 = k.store(t, "client.p12", certificate, private, keyStoreSecret)
	f.keyJKS = k.javaStore(t, f.keyP12, keyStoreSecret, "-srcalias", aliasOf(t, f.keyP12), "-destalias", "client", "-destkeypass", keySecret)
	plain := k.write(t, "client-key.pem", keyPEM(t, private))
	f.encrypted = plain + ".encrypted"
	run(t, "openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", plain, "-out", f.encrypted, "-passout", "pass:"+keySecret)
	f.secrets = k.write(t, "secrets.properties", []byte("scram.password="+strings.ReplaceAll(strings.ReplaceAll(scramSecret, `\`, `\\\\`), `"`, `\\"`)+"\nkeystore="+keyStoreSecret+"\n"))
	if err := os.Mkdir(f.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"trust": trustStoreSecret, "key": keySecret, "oauth": clientSecret} {
		if err := os.WriteFile(filepath.Join(f.folder, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// A way is how a worker gets in.
type way struct {
	address     string
	properties  []string
	environment []string
}

const (
	plainLogin = `org.apache.kafka.common.security.plain.PlainLoginModule required username="%s" password="%s";`
	scramLogin = `org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`
	oauthLogin = `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="%s" clientSecret="%s" scope="kafka" ssl.truststore.location="%s" ssl.truststore.type="PEM";`
)

// secret names a file of the folder in the way of Kafka's DirectoryConfigProvider.
func (f *files) secret(name string) string { return "${directory:" + f.folder + ":" + name + "}" }

func (f *files) sasl(mechanism, login string, more ...string) []string {
	return append([]string{"security.protocol", "SASL_SSL", "sasl.mechanism", mechanism, "sasl.jaas.config", login}, more...)
}

func ways(c *cluster, s *tokens, f *files) map[string]way {
	pemTrust := []string{"ssl.truststore.type", "PEM", "ssl.truststore.location", f.trustPEM}
	encrypted, err := os.ReadFile(f.encrypted)
	if err != nil {
		panic(fmt.Sprintf("read the encrypted key: %v", err))
	}
	return map[string]way{
		"plain": {c.secure, f.sasl("PLAIN", fmt.Sprintf(plainLogin, plainUser, "${env:PLAIN_SECRET}"), pemTrust...), []string{"PLAIN_SECRET=" + plainSecret}},
		"scram sha 256": {c.secure, f.sasl("SCRAM-SHA-256", fmt.Sprintf(scramLogin, scramUser, "${file:"+f.secrets+":scram.password}"),
			"ssl.truststore.location", f.trustJKS, "ssl.truststore.password", f.secret("trust")), nil},
		"scram sha 512": {c.secure, f.sasl("SCRAM-SHA-512", fmt.Sprintf(scramLogin, scramUser, "${file:"+f.secrets+":scram.password}"),
			"ssl.truststore.location", f.trustP12, "ssl.truststore.type", "PKCS12", "ssl.truststore.password", f.secret("trust")), nil},
		"oauthbearer": {c.secure, f.sasl("OAUTHBEARER", fmt.Sprintf(oauthLogin, clientID, f.secret("oauth"), f.trustPEM),
			append([]string{"sasl.oauthbearer.token.endpoint.url", s.endpoint.URL + "/token"}, pemTrust...)...), nil},
		"mutual pem": {c.mutual, append([]string{"security.protocol", "SSL", "ssl.keystore.type", "PEM", "ssl.keystore.location", f.keyPEM}, pemTrust...), nil},
		"mutual text": {c.mutual, append([]string{"security.protocol", "SSL", "ssl.keystore.type", "PEM", "ssl.keystore.certificate.chain", string(certificatePEM(f.chain)),
			"ssl.keystore.key", string(encrypted), "ssl.key.password", f.secret("key")}, pemTrust...), nil},
		"mutual pkcs12": {c.mutual, []string{"security.protocol", "SSL", "ssl.keystore.type", "PKCS12", "ssl.keystore.location", f.keyP12,
			"ssl.keystore.password", "${file:" + f.secrets + ":keystore}", "ssl.truststore.type", "PKCS12", "ssl.truststore.location", f.trustP12, "ssl.truststore.password", f.secret("trust")}, nil},
		"mutual jks": {c.mutual, []string{"security.protocol", "SSL", "ssl.keystore.location", f.keyJKS, "ssl.keystore.password", "${file:" + f.secrets + ":keystore}",
			"ssl.key.password", f.secret("key"), "ssl.truststore.location", f.trustJKS, "ssl.truststore.password", f.secret("trust")}, nil},
	}
}
