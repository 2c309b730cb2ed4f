package conformance

import (
	"os"
	"path/filepath"
	"strings"
)

func sectionF() []Case {
	return []Case{
		{
			ID: "F1", Shows: "an empty document at the end of a module is passed over",
			Differs: "kinds of one's own belong to extensions in the JVM, which are not loaded here; they are refused like F2.", Run: trailingDocument,
		},
		{ID: "F2", Shows: "an unknown kind is refused; the error names the kinds that are known, and for Kinesis says what to use instead", Run: unknownKind},
		{ID: "F3", Shows: "a document without kind or spec, or one that is no map, is refused", Run: formlessDocument},
		{ID: "F4", Shows: "endpoints of both versions for a whole namespace", Run: bothEndpointVersions},
		{ID: "F5", Shows: "an endpoint that names the function beats the one of its namespace", Alone: true, Run: exactBeatsNamespace},
		{ID: "F6", Shows: "an endpoint of a namespace serves any function in it", Run: anyOfTheNamespace},
		{ID: "F7", Shows: "other uses of * in functions are refused", Run: badPatterns},
		{ID: "F8", Shows: "an endpoint of a namespace serves no namespace that only begins like it", Differs: refusal, Endpoint: deadLetterPolicy, Run: namespaceIsNoPrefix},
		{ID: "F9", Shows: "every {function.name} of a template is replaced by the name", Alone: true, Run: templateWithTwoNames},
		{ID: "F10", Shows: "a template without a placeholder is the URL of all functions", Alone: true, Run: templateWithoutName},
		{ID: "F11", Shows: "endpoints.v2 without a transport speaks as the async transport does", Alone: true, Run: asyncByDefault},
		{
			ID: "F12", Shows: "transports in place of transport",
			Differs: "it is an error that names the key that was meant, as StateFun's silence has cost people their settings; with --lenient it is a warning and the default transport counts, as in StateFun.", Run: misspeltTransport,
		},
		{
			ID: "F13", Shows: "a field that nobody knows",
			Differs: "it is an error with file and line; with --lenient a warning, where StateFun is silent.", Run: unknownField,
		},
		{ID: "F14", Shows: "a module of version 3.0 works, its ids are those of its parts", Alone: true, Run: legacyVersion3},
		{
			ID: "F15", Shows: "a module of version 2.0 or 1.0",
			Differs: "it works, with the protocol of its generation (section H); StateFun 3 refuses it.", Alone: true, Run: legacyVersion2,
		},
		{ID: "F16", Shows: "a version that is a number is refused", Run: numericVersion},
		{ID: "F17", Shows: "a module of version 3.0 with one more document is refused", Run: legacyWithMore},
		{ID: "F18", Shows: "two endpoints for one function, or two ingresses or egresses with one id, are refused", Run: definedTwice},
		{ID: "F19", Shows: "a module without an ingress or without a function is refused, one without an egress is not", Run: partsMissing},
		{ID: "F20", Shows: "durations as 30s, 1minute, 10second, 60000millisecond, 1 min, 5000", Run: durations},
		{
			ID: "F21", Shows: "several modules are loaded as one",
			Differs: "--module takes a folder, whose files and whose folders' module.yaml are all loaded, and may be repeated. There is no class path; classpath: in a location means beside the module.", Run: folderOfModules,
		},
		{ID: "F22", Shows: "a path without a scheme is a file", Run: plainPath},
		{
			ID: "F23", Shows: "${NAME} in a module",
			Differs: "it is replaced by the environment's value, and an unset name is an error; StateFun reads it as text.", Run: placeholders,
		},
		{ID: "F24", Shows: "a list of properties holds text, numbers and booleans", Run: listOfProperties},
	}
}

// plain is a module that is good, in the parts that a case needs to change.
func plain(l *lab) (endpointDocument, ingressDocument, egressDocument string) {
	return endpoint(l.ns+"/*", l.url()), ingress(l.ns+"/in", route{l.in(), []string{l.f()}}), egress("conformance/out")
}

func trailingDocument(l *lab) {
	e, i, o := plain(l)
	l.accepted(e + i + o + "---\n")
	l.accepted("---\n" + e + "---\n---\n" + i)
}

func unknownKind(l *lab) {
	e, i, _ := plain(l)
	known := []string{"io.statefun.endpoints.v2/http", "io.statefun.kafka.v1/ingress", "io.statefun.kafka.v1/egress"}
	l.refused(e+i+document("com.mycomp/widget", "id: a/b"), append(known, `"com.mycomp/widget" is not a kind`)...)
	l.refused(e+i+document("io.statefun.kafka.v1/ingres", "id: a/b"), `did you mean "io.statefun.kafka.v1/ingress"?`)
	l.refused(e+i+document("io.statefun.kinesis.v1/ingress", "id: a/b"), append(known, "Kinesis", "Kafka Connect")...)
	l.refused(e+i+document("io.statefun.kinesis.v1/egress", "id: a/b"), append(known, "Kinesis", "Kafka Connect")...)
	l.refused(`version: "3.0"
module:
  meta: {type: remote}
  spec:
    ingresses:
      - ingress:
          meta: {type: io.statefun.kinesis/ingress, id: a/b}
          spec: {}
`, "Kafka Connect")
}

func formlessDocument(l *lab) {
	e, i, _ := plain(l)
	l.refused(e+i+"kind: io.statefun.endpoints.v2/http\n", "spec")
	l.refused(e+i+"spec:\n  functions: a/b\n", "kind")
	l.refused(e+i+"just text\n", "map")
}

func bothEndpointVersions(l *lab) {
	_, i, _ := plain(l)
	v1 := document("io.statefun.endpoints.v1/http", "functions: com.foo.bar/*", "urlPathTemplate: https://bar.foo.com:8080/{function.name}",
		"maxNumBatchRequests: 10000", "timeouts:", "  call: 1minute", "  connect: 10second", "  read: 10second", "  write: 10seconds")
	v2 := document("io.statefun.endpoints.v2/http", "functions: com.other/*", "urlPathTemplate: https://bar.foo.com:8080/{function.name}",
		"maxNumBatchRequests: 10000", "transport:", "  type: io.statefun.transports.v1/okhttp", "  timeouts:", "    call: 1minute", "    connect: 10second")
	l.accepted(v1+v2+strings.Replace(i, l.f(), "com.foo.bar/f, com.other/g", 1), "2 endpoints")
}

func exactBeatsNamespace(l *lab) {
	_, i, _ := plain(l)
	l.start(application(), endpoint(l.ns+"/*", l.bench.host.url(l.ns)), endpoint(l.f(), strings.Replace(l.url(), "{function.name}", "exact", 1)), i)
	l.answer("exact", func(call) reply { return result(message(l.fn("g"), "x", "hello")) })
	l.send("x", "one")
	equal(l, "called for f", l.called(1)[0].function, "exact")
	equal(l, "called for g", l.called(2)[1].function, "g")
}

func anyOfTheNamespace(l *lab) {
	l.answer("f", func(call) reply { return result(message(l.fn("never.heard_of-it"), "x", "hello")) })
	l.send("x", "one")
	equal(l, "target", l.calledFor("never.heard_of-it", 1)[0].Target, address{l.ns, "never.heard_of-it", "x"})
}

func badPatterns(l *lab) {
	_, i, _ := plain(l)
	for _, pattern := range []string{"com.foo.*/bar", "'*/x'", "ns/foo*", "nonsense"} {
		l.refused(endpoint(pattern, l.url())+i, "functions", strings.Trim(pattern, "'"))
	}
}

func namespaceIsNoPrefix(l *lab) {
	refusedWith(l, "no endpoint of the module serves this function", nothingFirst,
		result(message(l.ns+".more/x", "x", "hello")))
}

func templateWithTwoNames(l *lab) {
	_, i, _ := plain(l)
	l.start(application(), endpoint(l.ns+"/*", l.url()+"/{function.name}"), i)
	l.send("x", "one")
	equal(l, "path below the namespace", l.called(1)[0].function, "f/f")
}

func templateWithoutName(l *lab) {
	_, i, _ := plain(l)
	l.start(application(), endpoint(l.ns+"/*", strings.Replace(l.url(), "{function.name}", "all", 1)), i)
	l.answer("all", func(c call) reply {
		if c.Target.Type == "f" {
			return result(message(l.fn("g"), "x", "hello"))
		}
		return done()
	})
	l.send("x", "one")
	calls := l.calledFor("all", 2)
	equal(l, "targets", calls[0].Target.Type+calls[1].Target.Type, "fg")
}

func asyncByDefault(l *lab) {
	e, i, _ := plain(l)
	l.start(application(), e, i)
	l.send("x", "one")
	h := l.called(1)[0].header
	equal(l, "accept-encoding", h.Get("Accept-Encoding"), "gzip,deflate")
	equal(l, "accept", h.Get("Accept"), "application/octet-stream")
	equal(l, "content-type", h.Get("Content-Type"), "application/octet-stream")
}

func misspeltTransport(l *lab) {
	_, i, _ := plain(l)
	module := endpoint(l.ns+"/*", l.url(), "transports:", "  type: io.statefun.transports.v1/okhttp") + i
	l.refused(module, "transports", `did you mean "transport"?`)
	code, printed := l.validate(module, "--lenient")
	equal(l, "exit code with --lenient", code, 0)
	l.says(printed, "transports")
}

func unknownField(l *lab) {
	_, i, _ := plain(l)
	module := endpoint(l.ns+"/*", l.url(), "colour: blue") + i
	l.refused(module, "colour", "module.yaml:5:")
	code, printed := l.validate(module, "--lenient")
	equal(l, "exit code with --lenient", code, 0)
	l.says(printed, "colour")
}

func legacyVersion3(l *lab) {
	l.answer("f", func(call) reply { return result(l.output("x", "done")) })
	l.start(strings.NewReplacer("NS", l.ns, "URL", l.url(), "IN", l.in(), "TYPE", valueType).Replace(`version: "3.0"
module:
  meta:
    type: remote
  spec:
    endpoints:
      - endpoint:
          meta: {kind: http}
          spec: {functions: NS/*, urlPathTemplate: "URL"}
    ingresses:
      - ingress:
          meta: {type: io.statefun.kafka/ingress, id: NS/in}
          spec:
            address: BROKER
            consumerGroupId: APP
            startupPosition: {type: earliest}
            topics:
              - {topic: IN, valueType: TYPE, targets: [NS/f]}
    egresses:
      - egress:
          meta: {type: io.statefun.kafka/egress, id: conformance/out}
          spec: {address: BROKER}
`))
	l.send("x", "one")
	equal(l, "argument", l.called(1)[0].Invocations[0].Argument, value{valueType, true, "one"})
	equal(l, "output", string(l.written(1)[0].Value), "done")
}

func legacyVersion2(l *lab) {
	l.start(module2{}.text(l))
	l.send("x", "one")
	one := of2(l.called(1)[0]).invocations[0]
	equal(l, "type URL", one.typeURL, "com.googleapis/com.mycomp.foo.MessageA")
	equal(l, "bytes", one.bytes, "one")
}

func numericVersion(l *lab) {
	l.refused(strings.Replace(module2{}.text(l), `version: "2.0"`, "version: 3.0", 1), "version", "is a number")
	l.refused(strings.Replace(module2{}.text(l), `version: "2.0"`, `version: "4.0"`, 1), "version", `"4.0"`)
}

func legacyWithMore(l *lab) {
	e, _, _ := plain(l)
	l.refused(strings.Replace(module2{}.text(l), `"2.0"`, `"3.0"`, 1)+"---\n"+e, "one document")
}

func definedTwice(l *lab) {
	e, i, o := plain(l)
	l.refused(e+e+i, "twice")
	l.refused(endpoint(l.f(), l.url())+endpoint(l.f(), l.url())+i, "twice")
	l.refused(e+i+i, "twice")
	l.refused(e+i+o+o, "twice")
}

func partsMissing(l *lab) {
	e, i, o := plain(l)
	l.accepted(e + i)
	l.refused(e+o, "ingress")
	l.refused(i+o, "endpoint")
}

func durations(l *lab) {
	_, i, _ := plain(l)
	for text, want := range map[string]string{
		"30s": "30s", "1minute": "1m0s", "10second": "10s", "60000millisecond": "1m0s", "1 min": "1m0s", "5000": "5s", "1 h": "1h0m0s", "2 DAYS": "48h0m0s",
	} {
		// What the program has read is in its reason: it is longer than the call may take.
		l.refused(endpoint(l.ns+"/*", l.url(), "transport:", "  type: io.statefun.transports.v1/okhttp", "  timeouts:",
			"    call: 1ms", "    connect: 1ms", "    write: 1ms", "    read: "+text)+i, want+" is longer than call (1ms)")
	}
	l.refused(endpoint(l.ns+"/*", l.url(), "transport:", "  call: PT5S")+i, "PT5S")
}

func folderOfModules(l *lab) {
	e, i, o := plain(l)
	folder := l.TempDir()
	for name, text := range map[string]string{"first/module.yaml": e, "second/module.yaml": i, "egress.yaml": o} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.Fatal(err)
		}
		text = strings.NewReplacer("BROKER", l.bench.address, "APP", l.ns).Replace(text)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			l.Fatal(err)
		}
	}
	code, printed := l.bench.validate(folder)
	equal(l, "exit code", code, 0)
	l.says(printed, "1 endpoint", "1 ingress", "1 egress")
	code, _ = l.bench.validate(filepath.Join(folder, "first"))
	equal(l, "exit code of one alone", code, 2)
	code, _ = l.bench.validate(filepath.Join(folder, "first"), "--module", filepath.Join(folder, "second"))
	equal(l, "exit code of two", code, 0)
}

func plainPath(l *lab) {
	e, i, _ := plain(l)
	path := l.file("module.yaml", e+i)
	for _, location := range []string{path, "file:" + path, "file://" + path} {
		code, printed := l.bench.validate(location)
		if code != 0 {
			l.Errorf("%s: exit code %d: %s", location, code, printed)
		}
	}
}

func placeholders(l *lab) {
	e, i, _ := plain(l)
	l.refused(e+strings.Replace(i, "BROKER", "${STATEFUN_CONFORMANCE_UNSET}", 1), "STATEFUN_CONFORMANCE_UNSET")
	l.accepted(e+strings.Replace(i, "consumerGroupId: APP", "consumerGroupId: ${STATEFUN_CONFORMANCE_SET}", 1), "application placed")
}

func listOfProperties(l *lab) {
	e, _, _ := plain(l)
	l.accepted(e + ingressWith(l.ns+"/in", []string{"properties:", "  - fetch.min.bytes: 1", "  - check.crcs: true", "  - client.id: text"}, route{l.in(), []string{l.f()}}))
	l.refused(e+ingressWith(l.ns+"/in", []string{"properties:", "  - fetch.min.bytes: {a: b}"}, route{l.in(), []string{l.f()}}), "fetch.min.bytes")
}
