package module

import (
	"strings"
	"testing"
)

// A problemCase is a module.yaml that is wrong. A second file, tail.yaml, makes the module whole.
type problemCase struct{ text, want string }

// documentProblems are wrong documents.
var documentProblems = map[string]problemCase{
	"F2 an unknown kind lists the known ones": {
		"kind: io.statefun.kafka.v1/ingres\nspec: {}\n",
		`module.yaml:1: kind: "io.statefun.kafka.v1/ingres" is not a kind; known kinds are io.statefun.endpoints.v1/http, io.statefun.endpoints.v2/http, io.statefun.kafka.v1/egress, io.statefun.kafka.v1/ingress or statefun-kafka.v1/application (did you mean "io.statefun.kafka.v1/ingress"?)`},
	"kinesis is refused as such": {
		"kind: io.statefun.kinesis.v1/egress\nspec: {}\n",
		`module.yaml:1: kind: "io.statefun.kinesis.v1/egress" is not supported: records come from Kafka and go to Kafka only; known kinds are io.statefun.endpoints.v1/http, io.statefun.endpoints.v2/http, io.statefun.kafka.v1/egress, io.statefun.kafka.v1/ingress or statefun-kafka.v1/application (let Kafka Connect copy the Kinesis streams to Kafka topics and back, and use the Kafka kinds)`},
	"F3 a document without spec": {"\nkind: io.statefun.kafka.v1/egress\n", `module.yaml:2: missing key "spec"`},
	"F3 a document without kind": {"spec: {}\n", `module.yaml:1: missing key "kind"`},
	"F3 an empty map":            {"{}\n", "module.yaml:1: missing key \"kind\"\nmodule.yaml:1: missing key \"spec\""},
	"F3 a scalar document":       {"hello\n", `module.yaml:1: must be a map of keys and values, found text`},
	"a spec that is a list": {
		"kind: io.statefun.kafka.v1/egress\nspec:\n  - id: a/b\n",
		`module.yaml:2: spec: must be a map of keys and values, found a list`},
	"F7 a star in the namespace": {
		endpointText("com.foo.*/bar"), `module.yaml:3: spec.functions: function pattern "com.foo.*/bar" has its * in the wrong place: only namespace/* is a pattern`},
	"F7 a star for the namespace": {
		endpointText(`"*/x"`), `module.yaml:3: spec.functions: function pattern "*/x" has its * in the wrong place: only namespace/* is a pattern`},
	"F7 a star inside a name": {
		endpointText("ns/foo*"), `module.yaml:3: spec.functions: function pattern "ns/foo*" has its * in the wrong place: only namespace/* is a pattern`},
	"F12 transports for transport": {
		endpointText("a/b") + "  transports: {type: x}\n", `module.yaml:5: spec: unknown key "transports" (did you mean "transport"?)`},
	"F13 an extra key that is like no other": {
		endpointText("a/b") + "  colour: red\n", `module.yaml:5: spec: unknown key "colour"`},
	"a version of no StateFun": {
		"version: \"4.0\"\nmodule: {}\n",
		"module.yaml:1: version: \"4.0\" is not a version this program reads (use the component format (kind and spec) or the legacy format with version: \"1.0\", \"2.0\" or \"3.0\")"},
	"a 2.x version as a number": {"version: 2.0\nmodule: {}\n", `module.yaml:1: version: is a number (write version: "2.0")`},
	"F16 version as a number":   {"version: 3.0\nmodule: {}\n", `module.yaml:1: version: is a number (write version: "3.0")`},
	"F17 a legacy document with a further marker": {
		"version: \"3.0\"\nmodule: {}\n---\n",
		"module.yaml:1: version: a file of the legacy format holds one document only (take out the further --- lines, or write each part as a kind and a spec)"},
	"F18 one function pattern twice": {
		endpointText("tail/*"),
		`tail.yaml:3: functions tail/* are served twice, first at module.yaml:3 (keep one of the endpoints)`},
	"F18 one ingress id twice": {
		tailIngress, `tail.yaml:7: ingress tail/in is declared twice, first at module.yaml:4 (give it another id)`},
	"one egress id twice": {
		egressText("") + "---\n" + egressText(""),
		`module.yaml:8: egress a/out is declared twice, first at module.yaml:3 (give it another id)`},
	"a required key whose value is empty": {
		"kind: io.statefun.endpoints.v2/http\nspec:\n  functions:\n  urlPathTemplate: http://x\n",
		`module.yaml:2: spec: missing key "functions" (the value of "functions" is empty)`},
	"a required key that is misspelt is one missing and one unknown": {
		"kind: io.statefun.endpoints.v2/http\nspec:\n  function: a/b\n  urlPathTemplate: http://x\n",
		"module.yaml:2: spec: missing key \"functions\"\nmodule.yaml:3: spec: unknown key \"function\" (did you mean \"functions\"?)"},
	"a key given twice": {
		endpointText("a/b") + "  functions: a/c\n", `module.yaml:5: spec: key "functions" is given twice, first on line 3 (keep one of them)`},
	"a list where text belongs": {endpointText("[a/b]"), `module.yaml:3: spec.functions: must be text, found a list`},
	"a bad enum value":          {endpointText("a/b") + "  onFailure: retri\n", `module.yaml:5: spec.onFailure: "retri" is unknown: use retry, dead-letter or skip (did you mean "retry"?)`},
	"a bad number":              {endpointText("a/b") + "  maxNumBatchRequests: many\n", `module.yaml:5: spec.maxNumBatchRequests: "many" is not a whole number`},
	"a number out of range":     {endpointText("a/b") + "  maxAttempts: -1\n", `module.yaml:5: spec.maxAttempts: -1 is out of range: 0 to 2147483647`},
}

// endpointProblems are wrong endpoints.
var endpointProblems = map[string]problemCase{
	"a URL that begins with a port":  {endpointURL("127.0.0.1:8000/f"), `module.yaml:4: spec.urlPathTemplate: the URL has no scheme: begin it with http://, https:// or http+unix://`},
	"a URL without scheme":           {endpointURL("host/f"), `module.yaml:4: spec.urlPathTemplate: the URL has no scheme: begin it with http://, https:// or http+unix://`},
	"a URL with another scheme":      {endpointURL("ftp://host/f"), `module.yaml:4: spec.urlPathTemplate: the URL has scheme "ftp": use http, https or http+unix`},
	"a URL without host":             {endpointURL("http:///f"), `module.yaml:4: spec.urlPathTemplate: the URL has no host`},
	"a bad URL does not show itself": {endpointURL("http://me:hush@ho st/"), `module.yaml:4: spec.urlPathTemplate: not a URL: invalid character " " in host name`},
	"E26 a Unix socket without .sock": {
		endpointURL("http+unix:///some/path/hello"), `module.yaml:4: spec.urlPathTemplate: the path of a Unix socket URL needs an element that ends in .sock`},
	"a Unix socket on the async transport": {
		endpointURL("http+unix:///a.sock"), `module.yaml:4: spec.urlPathTemplate: the async transport does not speak to Unix sockets (set transport.type to io.statefun.transports.v1/okhttp)`},
	"an unknown transport": {
		endpointText("a/b") + "  transport:\n    type: io.statefun.transports.v1/async-netty\n",
		`module.yaml:6: spec.transport.type: "io.statefun.transports.v1/async-netty" is unknown: use io.statefun.transports.v1/okhttp or io.statefun.transports.v1/async (did you mean "io.statefun.transports.v1/async"?)`},
	"E23 client_cert without client_key": {
		endpointText("a/b") + "  transport:\n    client_cert: c.pem\n", `module.yaml:6: spec.transport.client_cert: is given without client_key (give both or none)`},
	"E27 okhttp with a call shorter than the default of its parts": {
		okHTTPText("timeouts: {call: 5s}"),
		"module.yaml:7: spec.transport.timeouts.call: 5s is shorter than connect, which is 10s by default (set connect too)\n" +
			"module.yaml:7: spec.transport.timeouts.call: 5s is shorter than read, which is 10s by default (set read too)\n" +
			"module.yaml:7: spec.transport.timeouts.call: 5s is shorter than write, which is 10s by default (set write too)"},
	"E28 okhttp with a time-out of zero": {
		okHTTPText("timeouts: {read: 0s}"), `module.yaml:7: spec.transport.timeouts.read: must be longer than zero`},
	"a part longer than the call": {
		okHTTPText("timeouts: {read: 2 min}"), `module.yaml:7: spec.transport.timeouts.read: 2m0s is longer than call (1m0s)`},
	"async keys on okhttp": {okHTTPText("pool_size: 5"), `module.yaml:7: spec.transport: unknown key "pool_size"`},
	"a bad duration":       {okHTTPText("timeouts: {call: 1 fortnight}"), `module.yaml:7: spec.transport.timeouts.call: duration "1 fortnight" has unknown unit "fortnight": use d, h, min, s, ms, µs or ns`},
}

// ingressProblems are wrong ingresses.
var ingressProblems = map[string]problemCase{
	"G8 no consumer group": {
		ingressText("consumerGroupId", ""), `module.yaml:2: spec: missing key "consumerGroupId"`},
	"no address":     {ingressText("address", ""), `module.yaml:2: spec: missing key "address" (write address: host:port)`},
	"empty address":  {ingressText("address", "address: \" , \""), `module.yaml:4: spec.address: names no broker: write host:port`},
	"no topics":      {ingressText("topics", "topics: []"), `module.yaml:6: spec.topics: the list is empty (name at least one topic)`},
	"topics as text": {ingressText("topics", "topics: names"), `module.yaml:6: spec.topics: must be a list, found text (write its elements as lines that begin with -)`},
	"a topic without its keys": {
		ingressText("topics", "topics:\n    - topik: names"),
		"module.yaml:7: spec.topics[0]: missing key \"targets\"\nmodule.yaml:7: spec.topics[0]: missing key \"topic\"\n" +
			"module.yaml:7: spec.topics[0]: missing key \"valueType\"\nmodule.yaml:7: spec.topics[0]: unknown key \"topik\" (did you mean \"topic\"?)"},
	"a bad target": {
		ingressText("topics", "topics:\n    - topic: names\n      valueType: a/b\n      targets:\n        - greeter"),
		`module.yaml:10: spec.topics[0].targets[0]: type name "greeter" is not of the form namespace/name`},
	"a value type that is a number": {
		ingressText("topics", "topics: [{topic: names, valueType: 5, targets: [tail/f]}]"),
		`module.yaml:6: spec.topics[0].valueType: must be text, found a number (put it in quotes)`},
	"a bad topic name": {
		ingressText("topics", "topics: [{topic: na mes, valueType: v, targets: [tail/f]}]"),
		`module.yaml:6: spec.topics[0].topic: "na mes" is not a topic name: use letters, digits, dots, underscores and dashes`},
	"G13 a startup position in capitals": {
		ingressText("", "startupPosition: {type: Earliest}"),
		`module.yaml:7: spec.startupPosition.type: "Earliest" is unknown: use group-offsets, earliest, latest, specific-offsets or date (did you mean "earliest"?)`},
	"G15 the date of StateFun's documentation": {
		ingressText("", "startupPosition:\n    type: date\n    date: 2020-02-01 04:15:00.00 Z"),
		`module.yaml:9: spec.startupPosition.date: "2020-02-01 04:15:00.00 Z" is not a start date: write it as 2020-02-01 04:15:00.000 +0000`},
	"a date with a one-digit hour": {
		ingressText("", "startupPosition:\n    type: date\n    date: 2020-02-01 4:15:00.000 +0000"),
		`module.yaml:9: spec.startupPosition.date: "2020-02-01 4:15:00.000 +0000" is not a start date: write it as 2020-02-01 04:15:00.000 +0000`},
	"a date in the future": {
		ingressText("", "startupPosition:\n    type: date\n    date: 2026-02-01 04:15:00.000 +0000"),
		`module.yaml:9: spec.startupPosition.date: lies in the future`},
	"specific offsets without offsets": {
		ingressText("", "startupPosition: {type: specific-offsets}"), `module.yaml:7: spec.startupPosition: missing key "offsets"`},
	"specific offsets that are empty": {
		ingressText("", "startupPosition: {type: specific-offsets, offsets: []}"),
		`module.yaml:7: spec.startupPosition.offsets: the list is empty (write - topic/partition: offset)`},
	"specific offsets that are wrong": {
		ingressText("", "startupPosition:\n    type: specific-offsets\n    offsets:\n      - names: 5\n      - names/x: 5\n      - names/0: -1\n      - names/1: 1\n      - names/1: 2"),
		"module.yaml:10: spec.startupPosition: offsets: \"names\" is not a partition of a topic (write - topic/partition: offset)\n" +
			"module.yaml:11: spec.startupPosition: offsets: \"names/x\" has no partition number behind its last slash (write - topic/partition: offset)\n" +
			"module.yaml:12: spec.startupPosition.offsets[2].names/0: \"-1\" is not an offset\n" +
			"module.yaml:14: spec.startupPosition: offsets: partition names/1 is given twice (keep one of them)"},
	"autoOffsetResetPosition under startupPosition": {
		ingressText("", "startupPosition:\n    type: latest\n    autoOffsetResetPosition: earliest"),
		`module.yaml:9: spec.startupPosition: unknown key "autoOffsetResetPosition" (it belongs beside startupPosition, not into it)`},
	"a bad autoOffsetResetPosition":  {ingressText("", "autoOffsetResetPosition: none"), `module.yaml:7: spec.autoOffsetResetPosition: "none" is unknown: use earliest or latest`},
	"forwardHeaders that is no flag": {ingressText("", "forwardHeaders: all"), `module.yaml:7: spec.forwardHeaders: "all" must be true or false`},
	"invalidRecordHandling without a type": {
		ingressText("", "invalidRecordHandling: {logLevel: info}"), `module.yaml:7: spec.invalidRecordHandling: missing key "type"`},
	"a log level that is none": {
		ingressText("", "invalidRecordHandling: {type: skip, logLevel: loud}"),
		`module.yaml:7: spec.invalidRecordHandling.logLevel: "loud" is unknown: use debug, info, warn or error`},
	"records that a function should get": {
		ingressText("topics", "topics: [{topic: names, valueType: a/v, targets: [tail/f], invalidRecordHandling: {type: forward}}]"),
		`module.yaml:6: spec.topics[0].invalidRecordHandling.type: "forward" is not supported: it would send the record to a function (use dead-letter, and read the dead-letter topic with an ingress of its own, with forwardHeaders: true)`},
	"a bad invalidRecordHandling": {
		ingressText("", "invalidRecordHandling: deadletter"),
		`module.yaml:7: spec.invalidRecordHandling: "deadletter" is unknown: use fail, skip or dead-letter (did you mean "dead-letter"?)`},
	"properties as a map": {
		ingressText("", "properties:\n    a: b"), `module.yaml:7: spec.properties: must be a list, found a map (write its elements as lines that begin with -)`},
	"two properties in one element": {
		ingressText("", "properties:\n    - a: b\n      c: d"), `module.yaml:9: spec.properties[0]: "c" is a second key in one list element (begin its line with - too)`},
	"a property with a map for its value": {
		ingressText("", "properties:\n    - a: {b: c}"), `module.yaml:8: spec.properties[0].a: must be text, found a map`},
}

// egressProblems are wrong egresses, and what only several documents show.
var egressProblems = map[string]problemCase{
	"an egress without address": {
		"kind: io.statefun.kafka.v1/egress\nspec:\n  id: a/out\n", `module.yaml:2: spec: missing key "address" (write address: host:port)`},
	"an unknown semantic": {
		egressText("  deliverySemantic: {type: exactly_once}\n"),
		`module.yaml:5: spec.deliverySemantic.type: "exactly_once" is unknown: use at-least-once, exactly-once or none (did you mean "exactly-once"?)`},
	"a duration for transactionTimeoutMillis": {
		egressText("  deliverySemantic: {type: exactly-once, transactionTimeoutMillis: 15min}\n"),
		`module.yaml:5: spec.deliverySemantic.transactionTimeoutMillis: "15min" is not a number of milliseconds (write transactionTimeout: 15min)`},
	"ingresses of two clusters": {
		strings.NewReplacer("tail/in", "tail/in2", "kafka:9092", "other:9092").Replace(tailIngress),
		`module.yaml: the ingresses name several Kafka clusters (other:9092 of module.yaml:4, kafka:9092 of tail.yaml:7): which of them is the application's? (write brokers: host:port in a document of kind statefun-kafka.v1/application, or give --brokers / Options.Brokers)`},
	"two consumer groups": {
		strings.NewReplacer("consumerGroupId: app", "consumerGroupId: b", "tail/in", "tail/in2", "topic: tail", "topic: t2").Replace(tailIngress),
		`tail.yaml:7: consumerGroupId "app" differs from "b" of module.yaml:4: the application id cannot be taken from them (give an id in a document of kind statefun-kafka.v1/application or with --application-id / the id of embedded.New)`},
	"one topic in two ingresses": {
		strings.Replace(tailIngress, "tail/in", "tail/in2", 1),
		`tail.yaml:10: topic tail is read by two ingresses, first at module.yaml:7: this is not supported in this version (give all its targets in one place)`},
	"the application twice": {
		"kind: statefun-kafka.v1/application\nspec:\n  id: x\n---\nkind: statefun-kafka.v1/application\nspec:\n  id: y\n",
		`module.yaml:6: the application is declared twice, first at module.yaml:2 (keep one application document)`},
	"wrong application values": {
		"kind: statefun-kafka.v1/application\nspec:\n  id: a b\n  partition: 4\n  commitInterval: soon\n  limits:\n    readBudget: 64 mbit\n    recordsPerSource: 0\n  deadLetter: {topic: a/b}\n",
		"module.yaml:3: spec.id: \"a b\" is not an application id: use letters, digits, dots, underscores and dashes, because topics are named after it\n" +
			"module.yaml:4: spec: unknown key \"partition\" (did you mean \"partitions\"?)\n" +
			"module.yaml:5: spec.commitInterval: \"soon\" is not a duration: write a whole number and a unit, as 10s, 5 min or 250ms\n" +
			"module.yaml:7: spec.limits.readBudget: memory size \"64 mbit\" has unknown unit \"mbit\": use b, kb, mb, gb or tb\n" +
			"module.yaml:8: spec.limits.recordsPerSource: 0 is out of range: 1 to 2147483647\n" +
			"module.yaml:9: spec.deadLetter.topic: \"a/b\" is not a topic name: use letters, digits, dots, underscores and dashes"},
	"text that is not YAML does not hide the next document": {
		"kind: [a\nspec: b\n---\nkind: x/y\nspec: {}\n",
		"module.yaml:2: not YAML: ',' or ']' must be specified\n" +
			"module.yaml:4: kind: \"x/y\" is not a kind; known kinds are io.statefun.endpoints.v1/http, io.statefun.endpoints.v2/http, io.statefun.kafka.v1/egress, io.statefun.kafka.v1/ingress or statefun-kafka.v1/application"},
	"a tab for indentation": {"kind: a\nspec:\n\tid: b\n", "module.yaml:3: not YAML: found character '\t' that cannot start any token"},
}

func TestProblems(t *testing.T) {
	for _, cases := range []map[string]problemCase{documentProblems, endpointProblems, ingressProblems, egressProblems} {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				files := map[string]string{"module.yaml": c.text, "tail.yaml": tail}
				_, err := loadFiles(t, files, []string{"module.yaml", "tail.yaml"}, Options{})
				if got := problemLines(t, err); got != c.want {
					t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
				}
			})
		}
	}
}

func TestProblemsOfOneFile(t *testing.T) {
	for name, c := range map[string]problemCase{
		"F19 no ingress":  {tailEndpoint, `module.yaml: no ingress is declared: nothing would ever be read (add a document of kind io.statefun.kafka.v1/ingress)`},
		"F19 no endpoint": {tailIngress, `module.yaml: no endpoint is declared: there is no function to call (add a document of kind io.statefun.endpoints.v2/http)`},
		"an empty file": {"# nothing\n", "module.yaml: no endpoint is declared: there is no function to call (add a document of kind io.statefun.endpoints.v2/http)\n" +
			"module.yaml: no ingress is declared: nothing would ever be read (add a document of kind io.statefun.kafka.v1/ingress)"},
		"a consumer group that topics cannot be named after": {
			strings.Replace(tail, "Id: app", "Id: my app", 1),
			`module.yaml:7: consumerGroupId: "my app" is not an application id: use letters, digits, dots, underscores and dashes, because topics are named after it (give an id in a document of kind statefun-kafka.v1/application or with --application-id / the id of embedded.New)`},
		"an ingress on the mailbox": {
			strings.Replace(tail, "topic: tail", "topic: app-mailbox", 1),
			`module.yaml:10: topic app-mailbox belongs to the worker itself (name another topic, or give another application id)`},
		"an ingress on its own dead-letter topic": {
			strings.Replace(tail, "topic: tail", "topic: app-dead-letter", 1),
			`module.yaml:10: topic app-dead-letter is the dead-letter topic: its bad records would come back to it for ever (set invalidRecordHandling of this topic to skip or fail)`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, c.text, Options{})
			if got := problemLines(t, err); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func endpointText(functions string) string {
	return "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: " + functions + "\n  urlPathTemplate: http://h/{function.name}\n"
}

func endpointURL(url string) string {
	return "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/b\n  urlPathTemplate: " + url + "\n"
}

func okHTTPText(key string) string {
	return endpointText("a/b") + "  transport:\n    type: io.statefun.transports.v1/okhttp\n    " + key + "\n"
}

func egressText(more string) string {
	return "kind: io.statefun.kafka.v1/egress\nspec:\n  id: a/out\n  address: kafka:9092\n" + more
}

// ingressText is an ingress with one of its lines replaced, or with one more when no key is named.
func ingressText(key, line string) string {
	text := "kind: io.statefun.kafka.v1/ingress\nspec:\n"
	for _, l := range []string{"id: a/in", "address: kafka:9092", "consumerGroupId: app", "topics: [{topic: names, valueType: a/v, targets: [tail/f]}]"} {
		if key != "" && strings.HasPrefix(l, key+":") {
			l = line
		}
		if l != "" {
			text += "  " + l + "\n"
		}
	}
	if key == "" {
		text += "  " + line + "\n"
	}
	return text
}
