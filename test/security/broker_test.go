package security

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// The users of the broker.
const (
	plainUser, plainSecret = "paula", "secret-of-paula"
	scramUser, scramSecret = "sam", `secret"of\sam`
)

// cluster is a broker with three ways in: an open one for the test, one that asks for a log-in over TLS, and one that asks
// for a client's certificate.
type cluster struct {
	*realkafka.Broker
	client         *kgo.Client
	secure, mutual string
}

func startCluster(t *testing.T, k *keys, s *tokens) *cluster {
	t.Helper()
	if err := realkafka.Download(t.Context(), realkafka.Version4); err != nil {
		t.Fatal(err)
	}
	var ports [2]int
	for i := range ports {
		port, err := realkafka.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = port
	}
	c := &cluster{secure: "127.0.0.1:" + strconv.Itoa(ports[0]), mutual: "127.0.0.1:" + strconv.Itoa(ports[1])}
	certificate, private := k.issue(t, "broker", false)
	const login = "org.apache.kafka.common.security."
	properties := map[string]string{
		"listener.security.protocol.map":                                      "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL",
		"ssl.keystore.type":                                                   "PKCS12",
		"ssl.keystore.location":                                               k.store(t, "broker.p12", certificate, private, "broker-password"),
		"ssl.keystore.password":                                               "broker-password",
		"ssl.truststore.type":                                                 "PEM",
		"ssl.truststore.location":                                             k.write(t, "broker-trust.pem", certificatePEM(k.authority)),
		"listener.name.mutual.ssl.client.auth":                                "required",
		"listener.name.secure.sasl.enabled.mechanisms":                        "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"listener.name.secure.plain.sasl.jaas.config":                         fmt.Sprintf(`%splain.PlainLoginModule required user_%s="%s";`, login, plainUser, plainSecret),
		"listener.name.secure.scram-sha-256.sasl.jaas.config":                 login + "scram.ScramLoginModule required;",
		"listener.name.secure.scram-sha-512.sasl.jaas.config":                 login + "scram.ScramLoginModule required;",
		"listener.name.secure.oauthbearer.sasl.jaas.config":                   login + "oauthbearer.OAuthBearerLoginModule required;",
		"listener.name.secure.oauthbearer.sasl.server.callback.handler.class": login + "oauthbearer.OAuthBearerValidatorCallbackHandler",
		"listener.name.secure.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": s.jwks.URL,
		"listener.name.secure.oauthbearer.sasl.oauthbearer.expected.audience": "kafka",
		"listener.name.secure.oauthbearer.connections.max.reauth.ms":          "3600000",
	}
	// Kafka asks a URL only when the JVM is told that it may.
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+s.jwks.URL)
	b, err := realkafka.Start(t.Context(), realkafka.Options{Properties: properties, Listeners: []realkafka.Listener{
		{Name: "SECURE", Port: ports[0], Advertised: c.secure}, {Name: "MUTUAL", Port: ports[1], Advertised: c.mutual},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	c.Broker = b
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(b.Addr())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.Close)
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // a broker takes one at a time of a user
		altered, err := kadm.NewClient(c.client).AlterUserSCRAMs(t.Context(), nil,
			[]kadm.UpsertSCRAM{{User: scramUser, Mechanism: mechanism, Iterations: 4096, Password: scramSecret}})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}
