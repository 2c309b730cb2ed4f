package topics_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// filling is a module of a program that fills an ingress itself, and reads the given topics.
func filling(ingressTopics ...string) *module.Module {
	m := app(ingressTopics...)
	id := protocol.TypeName{Namespace: "greeter", Name: "clicks"}
	m.Ingresses = append(m.Ingresses, module.Ingress{ID: id, Topics: []module.IngressTopic{{Topic: module.OwnTopic("app", id), Own: true}}})
	if len(ingressTopics) == 0 {
		m.Ingresses = m.Ingresses[1:]
	}
	return m
}

func named(t *testing.T, p *topics.Plan, name string) topics.Topic {
	t.Helper()
	i := slices.IndexFunc(p.Topics, func(t topics.Topic) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("no topic %s in %+v", name, p.Topics)
	}
	return p.Topics[i]
}

const clicks = "app-ingress-clicks"

func TestATopicThatTheProgramFillsIsCreatedWithTheApplications(t *testing.T) {
	for name, c := range map[string]struct {
		ingress    []string
		partitions int
		want       int32
	}{
		"as many partitions as the largest ingress topic": {[]string{"names"}, 0, 6},
		"as many as the module gives":                     {[]string{"names"}, 3, 3},
		"four when nothing tells":                         {nil, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			b.create(t, "names", 6, map[string]string{"max.message.bytes": "2000000"})
			m := filling(c.ingress...)
			m.Application.Partitions = c.partitions
			p := plan(t, b, m, topics.Options{}) // without CreateIngress
			size := 1048588
			if c.ingress != nil {
				size = 2000000
			}
			got := named(t, p, clicks)
			want := fmt.Sprintf("map[cleanup.policy:delete max.message.bytes:%d retention.bytes:-1 retention.ms:-1]", size)
			if got.Role != topics.RoleOwn || got.Exists || got.Partitions != c.want || p.Partitions != c.want || fmt.Sprint(got.Configs) != want {
				t.Errorf("%+v of %d partitions, want %d and %s", got, p.Partitions, c.want, want)
			}
			if p.Incomplete() {
				t.Error("the topic is waited for, and it is the worker that creates it")
			}
			if err := p.Create(deadline(t), b.cl); err != nil {
				t.Fatal(err)
			}
			again := plan(t, b, m, topics.Options{})
			if len(again.Missing()) > 0 || len(again.Warnings) > 0 {
				t.Errorf("missing %v, warnings %q", again.Missing(), again.Warnings)
			}
			if got := int(again.MaxRecordBytes()); got != size+topics.EnvelopeBytes {
				t.Errorf("records up to %d bytes, what is appended may have %d and grows by an envelope", got, size)
			}
		})
	}
}

func TestATopicThatTheProgramFillsMustKeepWhatIsNotRead(t *testing.T) {
	b := open(t)
	b.create(t, clicks, 4, map[string]string{"retention.bytes": "1000", "cleanup.policy": "compact"})
	_, err := topics.New(deadline(t), b.cl, filling(), topics.Options{})
	if err == nil {
		t.Fatal("accepted")
	}
	alter := "mend it with: kafka-configs.sh --bootstrap-server " + b.ListenAddrs()[0] + " --alter --entity-type topics --entity-name " + clicks + " --add-config "
	for _, want := range []string{"retention.ms is 604800000, want -1; " + alter + "retention.ms=-1", "retention.bytes is 1000, want -1; " + alter, "cleanup.policy is compact, want delete; " + alter} {
		if !strings.Contains(err.Error(), "topic "+clicks+": "+want) {
			t.Errorf("lacks %q:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d problems:\n%v", n, err)
	}
}

// After a rescale the application has another count than the topic. Its records cross then; another count would change
// the partition of a key, and with it the order of what is appended under it.
func TestATopicThatTheProgramFillsKeepsItsPartitions(t *testing.T) {
	b := open(t)
	b.create(t, clicks, 4, map[string]string{"retention.ms": "-1"})
	p := plan(t, b, filling(), topics.Options{Partitions: 6})
	if got := named(t, p, clicks); got.Partitions != 4 || p.Partitions != 6 {
		t.Errorf("%d partitions of %d", got.Partitions, p.Partitions)
	}
	if warnings := strings.Join(p.Warnings, "\n"); !strings.Contains(warnings, "ingress topic "+clicks+" has 4 partitions, the application 6") {
		t.Errorf("warnings %q", warnings)
	}
}

// A command knows the module file of a program and not what the program declares itself.
func TestATopicThatAProgramFillsIsShownWithoutThatProgram(t *testing.T) {
	b := open(t)
	b.create(t, "names", 4, nil)
	b.create(t, clicks, 4, nil) // its settings are the program's affair
	b.create(t, "app2-ingress-clicks", 4, nil)
	p := plan(t, b, app("names"), topics.Options{})
	if got := named(t, p, clicks); got.Role != topics.RoleStray || !got.Exists || got.Partitions != 4 || got.Configs["retention.ms"] == "" {
		t.Errorf("%+v", got)
	}
	if i := slices.IndexFunc(p.Topics, func(t topics.Topic) bool { return strings.HasPrefix(t.Name, "app2") }); i >= 0 {
		t.Error("the topic of another application is shown")
	}
	if err := p.Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
	if p = plan(t, b, app("names", clicks), topics.Options{}); named(t, p, clicks).Role != topics.RoleIngress {
		t.Error("a topic that the module names is shown as one that it does not")
	}
}

// A topic of such a name that goes while the others are created must not be waited for.
func TestCreateDoesNotWaitForTopicsThatItOnlyShows(t *testing.T) {
	b := open(t)
	b.create(t, "names", 4, nil)
	b.create(t, clicks, 4, nil)
	p := plan(t, b, app("names"), topics.Options{})
	if _, err := kadm.NewClient(b.cl).DeleteTopics(deadline(t), clicks); err != nil {
		t.Fatal(err)
	}
	if err := p.Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
}
