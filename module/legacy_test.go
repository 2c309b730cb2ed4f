package module

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

const polyglotText = `version: "2.0"
module:
  meta:
    type: remote
  spec:
    functions:
      - function:
          meta:
            kind: HTTP
            type: com.foo/bar/world
          spec:
            endpoint: http://localhost:5959/statefun
            states:
              - name: seen
                expireAfter: 60000millisecond
                expireMode: after-invoke
              - name: written
                expireAfter: 1 min
                expireMode: after-write
              - name: for good
            timeout: 2minutes
            connectTimeout: 1seconds
            readTimeout: 2second
            writeTimeout: 3seconds
            maxNumBatchRequests: 10000
    routers:
      - router:
          meta:
            type: Org.Apache.flink.statefun.sdk/protobuf-router
          spec:
            ingress: com.mycomp/people
            target: "com.foo/bar/world/{{$.name}}-{{$.group.tags[1]}}"
            messageType: trial.Person
            descriptorSet: classpath:people.desc
    ingresses:
      - ingress:
          meta:
            type: statefun.kafka.io/routable-protobuf-ingress
            id: com.mycomp/foo/bar
          spec:
            address: kafka:9092
            consumerGroupId: my-group
            autoOffsetResetPosition: Earliest
            startupPosition:
              type: EARLIEST
            topics:
              - topic: topic-1
                typeUrl: com.googleapis/com.mycomp.foo.MessageA
                targets:
                  - com.foo/bar/world
      - ingress:
          meta:
            type: statefun.kafka.io/protobuf-ingress
            id: com.mycomp/people
          spec:
            address: kafka:9092
            consumerGroupId: my-group
            topics:
              - people
              - persons
            messageType: trial.Person
            descriptorSet: classpath:people.desc
    egresses:
      - egress:
          meta:
            type: statefun.kafka.io/generic-egress
            id: com.mycomp/out
          spec:
            address: kafka:9092
            deliverySemantic:
              type: EXACTLY-ONCE
              transactionTimeoutMillis: 100000
`

// peopleSet is a descriptor set as protoc writes it.
func peopleSet(t *testing.T) string {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	if err := prototext.Unmarshal([]byte(`file { name: "people.proto" package: "trial" syntax: "proto3"
  message_type { name: "Person"
    field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "group" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".trial.Group" }
    field { name: "raw" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL } }
  message_type { name: "Group" field { name: "tags" number: 1 type: TYPE_STRING label: LABEL_REPEATED } } }`), set); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// loadPolyglot loads a module that stands in a folder of its own, with its descriptor set beside it.
func loadPolyglot(t *testing.T, text string) (*Module, error) {
	t.Helper()
	files := map[string]string{"m/module.yaml": text, "m/people.desc": peopleSet(t), "m/broken.desc": "\x0a\xff"}
	return loadFiles(t, files, []string{"m/module.yaml"}, Options{})
}

func TestA20ModuleIsReadWhole(t *testing.T) {
	m, err := loadPolyglot(t, polyglotText)
	if err != nil {
		t.Fatal(err)
	}
	transport := okHTTP()
	transport.Call, transport.Connect, transport.Read, transport.Write = 2*time.Minute, time.Second, 2*time.Second, 3*time.Second
	want := Endpoint{
		Functions: Pattern{"com.foo/bar", "world"}, URLPathTemplate: "http://localhost:5959/statefun", MaxNumBatchRequests: 10000,
		Transport: transport, OnFailure: FailureRetry, Generation: protocol.Generation2, Position: Position{"m/module.yaml", 10, 19},
		States: []protocol.StateSpec{
			{Name: "seen", Mode: protocol.ExpireAfterInvoke, ExpireAfter: time.Minute},
			{Name: "written", Mode: protocol.ExpireAfterWrite, ExpireAfter: time.Minute},
			{Name: "for good"},
		},
	}
	if len(m.Endpoints) != 1 || !reflect.DeepEqual(m.Endpoints[0], want) {
		t.Errorf("got  %+v\nwant %+v", m.Endpoints, want)
	}
	routable, routed, out := m.Ingresses[0], m.Ingresses[1], m.Egresses[0]
	world := protocol.TypeName{Namespace: "com.foo/bar", Name: "world"}
	if routable.ID != (protocol.TypeName{Namespace: "com.mycomp/foo", Name: "bar"}) || routable.Startup.Kind != StartEarliest || routable.AutoOffsetReset != "earliest" ||
		routable.Topics[0].ValueType != "com.googleapis/com.mycomp.foo.MessageA" || !reflect.DeepEqual(routable.Topics[0].Targets, []protocol.TypeName{world}) {
		t.Errorf("routable ingress %+v", routable)
	}
	if len(routed.Topics) != 2 || routed.Topics[1].Topic != "persons" || routed.Startup.Kind != StartLatest {
		t.Fatalf("protobuf ingress %+v", routed)
	}
	for _, topic := range routed.Topics {
		if topic.ValueType != "type.googleapis.com/trial.Person" || topic.Targets != nil || len(topic.Routes) != 1 {
			t.Errorf("topic %+v", topic)
		}
	}
	if namespace, name, ok := routed.Topics[0].Routes[0].Target(); !ok || namespace != "com.foo/bar" || name != "world" {
		t.Errorf("route to %s/%s, %v", namespace, name, ok)
	}
	if out.ID.String() != "com.mycomp/out" || out.Semantic != SemanticExactlyOnce || out.TransactionTimeout != 100*time.Second {
		t.Errorf("egress %+v", out)
	}
	if m.Application.ID != "my-group" || len(m.Warnings) != 0 {
		t.Errorf("application %+v, warnings %v", m.Application, m.Warnings)
	}
}

func TestFunctionsOf2xHaveTheTimeoutsOfItsOneClient(t *testing.T) {
	text := polyglotText
	for _, key := range []string{"timeout: 2minutes", "connectTimeout: 1seconds", "readTimeout: 2second", "writeTimeout: 3seconds", "maxNumBatchRequests: 10000"} {
		text = strings.Replace(text, "            "+key+"\n", "", 1)
	}
	m, err := loadPolyglot(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if e := m.Endpoints[0]; e.Transport != okHTTP() || e.MaxNumBatchRequests != 1000 {
		t.Errorf("%+v", e)
	}
}

const statesOf20 = `            states:
              - name: seen
                expireAfter: 60000millisecond
                expireMode: after-invoke
              - name: written
                expireAfter: 1 min
                expireMode: after-write
              - name: for good
`

func TestA10ModuleListsItsStates(t *testing.T) {
	text := strings.Replace(strings.Replace(polyglotText, `"2.0"`, `"1.0"`, 1), statesOf20, "            states: [a, b]\n", 1)
	m, err := loadPolyglot(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.Endpoints[0].States); got != fmt.Sprint([]protocol.StateSpec{{Name: "a"}, {Name: "b"}}) {
		t.Errorf("states %s", got)
	}
}

func TestProblemsOfA2xModule(t *testing.T) {
	const functions = "m/module.yaml:%d: module.spec.functions[0].function."
	for name, c := range map[string]struct{ old, new, want string }{
		"grpc":               {"kind: HTTP", "kind: GRPC", fmt.Sprintf(functions, 11) + "spec: kind grpc is not supported: StateFun 2.x has no client for it either (serve the function over HTTP, with kind: http and spec.endpoint)"},
		"another kind":       {"kind: HTTP", "kind: htp", fmt.Sprintf(functions, 9) + `meta.kind: "htp" is not a kind; known kinds are http (did you mean "http"?)`},
		"a pattern":          {"type: com.foo/bar/world", "type: com.foo/*", fmt.Sprintf(functions, 10) + `meta.type: "com.foo/*" is a pattern: a 2.x module names each function, patterns are for kind io.statefun.endpoints.v2/http`},
		"half a name":        {"type: com.foo/bar/world", "type: world/", fmt.Sprintf(functions, 10) + `meta.type: "world/" is not of the form namespace/name`},
		"no name":            {"            type: com.foo/bar/world\n", "", fmt.Sprintf(functions, 10) + `spec: missing key "type"`},
		"H7 no scheme":       {"http://localhost:5959/statefun", "foo:80/x", fmt.Sprintf(functions, 12) + `spec.endpoint: the URL has scheme "foo": use http, https or http+unix`},
		"a template":         {"http://localhost:5959/statefun", "http://h/{function.name}", fmt.Sprintf(functions, 12) + `spec.endpoint: {function.name} has no meaning in a 2.x module: write the URL of this one function`},
		"no endpoint":        {"            endpoint: http://localhost:5959/statefun\n", "", fmt.Sprintf(functions, 11) + `spec: missing key "endpoint"`},
		"H3 an expireMode":   {"expireMode: after-invoke", "expireMode: foo", fmt.Sprintf(functions, 16) + `spec.states[0].expireMode: "foo" is unknown: use after-invoke or after-write`},
		"no time at all":     {"expireAfter: 1 min", "expireAfter: 0 s", fmt.Sprintf(functions, 18) + "spec.states[1].expireAfter: must be longer than zero"},
		"a state of 1.0":     {"- name: for good", "- for good", fmt.Sprintf(functions, 20) + "spec.states[2]: must be a map of keys and values, found text (write - name: and the name)"},
		"a state twice":      {"name: for good", "name: seen", fmt.Sprintf(functions, 20) + `spec.states[2]: state "seen" is declared twice (keep one of them)`},
		"a misspelt key":     {"connectTimeout", "connectTimout", fmt.Sprintf(functions, 22) + `spec: unknown key "connectTimout" (did you mean "connectTimeout"?)`},
		"too long a read":    {"readTimeout: 2second", "readTimeout: 3min", fmt.Sprintf(functions, 23) + "spec.readTimeout: 3m0s is longer than timeout (2m0s)"},
		"a kinesis ingress":  {"statefun.kafka.io/routable", "statefun.kinesis.io/routable", `m/module.yaml:38: module.spec.ingresses[0].ingress.meta.type: "statefun.kinesis.io/routable-protobuf-ingress" is not supported: records come from Kafka and go to Kafka only; known kinds are statefun.kafka.io/protobuf-ingress or statefun.kafka.io/routable-protobuf-ingress (let Kafka Connect copy the Kinesis streams to Kafka topics and back, and use the Kafka kinds)`},
		"a kinesis egress":   {"statefun.kafka.io/generic", "statefun.kinesis.io/generic", `m/module.yaml:66: module.spec.egresses[0].egress.meta.type: "statefun.kinesis.io/generic-egress" is not supported: records come from Kafka and go to Kafka only; known kinds are statefun.kafka.io/generic-egress (let Kafka Connect copy the Kinesis streams to Kafka topics and back, and use the Kafka kinds)`},
		"the key of 3.x":     {"typeUrl:", "valueType:", "m/module.yaml:47: module.spec.ingresses[0].ingress.spec.topics[0]: missing key \"typeUrl\"\nm/module.yaml:48: module.spec.ingresses[0].ingress.spec.topics[0]: unknown key \"valueType\""},
		"another router":     {"Org.Apache.flink.statefun.sdk/protobuf-router", "a/b", `m/module.yaml:29: module.spec.routers[0].router.meta.type: "a/b" is not a kind; known kinds are org.apache.flink.statefun.sdk/protobuf-router`},
		"a router of none":   {"ingress: com.mycomp/people", "ingress: com.mycomp/peple", "m/module.yaml:31: no ingress com.mycomp/peple is declared (did you mean \"com.mycomp/people\"?)\nm/module.yaml:54: no router names ingress com.mycomp/people: its records would go nowhere (add a router with ingress: com.mycomp/people)"},
		"two owners":         {"ingress: com.mycomp/people", "ingress: com.mycomp/foo/bar", "m/module.yaml:31: ingress com.mycomp/foo/bar at m/module.yaml:39 has targets of its own and takes no router (routers are for ingresses of type statefun.kafka.io/protobuf-ingress)\nm/module.yaml:54: no router names ingress com.mycomp/people: its records would go nowhere (add a router with ingress: com.mycomp/people)"},
		"a bad path":         {"{{$.name}}", "{{$.nme}}", `m/module.yaml:32: module.spec.routers[0].router.spec.target: the path "$.nme" asks for field nme, which trial.Person has not: did you mean "name"?`},
		"no such message":    {"target: \"com.foo/bar/world/{{$.name}}-{{$.group.tags[1]}}\"\n            messageType: trial.Person", "target: \"com.foo/bar/world/{{$.name}}-{{$.group.tags[1]}}\"\n            messageType: trial.Persn", `m/module.yaml:33: module.spec.routers[0].router.spec.messageType: the descriptor set m/people.desc has no message trial.Persn (did you mean "trial.Person"?)`},
		"messages differ":    {"target: \"com.foo/bar/world/{{$.name}}-{{$.group.tags[1]}}\"\n            messageType: trial.Person", "target: \"com.foo/bar/world/{{$.tags[0]}}\"\n            messageType: trial.Group", `m/module.yaml:31: the router reads messages of type trial.Group, ingress com.mycomp/people at m/module.yaml:54 has trial.Person (give both the same messageType)`},
		"no descriptor set":  {"descriptorSet: classpath:people.desc\n    ingresses", "descriptorSet: classpath:nowhere\n    ingresses", `m/module.yaml:34: module.spec.routers[0].router.spec.descriptorSet: cannot be read: stat m/nowhere: no such file or directory (write it with protoc --include_imports --descriptor_set_out)`},
		"a folder":           {"descriptorSet: classpath:people.desc\n    ingresses", "descriptorSet: file:m\n    ingresses", `m/module.yaml:34: module.spec.routers[0].router.spec.descriptorSet: m is no file of a descriptor set (write it with protoc --include_imports --descriptor_set_out)`},
		"a topic that is no": {"- persons", "- per sons", `m/module.yaml:60: module.spec.ingresses[1].ingress.spec.topics[1]: "per sons" is not a topic name: use letters, digits, dots, underscores and dashes`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(polyglotText, c.old, c.new, 1)
			if text == polyglotText {
				t.Fatal("the case changes nothing")
			}
			_, err := loadPolyglot(t, text)
			if got := problemLines(t, err); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestABrokenDescriptorSetIsSaid(t *testing.T) {
	_, err := loadPolyglot(t, strings.Replace(polyglotText, "descriptorSet: classpath:people.desc\n    ingresses", "descriptorSet: classpath:broken.desc\n    ingresses", 1))
	if got := problemLines(t, err); !strings.HasPrefix(got, "m/module.yaml:34: module.spec.routers[0].router.spec.descriptorSet: m/broken.desc holds no descriptor set: ") {
		t.Errorf("got %s", got)
	}
}

func TestATargetThatNobodyServesIsAWarning(t *testing.T) {
	m, err := loadPolyglot(t, strings.Replace(polyglotText, "target: \"com.foo/bar/world/", "target: \"com.foo/bar/word/", 1))
	want := `m/module.yaml:32: no endpoint serves target com.foo/bar/word of ingress com.mycomp/people: its records go by invalidRecordHandling (dead-letter) (did you mean "com.foo/bar/world"?)`
	if err != nil || lines(m.Warnings) != want {
		t.Errorf("%v, warnings %s", err, lines(m.Warnings))
	}
}

func TestARouterMayStandInAnotherFileThanItsIngress(t *testing.T) {
	before, rest, _ := strings.Cut(polyglotText, "    routers:\n")
	routers, after, _ := strings.Cut(rest, "    ingresses:\n")
	files := map[string]string{
		"a.yaml": before + "    ingresses:\n" + after, "people.desc": peopleSet(t),
		"b.yaml": "version: \"2.0\"\nmodule:\n  meta: {type: remote}\n  spec:\n    routers:\n" + routers,
	}
	m, err := loadFiles(t, files, []string{"b.yaml", "a.yaml"}, Options{})
	if err != nil || len(m.Ingresses[1].Topics[0].Routes) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestFunctionsOfBothGenerationsStandInOneApplication(t *testing.T) {
	files := map[string]string{"m/module.yaml": polyglotText, "m/people.desc": peopleSet(t), "three.yaml": strings.Replace(tail, "app", "my-group", 1)}
	m, err := loadFiles(t, files, []string{"m/module.yaml", "three.yaml"}, Options{})
	if err != nil || len(m.Endpoints) != 2 || m.Endpoints[0].Generation != protocol.Generation2 || m.Endpoints[1].Generation != protocol.Generation3 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestA30DocumentMayHaveTheProtobufIngressAndRoutersThat30Had(t *testing.T) {
	text := strings.Replace(legacyText, "    egresses:\n", `      - ingress:
          meta: {type: statefun.kafka.io/protobuf-ingress, id: com.example/people}
          spec: {address: "kafka-broker:9092", consumerGroupId: my-group, topics: [people], messageType: trial.Person, descriptorSet: people.desc}
    routers:
      - router:
          meta: {type: org.apache.flink.statefun.sdk/protobuf-router}
          spec: {ingress: com.example/people, target: "com.example/{{$.name}}/x", messageType: trial.Person, descriptorSet: people.desc}
    egresses:
`, 1)
	text = strings.NewReplacer("type: earliest", "type: Earliest", "type: exactly-once", "type: Exactly-Once").Replace(text)
	m, err := loadFiles(t, map[string]string{"module.yaml": text, "people.desc": peopleSet(t)}, []string{"module.yaml"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Endpoints[0].Generation != protocol.Generation3 || m.Ingresses[0].Startup.Kind != StartEarliest || m.Egresses[0].Semantic != SemanticExactlyOnce || len(m.Ingresses[1].Topics[0].Routes) != 1 {
		t.Errorf("%+v", m)
	}
}

func TestCaseCountsInTheComponentFormat(t *testing.T) {
	_, err := loadText(t, ingressText("", "startupPosition: {type: Earliest}")+tailEndpoint, Options{})
	if got := problemLines(t, err); !strings.Contains(got, `"Earliest" is unknown`) {
		t.Errorf("got %q", got)
	}
}
