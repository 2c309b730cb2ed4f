package module

import (
	"slices"
	"strings"
	"testing"
)

// clusterModule has an ingress at one address, another at a second, and an egress at a third; "-" leaves one out.
func clusterModule(brokers, first, second, out string) string {
	var b strings.Builder
	b.WriteString("kind: statefun-kafka.v1/application\nspec:\n  id: app\n")
	if brokers != "" {
		b.WriteString("  brokers: " + brokers + "\n")
	}
	for id, address := range map[string]string{"one": first, "two": second} {
		if address != "-" {
			b.WriteString("---\nkind: io.statefun.kafka.v1/ingress\nspec:\n  id: a/" + id + "\n  address: " + address +
				"\n  consumerGroupId: g-" + id + "\n  topics:\n    - {topic: names, valueType: a/v, targets: [tail/f]}\n")
		}
	}
	b.WriteString("---\nkind: io.statefun.kafka.v1/egress\nspec:\n  id: a/out\n  address: " + out + "\n")
	b.WriteString("---\n" + tailEndpoint)
	return b.String()
}

func TestWhichClusterIsTheApplications(t *testing.T) {
	for name, c := range map[string]struct {
		brokers, first, second, out string
		given                       []string
		one                         bool   // OneCluster
		own, far                    string // the application's addresses; what is elsewhere
	}{
		"one address everywhere":                           {"", "a:1", "-", "a:1", nil, false, "a:1", ""},
		"the same set in another order and case":           {"", "a:1,b:1", "-", "B:1, a:1", nil, false, "a:1,b:1", ""},
		"an egress elsewhere":                              {"", "a:1", "-", "b:1", nil, false, "a:1", "a/out"},
		"the document decides":                             {"b:1", "a:1", "-", "b:1", nil, false, "b:1", "a/one"},
		"the document decides between ingresses":           {"a:1", "a:1", "b:1", "a:1", nil, false, "a:1", "a/two"},
		"nothing is at the document's":                     {"c:1", "a:1", "b:1", "b:1", nil, false, "c:1", "a/one a/two a/out"},
		"--brokers stand for the one address":              {"", "a:1", "-", "a:1", []string{"z:1"}, false, "z:1", ""},
		"--brokers stand for the ingresses' address":       {"", "a:1", "a:1", "b:1", []string{"z:1"}, false, "z:1", "a/out"},
		"--brokers stand for the document's":               {"a:1", "a:1", "b:1", "b:1", []string{"z:1"}, false, "z:1", "a/two a/out"},
		"--brokers that the module names mean that":        {"", "a:1", "-", "b:1", []string{"b:1"}, false, "b:1", "a/one"},
		"--brokers that the module names beat its own":     {"a:1", "a:1", "b:1", "b:1", []string{"b:1"}, false, "b:1", "a/one"},
		"--brokers that no ingress of several names":       {"", "a:1", "b:1", "b:1", []string{"z:1"}, false, "z:1", "a/one a/two a/out"},
		"a development broker stands for every address":    {"a:1", "a:1", "b:1", "c:1", []string{"z:1"}, true, "z:1", ""},
		"two parts of one cluster's addresses are not one": {"", "a:1,b:1", "-", "a:1", nil, false, "a:1,b:1", "a/out"},
	} {
		t.Run(name, func(t *testing.T) {
			text := clusterModule(c.brokers, c.first, c.second, c.out)
			if c.one || c.first == c.second { // one cluster, where a topic is read once
				text = strings.Replace(text, "topic: names", "topic: others", 1)
			}
			m, err := loadText(t, text, Options{Brokers: c.given, OneCluster: c.one})
			if err != nil {
				t.Fatal(err)
			}
			var far []string
			for i := range m.Ingresses {
				in := &m.Ingresses[i]
				if in.Elsewhere != nil {
					far = append(far, in.ID.String())
				}
				if name := in.SourceName("names"); IsForeign(name) != (in.Elsewhere != nil) {
					t.Errorf("%s is called %s", in.ID, name)
				}
			}
			slices.Sort(far)
			for _, e := range m.Egresses {
				if e.Elsewhere != nil {
					far = append(far, e.ID.String())
				}
			}
			if got := strings.Join(m.Brokers, ","); got != c.own || strings.Join(far, " ") != c.far {
				t.Errorf("the application is at %s, elsewhere are %v; want %s and %s", got, far, c.own, c.far)
			}
			if len(m.Notes()) != len(far) {
				t.Errorf("notes %v", m.Notes())
			}
		})
	}
}

func TestATopicOfTwoClustersIsReadTwiceAndOneOfOneClusterIsNot(t *testing.T) {
	if _, err := loadText(t, clusterModule("c:1", "a:1", "a:1", "c:1"), Options{}); err == nil || !strings.Contains(err.Error(), "read by two ingresses") {
		t.Errorf("one cluster: %v", err)
	}
	if _, err := loadText(t, clusterModule("a:1", "a:1", "b:1", "a:1"), Options{}); err != nil {
		t.Errorf("two clusters: %v", err)
	}
}
