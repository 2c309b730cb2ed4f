package conformance

import (
	"fmt"
	"strings"
	"time"
)

// sectionXFaults has what was found to break a promise, and is mended.
func sectionXFaults() []Case {
	return []Case{
		{ID: "X12", Shows: "a 3.x function that answers by the 2.x protocol is refused, nothing of it is half understood", Endpoint: deadLetterPolicy, Run: answerOfTheOtherGeneration},
		{ID: "X13", Shows: "20,000 states of one function: all are kept, and a call of another function is not held up by them", Alone: true, Run: twentyThousandStates},
		{ID: "X14", Shows: "a line of the log has an end, whatever a function has named", Alone: true, Run: shortLines},
		{ID: "X15", Shows: "a password in a URL or a property is in no line of the log and no dead letter", Alone: true, Run: secretsStaySecret},
		{ID: "X16", Shows: "messages to 3,000 functions of one namespace: all are called, 1,024 are measured by their names", Alone: true, Run: manyFunctions},
		{ID: "X17", Shows: "64 answers of 30 MB at the same time: they are read one after the other, memory stays", Alone: true, Run: largeAnswersAtOnce},
	}
}

func answerOfTheOtherGeneration(l *lab) {
	bad := []reply{result2(l.output2("x/"+record2, "bad", "effect")), result2(message2(l.fn("g"), "bad", "x/y", "hello")), result2(set2("count", "text of a state"))}
	refusedWith(l, "answer refused", countFirst, bad...)
	equal(l, "calls of g", len(l.calledFor("g", 0)), 0)
}

func twentyThousandStates(l *lab) {
	const n = 20_000
	name := func(i int) string { return fmt.Sprintf("state-%d", i) }
	var missing, writes []string
	for i := range n {
		missing, writes = append(missing, spec(name(i), "AFTER_INVOKE 600000")), append(writes, set(name(i), fmt.Sprint(i)))
	}
	ask := incomplete(missing...)
	write := result(append(writes, l.output("x", "written"), message(l.f(), "x", "again"))...)
	rounds, ended := 0, newGate()
	l.answer("f", func(c call) reply {
		switch {
		case c.Target.ID != "x" || rounds == 10:
			return done()
		case len(c.States) < n:
			return ask
		}
		if rounds++; rounds == 10 {
			for i := range n {
				if found(c, name(i)) != fmt.Sprint(i) {
					l.Errorf("%s is %q", name(i), found(c, name(i)))
				}
			}
			ended.release()
		}
		return write
	})
	l.answer("g", func(c call) reply { return result(l.output("quick", c.arguments())) })
	l.serve("f g", endpoint(l.fn("f"), l.url()), endpoint(l.fn("g"), l.url()))
	trip := func() time.Duration {
		began := time.Now()
		n := len(strings.Fields(keyed(l.written(0), "quick")))
		l.send("quick", "one")
		await(l.T, "the output", func() (bool, <-chan struct{}) { return len(strings.Fields(keyed(l.written(0), "quick"))) > n, nil })
		return time.Since(began)
	}
	alone := trip()
	l.send("x", "one")
	var beside time.Duration
	for !ended.released() {
		beside = max(beside, trip())
	}
	if l.Logf("another function's record took %v alone and at most %v beside it", alone, beside); beside > 3*time.Second {
		l.Error("one function's states hold up the others")
	}
}

func shortLines(l *lab) {
	name := strings.Repeat("s", 3_000_000)
	l.answer("f", func(c call) reply { return result(set(name, "x")) })
	l.answer("g", func(c call) reply { return result(message("nobody/home", name, "x")) })
	l.serve("f g", endpoint(l.ns+"/*", l.url(), deadLetterPolicy...))
	l.send("x", "one")
	l.deadLetters(2)
	for line := range strings.Lines(l.worker.journal.String()) {
		if len(line) > 20_000 {
			l.Errorf("a line of the log has %d bytes: %.300s", len(line), line)
		}
	}
}

func secretsStaySecret(l *lab) {
	twice := append([]string{"maxAttempts: 2"}, append(deadLetterPolicy, shortCall...)...)
	l.answer("g", func(call) reply { return broken() })
	l.start(application(), endpoint(l.fn("f"), "http://user:hunter2@127.0.0.1:1/{function.name}?code=hunter2", twice...),
		endpoint(l.fn("g"), strings.Replace(l.url(), "http://", "http://user:hunter2@", 1)+"?code=hunter2", twice...),
		ingress(l.ns+"/in", route{l.in(), []string{l.f(), l.fn("g")}}), document("io.statefun.kafka.v1/egress", "id: conformance/out", "address: BROKER", "properties:", "  - ssl.keystore.password: hunter2"))
	for n := range 12 { // many addresses, so that the circuit opens
		l.send(fmt.Sprint(n), "one")
	}
	if _, err := l.worker.logged("(circuit opens)"); err != nil {
		l.Error(err)
	}
	for _, letter := range l.deadLetters(12) {
		l.says(header(letter, "statefun.dead-letter/detail"), "http://user:xxxxx@")
		if all := fmt.Sprintf("%q %q", letter.Headers, letter.Value); strings.Contains(all, "hunter2") {
			l.Errorf("a dead letter has the password: %s", all)
		}
	}
	for line := range strings.Lines(l.worker.journal.String()) {
		if strings.Contains(line, "hunter2") {
			l.Errorf("the log has the password: %s", line)
		}
	}
	if _, body := l.worker.get("/metrics"); strings.Contains(body, "hunter2") {
		l.Error("the metrics have the password")
	}
}

func manyFunctions(l *lab) {
	const n = 3000
	var all []string
	for i := range n {
		all = append(all, message(l.fn(fmt.Sprint("made-up-", i)), "x", "hello"))
	}
	start := result(all...)
	l.answer("f", func(c call) reply {
		if c.Target.Type == "f" {
			return start
		}
		return done()
	})
	l.start(application(), endpoint(l.ns+"/*", strings.Replace(l.url(), "{function.name}", "f", 1)), ingress(l.ns+"/in", route{l.in(), []string{l.f()}}))
	l.send("x", "one")
	l.called(n + 1)
	l.awaitMetric(n+1, "statefun_function_invocations_total")
	_, body := l.worker.get("/metrics")
	equal(l, "functions that are measured", strings.Count(body, "\nstatefun_function_invocations_total{"), 1025)
}

// largeAnswersAtOnce answers 64 addresses at the same time with 30 MB each, which nobody can take.
func largeAnswersAtOnce(l *lab) {
	const addresses, size = 64, 30_000_000
	g := newGate()
	body := appendBytes(nil, 100, appendBytes(nil, 99, make([]byte, size))) // a field that nobody knows: taken, without effects
	l.answer("f", func(c call) reply {
		g.pass(c)
		return reply{body: body}
	})
	l.start(application(), endpoint(l.ns+"/*", l.url()), ingress(l.ns+"/in", route{l.in(), []string{l.f()}}), egress("conformance/out"))
	for i := range addresses {
		l.send(fmt.Sprint(i), "one")
	}
	l.called(addresses)
	before, stop := l.resident(), l.most()
	g.release()
	l.committed(addresses)
	after := stop()
	l.Logf("memory: %d MiB before, at most %d MiB", before>>20, after>>20)
	if after > before+512<<20 {
		l.Errorf("the worker held %d MiB, before it held %d MiB", after>>20, before>>20)
	}
}
