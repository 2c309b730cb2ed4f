package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// props makes properties of key, value, key, value… on lines 1, 2…
func props(pairs ...string) []module.Property {
	var list []module.Property
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, module.Property{Key: pairs[i], Value: pairs[i+1], Position: module.Position{File: "m.yaml", Line: i/2 + 1}})
	}
	return list
}

func problemLines(err error) string {
	if err == nil {
		return ""
	}
	var all module.Errors
	if !errors.As(err, &all) {
		return "not module.Errors: " + err.Error()
	}
	return all.Error()
}

const tokenLogin = `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="alice" clientSecret="hush";`

const plainLogin = `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="hush";`

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		props []module.Property
		want  string
	}{
		"an unknown name has its nearest":        {props("linger", "5"), `m.yaml:1: "linger" is not a property of Kafka's clients (did you mean "linger.ms"?)`},
		"a name that is like none":               {props("colour", "red"), `m.yaml:1: "colour" is not a property of Kafka's clients`},
		"a number that is none":                  {props("linger.ms", "5ms"), `m.yaml:1: property linger.ms: "5ms" is not a whole number`},
		"a number out of range":                  {props("request.timeout.ms", "1"), `m.yaml:1: property request.timeout.ms: 1 is out of range: 100 to 900000`},
		"acks of one broker":                     {props("acks", "1"), `m.yaml:1: property acks: must be all, not "1": a transaction needs every in-sync replica`},
		"an unknown isolation level":             {props("isolation.level", "dirty"), `m.yaml:1: property isolation.level: "dirty" is unknown: use read_committed`},
		"an unknown codec":                       {props("compression.type", "brotli"), `m.yaml:1: property compression.type: "brotli" is unknown: use none, gzip, snappy, lz4 or zstd`},
		"an unknown protocol":                    {props("security.protocol", "TLS"), `m.yaml:1: property security.protocol: "TLS" is unknown: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL`},
		"SASL without mechanism":                 {props("security.protocol", "SASL_SSL"), `m.yaml:1: property sasl.mechanism is missing, and Java's default GSSAPI is not supported (use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER)`},
		"a mechanism we do not have":             {props("security.protocol", "SASL_SSL", "sasl.mechanism", "GSSAPI"), `m.yaml:2: property sasl.mechanism: "GSSAPI" is not supported (use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER)`},
		"no login":                               {props("security.protocol", "SASL_SSL", "sasl.mechanism", "PLAIN"), `m.yaml:2: property sasl.jaas.config is missing: it holds the username and the password`},
		"a login of another mechanism":           {props("security.protocol", "SASL_SSL", "sasl.mechanism", "SCRAM-SHA-256", "sasl.jaas.config", plainLogin), `m.yaml:3: property sasl.jaas.config: mechanism SCRAM-SHA-256 needs a ScramLoginModule`},
		"a login that cannot be read is hidden":  {props("security.protocol", "SASL_SSL", "sasl.mechanism", "PLAIN", "sasl.jaas.config", "alice:hush"), `m.yaml:3: property sasl.jaas.config: is not of the form <class>LoginModule required username="…" password="…";`},
		"a trust store of a type of others":      {props("security.protocol", "SSL", "ssl.truststore.location", "/x/trust.bks", "ssl.truststore.type", "bks"), `m.yaml:3: property ssl.truststore.type: a store of type BKS is not supported: use PEM, PKCS12 or JKS (convert it with keytool -importkeystore -deststoretype PKCS12)`},
		"a key store that is not there":          {props("security.protocol", "SSL", "ssl.keystore.location", "/nowhere/key.p12", "ssl.keystore.type", "PKCS12"), `m.yaml:2: property ssl.keystore.location: open /nowhere/key.p12: no such file or directory`},
		"a trust store that is not there":        {props("security.protocol", "SSL", "ssl.truststore.location", "/nowhere/ca.pem"), `m.yaml:2: property ssl.truststore.location: open /nowhere/ca.pem: no such file or directory`},
		"a trust store without certificates":     {props("security.protocol", "SSL", "ssl.truststore.certificates", "hello"), `m.yaml:2: property ssl.truststore.certificates: it is neither PEM nor PKCS #12 nor a Java key store (JKS)`},
		"a key without its chain":                {props("security.protocol", "SSL", "ssl.keystore.key", "hush"), `m.yaml:2: property ssl.keystore.key is given without ssl.keystore.certificate.chain (give both or none)`},
		"a key pair that is none":                {props("security.protocol", "SSL", "ssl.keystore.key", "hush", "ssl.keystore.certificate.chain", "x"), `m.yaml:2: property ssl.keystore.key: no private key in PEM form is in it`},
		"tokens from nowhere":                    {props("security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER", "sasl.jaas.config", tokenLogin), `m.yaml:3: property sasl.oauthbearer.token.endpoint.url is missing: tokens come from there, or from a file as file:///path`},
		"tokens from no URL":                     {props("security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER", "sasl.jaas.config", tokenLogin, "sasl.oauthbearer.token.endpoint.url", "idp/token"), `m.yaml:4: property sasl.oauthbearer.token.endpoint.url: is no URL of https, http or file (write https://host/path)`},
		"tokens for nobody":                      {props("security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER", "sasl.jaas.config", "x.OAuthBearerLoginModule required clientId=a;", "sasl.oauthbearer.token.endpoint.url", "https://idp/token"), `m.yaml:3: property sasl.jaas.config: has no clientId or no clientSecret`},
		"a log-in without a password":            {props("security.protocol", "SASL_SSL", "sasl.mechanism", "PLAIN", "sasl.jaas.config", "x.PlainLoginModule required username=hush;"), `m.yaml:3: property sasl.jaas.config: has no username or no password`},
		"an unknown TLS version":                 {props("security.protocol", "SSL", "ssl.enabled.protocols", "TLSv1.2,SSLv3"), `m.yaml:2: property ssl.enabled.protocols: "SSLv3" is unknown: use TLSv1.2 and TLSv1.3`},
		"all problems come together":             {props("acks", "0", "lingerms", "1", "security.protocol", "X"), "m.yaml:1: property acks: must be all, not \"0\": a transaction needs every in-sync replica\nm.yaml:2: \"lingerms\" is not a property of Kafka's clients (did you mean \"linger.ms\"?)\nm.yaml:3: property security.protocol: \"X\" is unknown: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"},
		"of a name given twice the later counts": {props("acks", "0", "acks", "all"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewSettings([]string{"b:1"}, c.props)
			if got := problemLines(err); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestNoBrokerIsAProblem(t *testing.T) {
	_, err := NewSettings(nil, nil)
	if got, want := problemLines(err), "no broker is named (give --brokers / Options.Brokers, or an address in the module)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBrokersOfThePropertyCountWhenNoneAreGiven(t *testing.T) {
	list := props("bootstrap.servers", "a:1, b:2")
	for _, c := range []struct {
		given []string
		want  string
	}{{nil, "[a:1 b:2]"}, {[]string{"c:3"}, "[c:3]"}} {
		s, err := NewSettings(c.given, list)
		if err != nil || fmt.Sprint(s.Brokers()) != c.want {
			t.Errorf("given %v: brokers %v, %v", c.given, s.Brokers(), err)
		}
	}
}

func TestPropertiesReachTheClient(t *testing.T) {
	for _, c := range []struct {
		key, value string
		opt        any
		want       any
	}{
		{"client.id", "me", kgo.ClientID, "me"},
		{"client.rack", "r1", kgo.Rack, "r1"},
		{"request.timeout.ms", "20000", kgo.RequestTimeoutOverhead, 20 * time.Second},
		{"connections.max.idle.ms", "-1", kgo.ConnIdleTimeout, 15 * time.Minute},
		{"connections.max.idle.ms", "1000", kgo.ConnIdleTimeout, time.Second},
		{"socket.connection.setup.timeout.ms", "700", kgo.DialTimeout, 700 * time.Millisecond},
		{"metadata.max.age.ms", "1000", kgo.MetadataMaxAge, time.Second},
		{"metadata.max.age.ms", "1000", kgo.MetadataMinAge, leaderLook},
		{"metadata.max.age.ms", "100", kgo.MetadataMinAge, 100 * time.Millisecond},
		{"client.id", "me", kgo.MetadataMinAge, leaderLook}, // the client's default would hold up transactions
		{"fetch.min.bytes", "7", kgo.FetchMinBytes, int32(7)},
		{"fetch.max.bytes", "70000000", kgo.FetchMaxBytes, int32(70_000_000)},
		{"fetch.max.bytes", "200000000", kgo.FetchMaxBytes, int32(200_000_000)},
		{"fetch.max.wait.ms", "0", kgo.FetchMaxWait, 10 * time.Millisecond},
		{"max.partition.fetch.bytes", "9000", kgo.FetchMaxPartitionBytes, int32(9000)},
		{"linger.ms", " 3 ", kgo.ProducerLinger, 3 * time.Millisecond},
		{"max.request.size", "200000000", kgo.BrokerMaxWriteBytes, int32(200_000_000)},
	} {
		s, err := NewSettings([]string{"127.0.0.1:1"}, props(c.key, c.value))
		if err != nil {
			t.Errorf("%s: %v", c.key, err)
			continue
		}
		client, err := s.Open()
		if err != nil {
			t.Errorf("%s: %v", c.key, err)
			continue
		}
		if got := client.OptValue(c.opt); got != c.want {
			t.Errorf("%s=%s: client has %v (%T), want %v", c.key, c.value, got, got, c.want)
		}
		client.Close()
	}
}

func TestTheCallersOptionsWinOverProperties(t *testing.T) {
	s, err := NewSettings([]string{"127.0.0.1:1"}, props("linger.ms", "3", "session.timeout.ms", "9000"))
	if err != nil {
		t.Fatal(err)
	}
	base := s.With(kgo.ProducerLinger(time.Millisecond))
	_ = s.With(kgo.ProducerLinger(5 * time.Millisecond)) // must not reach base
	client, err := base.Open(kgo.ClientID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got := client.OptValue(kgo.ProducerLinger); got != time.Millisecond {
		t.Errorf("linger is %v", got)
	}
	if s.SessionTimeout() != 9*time.Second {
		t.Errorf("session time-out is %v", s.SessionTimeout())
	}
}

func TestUselessPropertiesAreTold(t *testing.T) {
	s, err := NewSettings([]string{"b:1"}, props(
		"max.poll.records", "5", "isolation.level", "read_uncommitted", "enable.auto.commit", "false",
		"sasl.mechanism", "PLAIN", "group.id", "g", "flink.anything", "1", "key.deserializer", "x"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"m.yaml:1: property max.poll.records has no effect: limits in the document statefun-kafka.v1/application bound memory",
		"m.yaml:2: property isolation.level stays read_committed: a record of an aborted transaction must have no effect",
		"m.yaml:4: property sasl.mechanism has no effect: security.protocol is PLAINTEXT",
		"m.yaml:6: property flink.anything has no effect: it is a property of Flink",
		"m.yaml:7: property key.deserializer has no effect: records are bytes for the worker",
	}
	if got := strings.Join(s.Warnings(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	list := props("security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.jaas.config", plainLogin, "ssl.key.password", "hush")
	s, err := NewSettings([]string{"b:1"}, list)
	if err != nil {
		t.Fatal(err)
	}
	inside := struct{ settings Settings }{s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "settings", s, "properties", list)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "settings", s, "properties", list)
	all := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %v %#v %v", s, s, s, s, inside, inside, inside, list, list, s.Warnings()) + log.String()
	if strings.Contains(all, "hush") || strings.Contains(all, "alice") {
		t.Errorf("a secret is shown: %s", all)
	}
}

func TestEveryIgnoredPropertyHasAReasonAndEveryOtherAUse(t *testing.T) {
	told := map[string]bool{"group.id": true, "auto.offset.reset": true}
	for key, r := range rules {
		if r.side == 0 {
			t.Errorf("%s has no side", key)
		}
		if r.use == nil && r.ignored == "" && r.side != security && !told[key] {
			t.Errorf("%s has neither a use nor a reason", key)
		}
	}
}
