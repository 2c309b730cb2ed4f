package kafka

import (
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/module"
)

func at(line int, key, value string) module.Property {
	return module.Property{Key: key, Value: value, Position: module.Position{File: "m.yaml", Line: line}}
}

func lines(list []module.Problem) string { return module.Errors(list).Error() }

func TestCheckFindsTheProblemsOfAWholeModule(t *testing.T) {
	m := &module.Module{
		Ingresses: []module.Ingress{
			{Properties: []module.Property{at(1, "security.protocol", "SSL"), at(2, "fetch.min.byte", "1"), at(3, "client.id", "a"),
				at(4, "ssl.truststore.location", "/not/looked/at.pem"), at(5, "fetch.min.bytes", "1")}},
			{Properties: []module.Property{at(11, "client.id", "b"), at(12, "linger.ms", "x"), at(13, "fetch.min.bytes", "1")}},
		},
		Egresses: []module.Egress{{Properties: []module.Property{at(21, "security.protocol", "PLAINTEXT"), at(22, "client.id", "c"), at(23, "acks", "1")}}},
	}
	want := `m.yaml:2: "fetch.min.byte" is not a property of Kafka's clients (did you mean "fetch.min.bytes"?)
m.yaml:21: property security.protocol differs from the one at m.yaml:1: all clients connect to one cluster in one way (give the same value everywhere, or give it once)
m.yaml:23: property acks: must be all, not "1": a transaction needs every in-sync replica`
	if got := lines(Check(m)); got != want {
		t.Errorf("got:\n%s", got)
	}
	want = `m.yaml:11: property client.id has no effect: one client serves all, and m.yaml:3 gave it first
m.yaml:12: property linger.ms has no effect here: it is one of a producer`
	if got := lines(Warnings(m)); got != want {
		t.Errorf("got:\n%s", got)
	}
	if _, _, err := ForModule(m, []string{"b:1"}); lines(Check(m)) != problemLines(err) {
		t.Errorf("ForModule reports %v", err)
	}
}

func TestSecurityHoldsForAllClientsAndTheRestForItsOwn(t *testing.T) {
	m := &module.Module{
		Ingresses: []module.Ingress{{Properties: []module.Property{at(1, "client.id", "in"), at(2, "bootstrap.servers", "a:1")}}},
		Egresses: []module.Egress{{Properties: []module.Property{at(3, "client.id", "out"), at(4, "security.protocol", "SASL_PLAINTEXT"),
			at(5, "sasl.mechanism", "PLAIN"), at(6, "sasl.jaas.config", plainLogin)}}},
	}
	a := assemble(m)
	for _, c := range []struct {
		list []module.Property
		id   string
	}{{a.reads, "in"}, {a.writes, "out"}} {
		id, _ := find(c.list, "client.id")
		_, secure := find(c.list, "sasl.jaas.config")
		if id.Value != c.id || !secure {
			t.Errorf("client %s has id %s and login %v", c.id, id.Value, secure)
		}
	}
	if _, _, err := ForModule(m, []string{"b:1"}); err != nil {
		t.Error(err)
	}
	plain := WithoutSecurity(m)
	if _, secure := find(assemble(plain).reads, "sasl.jaas.config"); secure {
		t.Error("the login is still there")
	}
	if len(m.Egresses[0].Properties) != 4 {
		t.Error("the module itself was changed")
	}
}

func TestAnotherClusterHasItsOwnSecurityAndTuning(t *testing.T) {
	m := &module.Module{
		Ingresses: []module.Ingress{
			{Properties: []module.Property{at(1, "security.protocol", "PLAINTEXT"), at(2, "client.id", "own")}},
			{Elsewhere: []string{"far:1"}, Properties: []module.Property{at(11, "security.protocol", "SSL"), at(12, "client.id", "far"), at(13, "acks", "all"), at(14, "fetch.min.bytes", "x")}},
		},
		Egresses: []module.Egress{{Elsewhere: []string{"far:2"}, Properties: []module.Property{at(21, "security.protocol", "SASL_PLAINTEXT"),
			at(22, "sasl.mechanism", "PLAIN"), at(23, "sasl.jaas.config", plainLogin), at(24, "group.id", "g")}}},
	}
	if got, want := lines(Check(m)), `m.yaml:14: property fetch.min.bytes: "x" is not a whole number`; got != want {
		t.Errorf("got:\n%s", got)
	}
	m.Ingresses[1].Properties = m.Ingresses[1].Properties[:3]
	if got := lines(Warnings(m)); !strings.Contains(got, "m.yaml:13: property acks has no effect here: it is one of a producer") || !strings.Contains(got, "m.yaml:24: property group.id has no effect here: it is one of a consumer") {
		t.Errorf("got:\n%s", got)
	}
	a := assemble(m)
	if _, secure := find(a.writes, "sasl.jaas.config"); secure || len(a.problems) > 0 {
		t.Errorf("the login of another cluster is used here, or compared: %v", a.problems)
	}
	for _, open := range []func() (Settings, error){func() (Settings, error) { return ForIngress(&m.Ingresses[1]) }, func() (Settings, error) { return ForEgress(&m.Egresses[0]) }} {
		if s, err := open(); err != nil || len(s.Brokers()) != 1 || s.Brokers()[0][:3] != "far" {
			t.Errorf("%v, %v", s, err)
		}
	}
}
