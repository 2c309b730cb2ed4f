package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func sectionH() []Case {
	return []Case{
		{ID: "H1", Shows: "a state of a 2.0 module expires as its expireAfter and expireMode say", Alone: true, Run: declaredExpiry},
		{ID: "H2", Shows: "a state without expireAfter never expires, whatever its expireMode", Alone: true, Run: declaredForGood},
		{ID: "H3", Shows: "an expireMode that is neither after-invoke nor after-write is refused", Run: unknownExpireMode},
		{ID: "H4", Shows: "a 1.0 module lists its states by name", Alone: true, Run: statesByName},
		{ID: "H5", Shows: "every request has all declared states; one that is not set has no bytes", Alone: true, Run: allStatesAlways},
		{ID: "H6", Shows: "a state that is not declared is written or deleted", Differs: refusal, Alone: true, Run: undeclaredState},
		{ID: "H7", Shows: "an endpoint without a scheme that is known is refused", Run: endpointWithoutScheme},
		{ID: "H8", Shows: "a record becomes an Any with the topic's typeUrl as it stands and the record's bytes", Alone: true, Run: typeURLAsItStands},
		{
			ID: "H9", Shows: "a router sends a record where its template says",
			Differs: "the function gets the record as an Any of its message type; in StateFun 2.2 a remote function behind a router fails.", Alone: true, Run: routedByTemplate,
		},
		{ID: "H10", Shows: "a template follows fields of fields and elements of lists", Alone: true, Run: routedByPath},
		{ID: "H11", Shows: "a function of kind grpc", Differs: "the module is refused; StateFun 2.2 loads it and fails at the first call.", Run: grpcFunction},
		{ID: "H12", Shows: "a KafkaProducerRecord is one whatever its type URL begins with", Alone: true, Run: anyPrefixOfARecord},
	}
}

// untilGone writes the given states, then calls the function again and again until state "w" has expired, and returns
// the last request. The calls are much closer to each other than any state lives.
func untilGone(l *lab, states ...string) request2 {
	l.Helper()
	l.answer("f", func(c call) reply {
		if r := of2(c); r.invocations[0].bytes != "write" {
			return done()
		}
		var writes [][]byte
		for _, s := range states {
			writes = append(writes, set2(s, "content of "+s))
		}
		return result2(writes...)
	})
	l.send("x", "write")
	l.called(1)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 2; ; n++ {
		l.send("x", "look")
		r := of2(l.called(n)[n-1])
		if r.state("w") == "" {
			return r
		}
		equal(l, "state w", r.state("w"), "content of w")
		<-tick.C
	}
}

func declaredExpiry(l *lab) {
	l.start(module2{spec: `states:
  - {name: w, expireAfter: 3000millisecond, expireMode: after-write}
  - {name: i, expireAfter: 3000millisecond, expireMode: after-invoke}
  - {name: default, expireAfter: 3s}`}.text(l))
	began := time.Now()
	last := untilGone(l, "w", "i", "default")
	if lived := time.Since(began); lived < 3*time.Second {
		l.Errorf("the state expired after %v", lived)
	}
	equal(l, "state i", last.state("i"), "content of i")
	equal(l, "state default", last.state("default"), "content of default")
}

func declaredForGood(l *lab) {
	l.start(module2{spec: `states:
  - {name: w, expireAfter: 500ms, expireMode: after-write}
  - {name: plain}
  - {name: mode, expireMode: after-write}`}.text(l))
	last := untilGone(l, "w", "plain", "mode")
	equal(l, "state plain", last.state("plain"), "content of plain")
	equal(l, "state mode", last.state("mode"), "content of mode")
	l.accepted(module2{spec: "states: [{name: mode, expireMode: after-write}]"}.text(l), `"expireMode" has no effect`)
}

func unknownExpireMode(l *lab) {
	l.refused(module2{spec: "states: [{name: a, expireAfter: 1s, expireMode: foo}]"}.text(l), "expireMode", `"foo" is unknown: use after-invoke or after-write`)
	l.refused(module2{spec: "states: [{name: a, expireAfter: 1s, expireMode: after-invok}]"}.text(l), `did you mean "after-invoke"?`)
}

func statesByName(l *lab) {
	l.start(module2{version: "1.0", spec: "states: [a, b]"}.text(l))
	l.answer("f", func(call) reply { return result2(set2("a", "1"), set2("b", "2")) })
	l.send("x", "one")
	l.called(1)
	l.send("x", "two")
	equal(l, "states", fmt.Sprint(of2(l.called(2)[1]).states), fmt.Sprint([]state2{{"a", "1"}, {"b", "2"}}))
	l.refused(module2{version: "1.0", spec: "states: [{name: a}]"}.text(l), "states[0]", `version: "2.0"`)
}

func allStatesAlways(l *lab) {
	l.start(module2{spec: "states: [{name: a}, {name: b}, {name: c}]"}.text(l))
	any := string(any2("type.googleapis.com/some.Message", []byte("content")))
	l.script(result2(set2("b", any), set2("c", "")), result2(set2("a", "\xff\x00"), remove2("b"), l.output2("x/"+record2, "k", "committed")), done())
	for i, want := range [][]state2{{{"a", ""}, {"b", ""}, {"c", ""}}, {{"a", ""}, {"b", any}, {"c", ""}}, {{"a", "\xff\x00"}, {"b", ""}, {"c", ""}}} {
		l.send("x", "look")
		equal(l, fmt.Sprintf("states of request %d", i), fmt.Sprintf("%q", of2(l.called(i + 1)[i]).states), fmt.Sprintf("%q", want))
	}
	l.written(1)
	l.restart()
	l.send("x", "look")
	equal(l, "states after a restart", fmt.Sprintf("%q", of2(l.called(4)[3]).states), fmt.Sprintf("%q", []state2{{"a", "\xff\x00"}, {"b", ""}, {"c", ""}}))
}

func undeclaredState(l *lab) {
	l.start(module2{spec: "states: [{name: count}]"}.text(l))
	l.script(result2(l.output2("x/"+record2, "k", "effect"), set2("count", "effect"), set2("other", "x")),
		result2(set2("count", "effect"), remove2("other")), done())
	for i := range 2 {
		l.send("x", "bad")
		letter := l.deadLetters(i + 1)[i]
		equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "refused")
		l.says(header(letter, "statefun.dead-letter/detail"), `state "other" of `+l.f()+" is not registered")
	}
	l.send("x", "look")
	last := of2(l.called(3)[2])
	equal(l, "state count after refused answers", last.state("count"), "")
	equal(l, "outputs of refused answers", len(l.written(0)), 0)
}

func endpointWithoutScheme(l *lab) {
	for _, endpoint := range []string{"foo:80/x", "foo/x", "ftp://foo/x", "grpc://foo:80"} {
		text := strings.Replace(module2{}.text(l), "endpoint: http://", "endpoint: "+endpoint+" # http://", 1)
		l.refused(text, "spec.functions[0].function.spec.endpoint", "URL")
	}
	for _, endpoint := range []string{"http+unix:///some/path.sock/serve", "https+unix:///some/path.sock", "HTTPS://foo/x"} {
		l.accepted(strings.Replace(module2{}.text(l), "endpoint: http://", "endpoint: "+endpoint+" # http://", 1))
	}
}

func typeURLAsItStands(l *lab) {
	l.start(module2{}.text(l))
	l.answer("f", func(c call) reply {
		if of2(c).target.ID == "x" {
			return result2(message2(l.f(), "y", "a/b/c", "\x00\xff"))
		}
		return done()
	})
	l.send("x", "\xff raw")
	calls := l.called(2)
	equal(l, "invocation", fmt.Sprintf("%q", of2(calls[0]).invocations), fmt.Sprintf("%q", []invocation2{{"", "com.googleapis/com.mycomp.foo.MessageA", "\xff raw"}}))
	equal(l, "message", fmt.Sprintf("%q", of2(calls[1]).invocations), fmt.Sprintf("%q", []invocation2{{l.f() + "/x", "a/b/c", "\x00\xff"}}))
}

// people is the descriptor set of the records that are routed.
func people(l *lab) string {
	set := &descriptorpb.FileDescriptorSet{}
	if err := prototext.Unmarshal([]byte(`file { name: "people.proto" package: "com.example" syntax: "proto3"
  message_type { name: "Person"
    field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "a" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".com.example.Group" } }
  message_type { name: "Group"
    field { name: "b" number: 1 type: TYPE_STRING label: LABEL_REPEATED } } }`), set); err != nil {
		l.Fatal(err)
	}
	b, err := proto.Marshal(set)
	if err != nil {
		l.Fatal(err)
	}
	return l.file("people.desc", string(b))
}

// routedModule has an ingress whose records go where the templates say.
func routedModule(l *lab, templates ...string) string {
	set := people(l)
	m := module2{ingress: []string{`ingress:
  meta: {type: statefun.kafka.io/protobuf-ingress, id: NS/in}
  spec: {address: BROKER, consumerGroupId: APP, startupPosition: {type: earliest}, topics: [IN], messageType: com.example.Person, descriptorSet: ` + set + `}`}}
	for _, t := range templates {
		m.routers = append(m.routers, `router:
  meta: {type: org.apache.flink.statefun.sdk/protobuf-router}
  spec: {ingress: NS/in, target: "`+t+`", messageType: com.example.Person, descriptorSet: `+set+`}`)
	}
	return m.text(l)
}

func routedByTemplate(l *lab) {
	l.start(routedModule(l, "NS/f/{{$.name}}", "NS/f/of-{{$.name}}!"))
	bob := appendBytes(nil, 1, []byte("bob"))
	l.produce(&kgo.Record{Topic: l.in(), Value: bob}) // the key is not looked at
	targets := map[string]bool{}
	for _, c := range l.called(2) {
		targets[of2(c).target.String()] = true
		equal(l, "invocation", fmt.Sprintf("%q", of2(c).invocations), fmt.Sprintf("%q", []invocation2{{"", "type.googleapis.com/com.example.Person", string(bob)}}))
	}
	equal(l, "targets", fmt.Sprint(targets), fmt.Sprint(map[string]bool{l.f() + "/bob": true, l.f() + "/of-bob!": true}))
	l.produce(&kgo.Record{Topic: l.in(), Key: []byte("k"), Value: []byte("\x0a\x05bob")})
	l.says(header(l.deadLetters(1)[0], "statefun.dead-letter/detail"), "it is no com.example.Person")
	l.refused(routedModule(l, "NS/f/{{$.nam}}"), `did you mean "name"?`)
	l.refused(routedModule(l), "no router names ingress "+l.ns+"/in")
}

func routedByPath(l *lab) {
	l.start(routedModule(l, "NS/f/{{$.a.b[0]}}"))
	group := appendBytes(appendBytes(nil, 1, []byte("first/of two")), 1, []byte("second"))
	l.produce(&kgo.Record{Topic: l.in(), Value: appendBytes(nil, 2, group)})
	equal(l, "target", of2(l.called(1)[0]).target, address{l.ns, "f", "first/of two"})
	l.produce(&kgo.Record{Topic: l.in(), Value: appendBytes(nil, 2, nil)})
	l.says(header(l.deadLetters(1)[0], "statefun.dead-letter/detail"), "com.example.Group.b[0] is asked for and the list has 0 elements")
}

func grpcFunction(l *lab) {
	text := strings.Replace(module2{}.text(l), "kind: HTTP", "kind: grpc", 1)
	l.refused(text, "kind grpc is not supported", "kind: http")
	l.refused(strings.Replace(text, "kind: grpc", "kind: rest", 1), `"rest" is not a kind; known kinds are http`)
}

func anyPrefixOfARecord(l *lab) {
	l.start(module2{}.text(l))
	l.answer("f", func(c call) reply {
		return result2(l.output2("type.googleapis.com/"+record2, "k", "usual"), l.output2("x/y/"+record2, "k", "unusual"),
			l.output2("type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord", "k", "of 3.x"))
	})
	l.send("x", "one")
	var written []string
	for _, r := range l.written(3) {
		written = append(written, string(r.Key)+"="+string(r.Value))
	}
	equal(l, "records", strings.Join(written, " "), "k=usual k=unusual k=of 3.x")
}
