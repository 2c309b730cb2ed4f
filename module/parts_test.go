package module

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func named(namespace, name string) protocol.TypeName {
	return protocol.TypeName{Namespace: namespace, Name: name}
}

// line is a place in a program.
func line(n int) Position { return Position{File: "main.go", Line: n} }

// goodParts are a program that needs no file.
func goodParts() Parts {
	own, read := DefaultIngressTopic(), DefaultIngressTopic()
	own.Own, own.Position = true, line(3)
	read.Topic, read.Position = "orders", line(4)
	inside, remote := DefaultEndpoint(), DefaultEndpoint()
	inside.Functions, inside.Transport, inside.Position = Pattern{"shop", "*"}, DefaultTransport(TransportInProcess), line(5)
	remote.Functions, remote.URLPathTemplate, remote.Position = Pattern{"mail", "send"}, "http://mail:8000/statefun", line(6)
	return Parts{
		Application: &Application{ID: "fraud", Partitions: 6, Limits: Limits{InFlight: 7}, Position: line(1)},
		Ingresses: []Ingress{
			{ID: named("shop", "clicks"), Routed: true, Topics: []IngressTopic{own}, Position: line(3)},
			{ID: named("shop", "orders"), Routed: true, Topics: []IngressTopic{read}, Startup: Startup{Kind: StartEarliest}, Position: line(4)},
		},
		Endpoints: []Endpoint{inside, remote},
		Egresses:  []Egress{{ID: named("shop", "alerts"), Position: line(7)}},
		Sinks:     []Sink{{ID: named("shop", "alarm"), Position: line(8)}},
	}
}

func assemble(files []string, p Parts) (*Module, error) {
	return Assemble(files, p, Options{Brokers: []string{"kafka:9092"}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
}

// inFolder writes module.yaml into a fresh working folder and puts it together with parts.
func inFolder(t *testing.T, text string, p Parts) (*Module, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("module.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return assemble([]string{"module.yaml"}, p)
}

func TestAProgramsPartsAreAModuleWithoutAFile(t *testing.T) {
	p := goodParts()
	m, err := assemble(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Warnings) > 0 {
		t.Errorf("warnings: %v", m.Warnings)
	}
	want := defaultLimits
	want.InFlight = 7
	if a := m.Application; a.ID != "fraud" || a.Partitions != 6 || a.GroupProtocol != GroupClassic || a.DeadLetter.Topic != "fraud-dead-letter" || a.Limits != want {
		t.Errorf("the application is %+v", a)
	}
	if got := m.Ingresses[0].Topics[0].Topic; got != "fraud-ingress-clicks" || got != OwnTopic("fraud", named("shop", "clicks")) {
		t.Errorf("the topic that the program fills is %q", got)
	}
	if in := m.Ingresses[0]; in.Startup.Kind != StartEarliest || in.AutoOffsetReset != "earliest" {
		t.Errorf("of what the program appended before the first start nothing is read: %+v, %s", in.Startup, in.AutoOffsetReset)
	}
	if p.Ingresses[0].Topics[0].Topic != "" {
		t.Error("the parts were changed")
	}
	if in := m.Ingresses[1]; in.AutoOffsetReset != "latest" || in.Startup.Kind != StartEarliest || in.Elsewhere != nil {
		t.Errorf("the other ingress is %+v", in)
	}
	if len(m.Endpoints) != 2 || len(m.Egresses) != 1 || m.Egresses[0].Semantic != SemanticAtLeastOnce || !reflect.DeepEqual(m.Sinks, p.Sinks) {
		t.Errorf("%+v", m)
	}
	if !reflect.DeepEqual(m.Brokers, []string{"kafka:9092"}) {
		t.Errorf("brokers %v", m.Brokers)
	}
}

func TestPartsAndFilesAreOneModule(t *testing.T) {
	p := goodParts()
	p.Application = nil
	m, err := inFolder(t, egressText("")+tail, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Ingresses) != 3 || len(m.Endpoints) != 3 || len(m.Egresses) != 2 || len(m.Sinks) != 1 {
		t.Errorf("%d ingresses, %d endpoints, %d egresses, %d sinks", len(m.Ingresses), len(m.Endpoints), len(m.Egresses), len(m.Sinks))
	}
	if own := m.Ingresses[1].Topics[0]; !own.Own || own.Topic != "app-ingress-clicks" { // the id is the file's group
		t.Errorf("the topic that the program fills is %q", own.Topic)
	}
}

func TestProblemsOfPartsAndFilesAreToldTogetherEachWithItsPlace(t *testing.T) {
	p := goodParts()
	p.Egresses = append(p.Egresses, Egress{ID: named("a", "b"), Semantic: "twice", Position: line(9)})
	_, err := inFolder(t, endpointText("ns/foo*"), p)
	got := problemLines(t, err)
	for _, want := range []string{"main.go:9: egress a/b: delivery semantic: \"twice\" is unknown: use at-least-once, exactly-once or none", `module.yaml:3: spec.functions: function pattern "ns/foo*"`} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

func TestPartsAreHeldToTheRulesOfFiles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *Parts)
		want   string
	}{
		"nothing at all":           {func(p *Parts) { *p = Parts{} }, "neither a module nor a part of one is given"},
		"no ingress":               {func(p *Parts) { p.Ingresses = nil }, "no ingress is declared: nothing would ever be read (declare an ingress in the program"},
		"no function":              {func(p *Parts) { p.Endpoints = nil }, "no endpoint is declared: there is no function to call (declare a function in the program"},
		"no id":                    {func(p *Parts) { p.Application = nil }, "the application has no id"},
		"a bad id":                 {func(p *Parts) { p.Application.ID = "a b" }, `main.go:1: application: "a b" is not an application id`},
		"too many partitions":      {func(p *Parts) { p.Application.Partitions = 10_001 }, "main.go:1: application: partitions: 10001 is not between 0 and 10000"},
		"a negative limit":         {func(p *Parts) { p.Application.Limits.BatchBytes = -1 }, "main.go:1: application: a limit is -1"},
		"an unknown limit's word":  {func(p *Parts) { p.Application.Limits.PendingFull = "stop" }, `"stop" is unknown: use pause or dead-letter`},
		"a protocol":               {func(p *Parts) { p.Application.GroupProtocol = "new" }, `group protocol: "new" is unknown: use classic or consumer`},
		"standbys without a plan":  {func(p *Parts) { p.Application.GroupProtocol, p.Application.StandbyReplicas = GroupConsumer, 1 }, "main.go:1: standbyReplicas does not go with groupProtocol consumer"},
		"a function's name":        {func(p *Parts) { p.Endpoints[0].Functions = Pattern{"a/b", "c"} }, "main.go:5: functions: "},
		"a URL in process":         {func(p *Parts) { p.Endpoints[0].URLPathTemplate = "http://a/" }, "main.go:5: functions shop/*: are called in this program and have the URL http://a/"},
		"no URL":                   {func(p *Parts) { p.Endpoints[1].URLPathTemplate = "" }, "main.go:6: functions mail/send: have no URL"},
		"a bad URL":                {func(p *Parts) { p.Endpoints[1].URLPathTemplate = "mail:8000" }, "main.go:6: functions mail/send: "},
		"a negative time-out":      {func(p *Parts) { p.Endpoints[0].Transport.Call = -1 }, "main.go:5: functions shop/*: time-out of a call"},
		"a time-out of 0 far away": {func(p *Parts) { p.Endpoints[1].Transport.Call = 0 }, "main.go:6: functions mail/send: the time-outs of a call (0s)"},
		"a transport":              {func(p *Parts) { p.Endpoints[1].Transport.Kind = "grpc" }, `transport: "grpc" is unknown: use okhttp, async or in-process`},
		"a policy":                 {func(p *Parts) { p.Endpoints[1].OnFailure = "panic" }, `"panic" is unknown: use retry, dead-letter or skip`},
		"functions served twice":   {func(p *Parts) { p.Endpoints[1].Functions = p.Endpoints[0].Functions }, "main.go:6: functions shop/* are served twice, first at main.go:5"},
		"an ingress's name":        {func(p *Parts) { p.Ingresses[0].ID.Name = "" }, "main.go:3: ingress: "},
		"an ingress twice":         {func(p *Parts) { p.Ingresses[1].ID = p.Ingresses[0].ID }, "main.go:4: ingress shop/clicks is declared twice, first at main.go:3"},
		"no topic":                 {func(p *Parts) { p.Ingresses[1].Topics = nil }, "main.go:4: ingress shop/orders: reads no topic"},
		"a topic's name":           {func(p *Parts) { p.Ingresses[1].Topics[0].Topic = "a b" }, `main.go:4: ingress shop/orders: "a b" is not a topic name`},
		"two routings":             {func(p *Parts) { p.Ingresses[1].Topics[0].Targets = []protocol.TypeName{named("shop", "x")} }, "main.go:4: ingress shop/orders: topic orders has targets, and the program routes its records too"},
		"no type of values": {func(p *Parts) {
			p.Ingresses[1].Routed, p.Ingresses[1].Topics[0].Targets = false, []protocol.TypeName{named("shop", "x")}
		}, "topic orders has targets and no type of its values"},
		"a start":               {func(p *Parts) { p.Ingresses[1].Startup.Kind = "first" }, `where to begin: "first" is unknown: use group-offsets, earliest`},
		"offsets to start at":   {func(p *Parts) { p.Ingresses[1].Startup.Kind = StartSpecificOffsets }, "begins at given offsets, and none is given"},
		"a date in the future":  {func(p *Parts) { p.Ingresses[1].Startup = Startup{Kind: StartDate, Date: time.Unix(1_900_000_000, 0)} }, "which lies in the future"},
		"an own topic far away": {func(p *Parts) { p.Ingresses[0].Address = "other:9092" }, "main.go:3: ingress shop/clicks: is filled by the program and has the address other:9092"},
		"an own topic's name":   {func(p *Parts) { p.Ingresses[0].Topics[0].Topic = "clicks" }, "main.go:3: ingress shop/clicks is filled by the program in topic clicks, which has to be fraud-ingress-clicks"},
		"an id no topic has":    {func(p *Parts) { p.Ingresses[0].ID.Name = "a b" }, "main.go:3: ingress shop/a b cannot have a topic of its own"},
		"one name, two topics": {func(p *Parts) {
			p.Ingresses[1].ID, p.Ingresses[1].Topics = named("web", "clicks"), []IngressTopic{{Own: true, Invalid: defaultInvalid, Position: line(4)}}
		}, "main.go:4: topic fraud-ingress-clicks is read by two ingresses, first at main.go:3"},
		"a sink twice":          {func(p *Parts) { p.Sinks = append(p.Sinks, Sink{p.Sinks[0].ID, line(9)}) }, "main.go:9: sink shop/alarm is declared twice, first at main.go:8"},
		"a sink and an egress":  {func(p *Parts) { p.Sinks[0].ID = p.Egresses[0].ID }, "main.go:8: sink shop/alerts has the id of an egress, declared at main.go:7"},
		"a sink's name":         {func(p *Parts) { p.Sinks[0].ID = named("shop", "") }, "main.go:8: sink: "},
		"an egress twice":       {func(p *Parts) { p.Egresses = append(p.Egresses, Egress{ID: p.Egresses[0].ID, Position: line(9)}) }, "main.go:9: egress shop/alerts is declared twice, first at main.go:7"},
		"an unserved dead end":  {func(p *Parts) { p.Ingresses[1].Topics[0].Invalid.Type = "lose" }, `what happens to invalid records: "lose" is unknown: use fail, skip or dead-letter`},
		"a state without name":  {func(p *Parts) { p.Endpoints[1].States = []protocol.StateSpec{{}} }, `main.go:6: functions mail/send: state "" is declared twice or has no name`},
		"certificate, no key":   {func(p *Parts) { p.Endpoints[1].Transport.ClientCert = "a.pem" }, "one is missing: give both or none"},
		"the mailbox is read":   {func(p *Parts) { p.Ingresses[1].Topics[0].Topic = "fraud-mailbox" }, "main.go:4: topic fraud-mailbox belongs to the worker itself"},
		"an own topic read too": {func(p *Parts) { p.Ingresses[1].Topics[0].Topic = "fraud-ingress-clicks" }, "topic fraud-ingress-clicks is read by two ingresses"},
	} {
		t.Run(name, func(t *testing.T) {
			p := goodParts()
			c.change(&p)
			_, err := assemble(nil, p)
			got := problemLines(t, err)
			if !strings.Contains(got, c.want) {
				t.Errorf("lacks %q:\n%s", c.want, got)
			}
			if n := strings.Count(got, "\n"); n > 0 {
				t.Errorf("one mistake has %d problems:\n%s", n+1, got)
			}
		})
	}
	if _, err := Assemble(nil, goodParts(), Options{}); !strings.Contains(problemLines(t, err), "no Kafka brokers are given (give --brokers HOST:PORT,… / Options.Brokers, or for development Options.DevBroker") {
		t.Errorf("without brokers: %v", err)
	}
}

func TestAnApplicationOfTheProgramAndOneOfAFileAreOneTooMany(t *testing.T) {
	_, err := inFolder(t, "kind: statefun-kafka.v1/application\nspec: {id: a}\n"+tail, goodParts())
	if got := problemLines(t, err); !strings.Contains(got, "main.go:1: the application is declared twice, first at module.yaml:") {
		t.Error(got)
	}
}

func TestATargetThatNobodyServesIsAWarningAtItsPlace(t *testing.T) {
	p := goodParts()
	p.Ingresses[1].Routed = false
	topic := &p.Ingresses[1].Topics[0]
	topic.ValueType, topic.Targets = "shop/Order", []protocol.TypeName{named("shop", "order"), named("mail", "sent")}
	m, err := assemble(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(m.Warnings); got != `main.go:4: no endpoint serves target mail/sent of topic orders: its records go by invalidRecordHandling (dead-letter) (did you mean "mail/send"?)` {
		t.Error(got)
	}
}

func TestTheDefaultsForProgramsAreThoseOfFiles(t *testing.T) {
	m := mustLoad(t, endpointText("b/*")+"---\n"+egressText("")+tail)
	e := DefaultEndpoint()
	e.Functions, e.URLPathTemplate, e.Position = m.Endpoints[0].Functions, m.Endpoints[0].URLPathTemplate, m.Endpoints[0].Position
	if !reflect.DeepEqual(e, m.Endpoints[0]) {
		t.Errorf("%+v, of a file %+v", e, m.Endpoints[0])
	}
	if DefaultTransport(TransportAsync) != m.Endpoints[0].Transport || DefaultTransport(TransportOkHTTP) != okHTTP() {
		t.Error("the transports differ")
	}
	if got := DefaultTransport(TransportInProcess); got != (Transport{Kind: TransportInProcess, Call: 2 * time.Minute}) {
		t.Errorf("in process: %+v", got)
	}
	topic, read := DefaultIngressTopic(), m.Ingresses[0].Topics[0]
	topic.Topic, topic.ValueType, topic.Targets, topic.Position = read.Topic, read.ValueType, read.Targets, read.Position
	if !reflect.DeepEqual(topic, read) {
		t.Errorf("%+v, of a file %+v", topic, read)
	}
	if DefaultLimits() != m.Application.Limits {
		t.Error("the limits differ")
	}
}

func TestAFileCannotNameFunctionsInProcess(t *testing.T) {
	for _, kind := range []string{"in-process", "io.statefun.transports.v1/in-process"} {
		_, err := loadText(t, endpointText("a/b")+"  transport:\n    type: "+kind+"\n    call: 1s\n", Options{})
		if got := problemLines(t, err); got != "module.yaml:6: spec.transport.type: functions in process are those of a program that has the worker in it, which declares them itself (give the URL and the transport of a server)" {
			t.Error(got)
		}
	}
}
