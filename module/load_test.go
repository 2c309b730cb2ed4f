package module

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

func TestF1NullDocumentsAreSkipped(t *testing.T) {
	m := mustLoad(t, "# a comment\n---\n---\n"+egressText("")+tail+"---\n...\n---\n# nothing\n")
	if len(m.Endpoints) != 1 || len(m.Ingresses) != 1 || len(m.Egresses) != 1 {
		t.Errorf("%d endpoints, %d ingresses, %d egresses", len(m.Endpoints), len(m.Ingresses), len(m.Egresses))
	}
	if got := m.Ingresses[0].where(); got != "module.yaml:14" {
		t.Errorf("the ingress is at %s", got)
	}
}

const legacyText = `version: "3.0"
module:
  meta:
    type: Remote
  spec:
    endpoints:
      - endpoint:
          meta:
            kind: http
          spec:
            functions: com.example/*
            urlPathTemplate: http://bar.foo.com:8080/{function.name}
            timeouts:
              call: 1minutes
            maxNumBatchRequests: 10
    ingresses:
      - ingress:
          meta:
            type: io.statefun.kafka/ingress
            id: com.example/names
          spec:
            address: kafka-broker:9092
            consumerGroupId: my-group
            startupPosition:
              type: earliest
            topics:
              - topic: names
                valueType: com.example/name
                targets:
                  - com.example/greeter
    egresses:
      - egress:
          meta:
            type: io.statefun.kafka/egress
            id: com.example/greets
          spec:
            address: kafka-broker:9092
            deliverySemantic:
              type: exactly-once
              transactionTimeout: 15min
`

func TestF14ALegacyDocumentIsConverted(t *testing.T) {
	m := mustLoad(t, legacyText)
	e, in, out := m.Endpoints[0], m.Ingresses[0], m.Egresses[0]
	if e.Functions != (Pattern{"com.example", "*"}) || e.Transport.Kind != TransportOkHTTP || e.MaxNumBatchRequests != 10 {
		t.Errorf("endpoint %+v", e)
	}
	if in.ID.String() != "com.example/names" || in.Startup.Kind != StartEarliest || in.Position.Line != 20 {
		t.Errorf("ingress %+v", in)
	}
	if out.ID.String() != "com.example/greets" || out.TransactionTimeout != 15*time.Minute || out.Semantic != SemanticExactlyOnce {
		t.Errorf("egress %+v", out)
	}
	if m.Application.ID != "my-group" || m.Application.DeadLetter.Topic != "my-group-dead-letter" {
		t.Errorf("application %+v", m.Application)
	}
}

func TestProblemsOfALegacyDocument(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"another module type":   {"Remote", "embedded", `module.yaml:4: module.meta.type: "embedded" is unknown: use remote`},
		"meta beside endpoint":  {"- endpoint:\n          meta", "- endpoint:\n        meta", ""},
		"an unknown kind":       {"kind: http", "kind: htp", `module.yaml:9: module.spec.endpoints[0].endpoint.meta.kind: "htp" is not a kind; known kinds are http, io.statefun.kafka/egress or io.statefun.kafka/ingress (did you mean "http"?)`},
		"a kinesis ingress":     {"io.statefun.kafka/ingress", "io.statefun.kinesis/ingress", `module.yaml:19: module.spec.ingresses[0].ingress.meta.type: "io.statefun.kinesis/ingress" is not supported: records come from Kafka and go to Kafka only; known kinds are http, io.statefun.kafka/egress or io.statefun.kafka/ingress (let Kafka Connect copy the Kinesis streams to Kafka topics and back, and use the Kafka kinds)`},
		"no id":                 {"\n            id: com.example/names", "", `module.yaml:20: module.spec.ingresses[0].ingress.spec: missing key "id"`},
		"no meta":               {"  meta:\n    type: Remote\n", "", `module.yaml:2: module: missing key "meta"`},
		"an unknown list":       {"egresses:", "egress:", `module.yaml:31: module.spec: unknown key "egress" (did you mean "egresses"?)`},
		"an unknown key inside": {"functions:", "function:", "module.yaml:10: module.spec.endpoints[0].endpoint.spec: missing key \"functions\"\nmodule.yaml:11: module.spec.endpoints[0].endpoint.spec: unknown key \"function\" (did you mean \"functions\"?)"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(legacyText, c.old, c.new, 1)
			if text == legacyText {
				t.Fatal("the case changes nothing")
			}
			_, err := loadText(t, text, Options{})
			if got := problemLines(t, err); c.want != "" && got != c.want || got == "" {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestF21AFolderHoldsModulesAndFoldersOfModules(t *testing.T) {
	files := map[string]string{
		"mods/a.yaml": tailEndpoint, "mods/sub/module.yaml": tailIngress, "mods/sub/other.yaml": "no: module",
		"mods/..data/module.yaml": "a copy by Kubernetes", "mods/.hidden.yaml": "no: module", "mods/b.yml": egressText(""), "mods/c.txt": "x",
	}
	m, err := loadFiles(t, files, []string{"mods"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Endpoints) != 1 || len(m.Ingresses) != 1 || len(m.Egresses) != 1 {
		t.Errorf("%+v", m)
	}
}

func TestF22LocationsAreFiles(t *testing.T) {
	files := map[string]string{"m/one.txt": tailEndpoint, "two": tailIngress}
	if _, err := loadFiles(t, files, []string{"file:m/one.txt", "classpath:two"}, Options{}); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	_, err := loadFiles(t, map[string]string{"empty/x": "", "m.yaml": tail}, []string{"nowhere.yaml", "empty", "m.yaml", "m.yaml"}, Options{})
	want := "empty: the folder holds no module (put a module.yaml into it)\n" +
		"m.yaml: the file is given twice (name each module file once)\n" +
		"nowhere.yaml: cannot be read: no such file or directory"
	if got := problemLines(t, err); got != want {
		t.Errorf("got:\n%s", got)
	}
	_, err = Load(nil, Options{})
	if got := problemLines(t, err); got != "no module is given (name a module.yaml or a folder that holds one)" {
		t.Errorf("got %q", got)
	}
}

func TestF23Placeholders(t *testing.T) {
	env := map[string]string{"KAFKA": "k:1", "EMPTY": "", "a.b": "c:2"}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for name, c := range map[string]struct {
		address, want, problem string
	}{
		"set":                       {"${KAFKA}", "k:1", ""},
		"inside text":               {"x${KAFKA},${a.b}0", "xk:1,c:20", ""},
		"not set, with a default":   {"${NO:-d:3}", "d:3", ""},
		"set, with a default":       {"${KAFKA:-d:3}", "k:1", ""},
		"empty takes the default":   {"${EMPTY:-d:3}", "d:3", ""},
		"escaped":                   {"$${KAFKA}:1", "${KAFKA}:1", ""},
		"a dollar alone":            {"a$b:1", "a$b:1", ""},
		"a value is not read again": {"${NO:-$${KAFKA}", "$${KAFKA", ""},
		"not set":                   {"${NO}", "", "module.yaml:4: spec.address: the environment variable NO is not set (set it, give a default as ${NO:-…}, or write $${ for a literal ${)"},
		"empty":                     {"x:1${EMPTY}", "x:1", ""},
		"not closed":                {"${KAFKA", "", "module.yaml:4: spec.address: a placeholder is not closed (write ${NAME} or ${NAME:-default}; for a literal ${ write $${)"},
		"not a name":                {"${a b}", "", `module.yaml:4: spec.address: "a b" is not the name of a variable (for a literal ${ write $${)`},
		"no name":                   {"${}", "", `module.yaml:4: spec.address: "" is not the name of a variable (for a literal ${ write $${)`},
	} {
		t.Run(name, func(t *testing.T) {
			text := ingressText("address", "address: \""+c.address+"\"") + tailEndpoint
			m, err := loadText(t, text, Options{Getenv: getenv})
			if got := problemLines(t, err); got != c.problem {
				t.Fatalf("got problem %q, want %q", got, c.problem)
			}
			if err == nil && m.Ingresses[0].Address != c.want {
				t.Errorf("address %q, want %q", m.Ingresses[0].Address, c.want)
			}
		})
	}
	t.Run("literal text without an environment", func(t *testing.T) {
		m := mustLoad(t, ingressText("address", "address: ${KAFKA}")+tailEndpoint)
		if got := m.Ingresses[0].Address; got != "${KAFKA}" {
			t.Errorf("address %q", got)
		}
	})
	t.Run("a number from the environment", func(t *testing.T) {
		one := func(string) (string, bool) { return "7", true }
		m, err := loadText(t, tailIngress+endpointFirst("  maxNumBatchRequests: ${N}\n"), Options{Getenv: one})
		if err != nil || m.Endpoints[0].MaxNumBatchRequests != 7 {
			t.Errorf("%v", err)
		}
	})
}

func TestF24PropertiesAreText(t *testing.T) {
	m := mustLoad(t, ingressText("", "properties:\n    - a: 1\n    - b: true\n    - c: x\n    - d:\n    - e: 1.50\n    - a: 2")+tailEndpoint)
	var got []string
	for _, p := range m.Ingresses[0].Properties {
		got = append(got, fmt.Sprintf("%s=%s@%d", p.Key, p.Value, p.Line))
	}
	if want := []string{"b=true@9", "c=x@10", "d=@11", "e=1.50@12", "a=2@13"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLenientIgnoresWhatStateFunIgnores(t *testing.T) {
	text := "kind: io.statefun.endpoints.v2/http\nmetadata: {}\nspec:\n  functions: a/b\n  urlPathTemplate: http://x\n  transports: {}\n  functions: a/c\n" + tail
	m, err := loadText(t, text, Options{Lenient: true})
	if err != nil {
		t.Fatal(err)
	}
	want := "module.yaml:2: unknown key \"metadata\"\n" +
		"module.yaml:6: spec: unknown key \"transports\" (did you mean \"transport\"?)\n" +
		"module.yaml:7: spec: key \"functions\" is given twice, first on line 4 (keep one of them)"
	if got := lines(m.Warnings); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := m.Endpoints[0].Functions.String(); got != "a/c" {
		t.Errorf("functions %s: the later of two keys counts", got)
	}
}

func TestAnchorsAndMergeKeysAreFollowed(t *testing.T) {
	text := "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: &u http://x\n  transport: &t\n    call: 7s\n    connect: !!str 3s\n" +
		"---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: &f a/c\n  urlPathTemplate: *f\n" + tail
	_, err := loadText(t, text, Options{})
	if got, want := problemLines(t, err), `module.yaml:12: spec.urlPathTemplate: the URL has no scheme: begin it with http://, https:// or http+unix://`; got != want {
		t.Errorf("an alias of the same document: got %q", got)
	}
	m := mustLoad(t, "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: http://x\n  transport:\n    connect: 3s\n    <<: {call: 7s, connect: 9s}\n"+tail)
	if tr := m.Endpoints[0].Transport; tr.Call != 7*time.Second || tr.Connect != 3*time.Second {
		t.Errorf("merge: call %v, connect %v", tr.Call, tr.Connect)
	}
}

func TestFilesOfWindows(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(tail+"---\nkind: x/y\nspec: {}\n", "\n", "\r\n")
	_, err := loadText(t, text, Options{})
	if got := problemLines(t, err); !strings.HasPrefix(got, `module.yaml:12: kind: "x/y" is not a kind`) {
		t.Errorf("got %q", got)
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a target that nobody serves": {
			ingressText("topics", "topics:\n    - topic: n\n      valueType: v\n      targets:\n        - tail/f\n        - tali/f") + tailEndpoint,
			`module.yaml:11: no endpoint serves target tali/f of topic n: its records go by invalidRecordHandling (dead-letter) (did you mean "tail/*"?)`},
		"a target that is nearly served": {
			strings.Replace(tail, "tail/*", "tail/function", 1) + "---\n" + ingressText("topics", "topics: [{topic: n, valueType: v, targets: [tail/functoin]}]"),
			"module.yaml:10: no endpoint serves target tail/f of topic tail: its records go by invalidRecordHandling (dead-letter)\n" +
				`module.yaml:17: no endpoint serves target tail/functoin of topic n: its records go by invalidRecordHandling (dead-letter) (did you mean "tail/function"?)`},
		"G17 a topic routed twice": {
			ingressText("topics", "topics:\n    - {topic: n, valueType: a, targets: [tail/f]}\n    - {topic: n, valueType: b, targets: [tail/f]}") + tailEndpoint,
			`module.yaml:8: topic n is routed twice: the routing at module.yaml:7 has no effect`},
		"no targets": {
			ingressText("topics", "topics: [{topic: n, valueType: v, targets: []}]") + tailEndpoint,
			`module.yaml:6: topic n has no targets: its records are read and dropped`},
		"G11 auto.offset.reset as a property": {
			ingressText("", "properties:\n    - auto.offset.reset: earliest") + tailEndpoint,
			`module.yaml:8: auto.offset.reset in properties has no effect: autoOffsetResetPosition is latest by default and wins (write autoOffsetResetPosition: earliest)`},
		"G20 exactly-once without a time-out": {
			egressText("  deliverySemantic:\n    type: exactly-once\n") + tail,
			`module.yaml:6: spec.deliverySemantic: exactly-once without transactionTimeout: StateFun would refuse it`},
		"G19 both time-outs": {
			egressText("  deliverySemantic:\n    type: exactly-once\n    transactionTimeout: 1min\n    transactionTimeoutMillis: 5\n") + tail,
			`module.yaml:7: spec.deliverySemantic: "transactionTimeout" has no effect: transactionTimeoutMillis wins`},
		"offsets with another type": {
			ingressText("", "startupPosition: {type: earliest, offsets: [{a/0: 1}]}") + tailEndpoint,
			`module.yaml:7: spec.startupPosition: "offsets" has no effect: it belongs to type specific-offsets`},
		"E29 async with flat keys beside timeouts": {
			endpointFirst("  transport:\n    call: 30s\n    timeouts: {connect: 1s, read: 5s}\n") + tail,
			"module.yaml:7: spec.transport: \"call\" has no effect: the timeouts object stands for call and connect\n" +
				"module.yaml:8: spec.transport.timeouts: \"read\" has no effect: the async transport bounds the call only"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(mustLoad(t, c.text).Warnings); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

// endpointFirst is an endpoint a/b with further lines, as a document of its own.
func endpointFirst(more string) string { return "---\n" + endpointText("a/b") + more }

func TestApplication(t *testing.T) {
	m := mustLoad(t, `kind: statefun-kafka.v1/application
spec:
  id: my.app
  brokers: kafka:9092
  partitions: 12
  commitInterval: 100ms
  standbyReplicas: 2
  limits: {readBudget: 128 mb, recordsPerSource: 1000, inputsPerAddress: 5, pending: 2g, pendingFull: dead-letter,
    answers: 1kb, transactionBytes: 1m, transactionEffects: 7, inFlight: 8, batchBytes: 9, stateCache: 1 gb,
    outboxRows: 3, outbox: 2kb}
  deadLetter: {topic: bad}
`+tail)
	want := Application{
		ID: "my.app", Brokers: "kafka:9092", Partitions: 12, CommitInterval: 100 * time.Millisecond, DeadLetter: DeadLetter{"bad"},
		StandbyReplicas: 2, GroupProtocol: GroupClassic,
		Limits: Limits{
			ReadBudgetBytes: 128 << 20, RecordsPerSource: 1000, InputsPerAddress: 5, PendingBytes: 2 << 30, PendingFull: PendingDeadLetter,
			AnswerBytes: 1 << 10, TransactionBytes: 1 << 20, TransactionEffects: 7, InFlight: 8, BatchBytes: 9, StateCacheBytes: 1 << 30,
			OutboxRows: 3, OutboxBytes: 2 << 10,
		},
		Position: Position{"module.yaml", 2, 1},
	}
	if m.Application != want {
		t.Errorf("got  %+v\nwant %+v", m.Application, want)
	}
	defaults := mustLoad(t, tail).Application
	if defaults.Limits != defaultLimits || defaults.ID != "app" || defaults.DeadLetter.Topic != "app-dead-letter" {
		t.Errorf("defaults %+v", defaults)
	}
}

func TestOptionsBeatTheModule(t *testing.T) {
	text := strings.NewReplacer("tail/in", "b/in", "kafka:9092", "other:1", "Id: app", "Id: b", "topic: tail", "topic: b").Replace(tailIngress) + tail
	m, err := loadText(t, text, Options{ApplicationID: "x", Brokers: []string{"z:1", "y:2"}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Application.ID != "x" || m.Application.DeadLetter.Topic != "x-dead-letter" || !slices.Equal(m.Brokers, []string{"y:2", "z:1"}) {
		t.Errorf("%+v %v", m.Application, m.Brokers)
	}
	_, err = loadText(t, tail, Options{ApplicationID: "a b"})
	if got := problemLines(t, err); !strings.Contains(got, `"a b" is not an application id`) {
		t.Errorf("got %q", got)
	}
}

func TestAFurtherCheckIsToldTogetherWithTheRest(t *testing.T) {
	check := func(m *Module) []Problem {
		p := m.Ingresses[0].Properties[0]
		return []Problem{{Position: p.Position, Message: p.Key + " is bad"}}
	}
	text := ingressText("", "properties:\n    - a: 1\n  colour: red") + tailEndpoint
	_, err := loadText(t, text, Options{Check: check})
	want := "module.yaml:8: a is bad\nmodule.yaml:9: spec: unknown key \"colour\""
	if got := problemLines(t, err); got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestOneClusterWrittenInTwoWays(t *testing.T) {
	text := strings.Replace(egressText(""), "kafka:9092", "b:1, a:1", 1) + strings.Replace(tail, "kafka:9092", "a:1,b:1", 1)
	if m := mustLoad(t, text); !slices.Equal(m.Brokers, []string{"a:1", "b:1"}) {
		t.Errorf("brokers %v", m.Brokers)
	}
}

func TestIngresses(t *testing.T) {
	date := time.Date(2020, 2, 1, 4, 15, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		line string
		want func(Ingress) bool
	}{
		"G12 no startup position is latest": {"invalidRecordHandling: skip", func(in Ingress) bool {
			return in.Startup.Kind == StartLatest && in.Topics[0].Invalid.Type == InvalidSkip
		}},
		"defaults": {"forwardHeaders: false", func(in Ingress) bool {
			return in.Topics[0].Invalid.Type == InvalidDeadLetter && !in.Topics[0].ForwardHeaders && in.AutoOffsetReset == "latest" && in.Properties == nil
		}},
		"group offsets":     {"startupPosition: {type: group-offsets}", func(in Ingress) bool { return in.Startup.Kind == StartGroupOffsets }},
		"earliest":          {"startupPosition: {type: earliest}", func(in Ingress) bool { return in.Startup.Kind == StartEarliest }},
		"reset in capitals": {"autoOffsetResetPosition: EARLIEST", func(in Ingress) bool { return in.AutoOffsetReset == "earliest" }},
		"G14 specific offsets": {"startupPosition:\n    type: specific-offsets\n    offsets:\n      - names/0: 91\n      - a/b/1: 5", func(in Ingress) bool {
			return in.Startup.Kind == StartSpecificOffsets && reflect.DeepEqual(in.Startup.Offsets, map[TopicPartition]int64{{"names", 0}: 91, {"a/b", 1}: 5})
		}},
		"G15 a date":                {"startupPosition:\n    type: date\n    date: 2020-02-01 04:15:00.000 +0000", func(in Ingress) bool { return in.Startup.Kind == StartDate && in.Startup.Date.Equal(date) }},
		"G15 a date with an offset": {"startupPosition: {type: date, date: '2020-02-01 05:15:00.000 +0100'}", func(in Ingress) bool { return in.Startup.Date.Equal(date) }},
		"G9 the named group wins":   {"properties: [{group.id: other}]", func(in Ingress) bool { return in.ConsumerGroupID == "app" }},
	} {
		t.Run(name, func(t *testing.T) {
			if in := mustLoad(t, ingressText("", c.line)+tailEndpoint).Ingresses[0]; !c.want(in) {
				t.Errorf("%+v", in)
			}
		})
	}
}

func TestG1AWholeIngress(t *testing.T) {
	in := mustLoad(t, `kind: io.statefun.kafka.v1/ingress
spec:
  id: com.foo.bar/test-ingress
  properties:
    - bootstrap.servers: kafka-broker:9092
    - group.id: my-consumer-group
    - consumer.setting: foobarbaz
  topics:
    - topic: topic-1
      valueType: com.foo.bar/test-type
      targets:
        - com.foo.bar/greeter
        - com.foo.bar/counter
    - topic: topic-2
      valueType: anything goes
      targets: [com.foo.bar/greeter]
`+tailEndpoint).Ingresses[0]
	greeter, counter := protocol.TypeName{Namespace: "com.foo.bar", Name: "greeter"}, protocol.TypeName{Namespace: "com.foo.bar", Name: "counter"}
	if in.Address != "kafka-broker:9092" || in.ConsumerGroupID != "my-consumer-group" || len(in.Properties) != 3 {
		t.Errorf("%+v", in)
	}
	want := []IngressTopic{
		{Topic: "topic-1", ValueType: "com.foo.bar/test-type", Targets: []protocol.TypeName{greeter, counter}, Invalid: defaultInvalid, Position: Position{"module.yaml", 9, 14}},
		{Topic: "topic-2", ValueType: "anything goes", Targets: []protocol.TypeName{greeter}, Invalid: defaultInvalid, Position: Position{"module.yaml", 14, 14}},
	}
	if !reflect.DeepEqual(in.Topics, want) {
		t.Errorf("got  %+v\nwant %+v", in.Topics, want)
	}
}

func TestEgresses(t *testing.T) {
	for name, c := range map[string]struct {
		lines, semantic string
		timeout         time.Duration
	}{
		"no semantic is at-least-once": {"", SemanticAtLeastOnce, 0},
		"none":                         {"  deliverySemantic: {type: none}\n", SemanticNone, 0},
		"G18 exactly-once":             {"  deliverySemantic: {type: exactly-once, transactionTimeout: 15min}\n", SemanticExactlyOnce, 15 * time.Minute},
		"G19 milliseconds win":         {"  deliverySemantic: {type: exactly-once, transactionTimeout: 15min, transactionTimeoutMillis: 100}\n", SemanticExactlyOnce, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			e := mustLoad(t, egressText(c.lines)+tail).Egresses[0]
			if e.Semantic != c.semantic || e.TransactionTimeout != c.timeout {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestForwardHeadersAndInvalidRecordHandlingOfATopicWinOverTheIngress(t *testing.T) {
	text := `kind: io.statefun.kafka.v1/ingress
spec:
  id: a/in
  address: kafka:9092
  consumerGroupId: app
  forwardHeaders: true
  invalidRecordHandling: {type: skip, logLevel: error}
  topics:
    - {topic: as-the-ingress, valueType: a/v, targets: [tail/f]}
    - {topic: own, valueType: a/v, targets: [tail/f], forwardHeaders: false, invalidRecordHandling: fail}
    - {topic: own-type, valueType: a/v, targets: [tail/f], invalidRecordHandling: {type: dead-letter}}
    - {topic: own-level, valueType: a/v, targets: [tail/f], invalidRecordHandling: {type: skip, logLevel: debug}}
`
	type handling struct {
		forward bool
		invalid InvalidHandling
	}
	want := map[string]handling{
		"as-the-ingress": {true, InvalidHandling{InvalidSkip, slog.LevelError}},
		"own":            {false, InvalidHandling{InvalidFail, slog.LevelWarn}},
		"own-type":       {true, InvalidHandling{InvalidDeadLetter, slog.LevelWarn}},
		"own-level":      {true, InvalidHandling{InvalidSkip, slog.LevelDebug}},
	}
	for _, topic := range mustLoad(t, text+tailEndpoint).Ingresses[0].Topics {
		if got := (handling{topic.ForwardHeaders, topic.Invalid}); got != want[topic.Topic] {
			t.Errorf("topic %s: %+v, want %+v", topic.Topic, got, want[topic.Topic])
		}
	}
}
