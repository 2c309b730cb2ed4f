package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

func sectionA() []Case {
	return []Case{
		{ID: "A1", Shows: "an idle address gets one message: one request for that address with one invocation", Run: oneMessage},
		{ID: "A2", Shows: "a message that another function sent carries that function's address as caller", Run: callerIsTheSender},
		{ID: "A3", Shows: "a message from an ingress has no caller, not an empty one", Run: ingressHasNoCaller},
		{ID: "A4", Shows: "typename, has_value and value of an argument arrive as they were sent, byte for byte", Run: argumentsUntouched},
		{ID: "A5", Shows: "messages that come while a call is in flight go together in the next one, in their order", Run: backlogBecomesABatch},
		{ID: "A6", Shows: "a batch mixes messages of an ingress and of several functions, each with its own caller", Run: batchOfManyCallers},
		{
			ID: "A7", Shows: "maxNumBatchRequests 2, four messages, the first in flight: the address takes what came",
			Differs:  "maxNumBatchRequests holds back nothing but the size of the address's own batches. StateFun stops reading all ingresses of the task when one address has that backlog; here only the worker's read budget, in bytes, does.",
			Endpoint: []string{"maxNumBatchRequests: 2"}, Run: batchLimitIsNoBackPressure,
		},
		{
			ID: "A8", Shows: "when the call in flight is done, the backlog goes out, and what comes later is taken as before",
			Differs:  "the backlog goes out in batches of at most maxNumBatchRequests, so that a function can say how much it takes at once; StateFun sends all of it as one batch.",
			Endpoint: []string{"maxNumBatchRequests: 2"}, Run: backlogAfterTheCall,
		},
		{ID: "A9", Shows: "maxNumBatchRequests 0: no limit by count", Endpoint: []string{"maxNumBatchRequests: 0"}, Run: noBatchLimit},
		{
			ID: "A10", Shows: "a backlog of local sends larger than maxNumBatchRequests is sent in order",
			Differs:  "it is split into batches of at most maxNumBatchRequests (and of at most 768 KiB, because a Python function under aiohttp refuses a body over 1 MiB); StateFun never splits and has sent batches of thousands.",
			Endpoint: []string{"maxNumBatchRequests: 3"}, Run: localBacklogIsSplit,
		},
		{ID: "A11", Shows: "an answer without a result, also one of no bytes, is a success without effects", Run: emptyAnswers},
		{
			ID: "A12", Shows: "an answer to a call that is no longer in flight has no effect",
			Differs:  "it is dropped; StateFun fails the job with \"Got an unexpected async result\".",
			Endpoint: []string{"transport:", "  type: io.statefun.transports.v1/async", "  call: 300ms", "  connect: 200ms"}, Run: lateAnswer,
		},
		{
			ID: "A13", Shows: "the transport gives up on a call: state and backlog of the address are as they were",
			Differs:  "the address is parked with its inputs and tried again with growing pauses, in halves when they fail again together, others go on (or its inputs are dead-lettered or skipped, as the endpoint's onFailure says); StateFun restarts the whole job from the last checkpoint, again and again.",
			Endpoint: []string{"transport:", "  type: io.statefun.transports.v1/async", "  call: 300ms", "  connect: 200ms"}, Alone: true, Run: parkedAddress,
		},
		{
			ID: "A14", Shows: "the very first request of a function type",
			Differs: "nobody waits for it. StateFun's task stands still until the first request of each type is answered, to spare one round of asking for states per address.",
			Run:     firstRequestHoldsNobody,
		},
		{ID: "A15", Shows: "the request that follows the first state hand-shake holds nobody back", Run: handShakeHoldsNobody},
		{
			ID: "A16", Shows: "a function sends to itself while it has a backlog: the message stands behind the backlog",
			Differs: "it may be the last of the same batch, where StateFun sends the backlog first and the message with the batch after it. The order is the same.",
			Run:     selfSendBehindBacklog,
		},
		{ID: "A17", Shows: "a function sends to itself without a backlog: a new request, and the caller is the function itself", Run: selfSend},
		{ID: "A18", Shows: "two messages of one answer to one address arrive in their order", Run: orderWithinAnAnswer},
		{ID: "A19", Shows: "after a restart with a request in flight the same invocations are sent again, also when the function had done them", Alone: true, Run: inFlightIsSentAgain},
		{ID: "A20", Shows: "after a restart the first request carries no state, also when states were stored", Alone: true, Run: noStateAfterRestart},
		{
			ID: "A21", Shows: "2.2: after a restart with a request in flight the same invocations are sent with the same state",
			Differs: "the state is read anew and not from a stored request; it is the same, because nothing can change it while the request is in flight.",
			Alone:   true, Run: legacyRetryCarriesState,
		},
		{
			ID: "A22", Shows: "after a restart with a request in flight and a backlog, what was in flight comes first",
			Differs: "the backlog may go along in the same request, behind it; StateFun sends the batch that was in flight alone.",
			Alone:   true, Run: backlogAfterRestart,
		},
	}
}

func oneMessage(l *lab) {
	l.send("x", "one")
	c := l.called(1)[0]
	equal(l, "target", c.Target, address{l.ns, "f", "x"})
	equal(l, "arguments", c.arguments(), "one")
	equal(l, "states", len(c.States), 0)
}

func callerIsTheSender(l *lab) {
	l.answer("f", func(c call) reply { return result(message(l.fn("g"), "other", "hello")) })
	l.send("x", "one")
	c := l.calledFor("g", 1)[0]
	if c.Invocations[0].Caller == nil {
		l.Fatal("the message has no caller")
	}
	equal(l, "caller", *c.Invocations[0].Caller, address{l.ns, "f", "x"})
}

func ingressHasNoCaller(l *lab) {
	l.send("x", "one")
	if caller := l.called(1)[0].Invocations[0].Caller; caller != nil {
		l.Errorf("the caller is %v", caller)
	}
}

func argumentsUntouched(l *lab) {
	odd := `argument { typename: "some.where/over/the rainbow" has_value: false value: "\x00\xff\x80" }`
	l.answer("f", func(call) reply {
		return result("outgoing_messages { "+target(l.fn("g"), "x")+" "+odd+" }", "outgoing_messages { "+target(l.fn("g"), "x")+" argument { has_value: true } }",
			"outgoing_messages { "+target(l.fn("g"), "x")+" }")
	})
	binary := "\x00\x01\xfe\xff{}\n"
	l.send("x", binary)
	equal(l, "argument from the ingress", l.calledFor("f", 1)[0].Invocations[0].Argument, value{valueType, true, binary})
	got := gather(l, "g", 3)
	equal(l, "argument of a function", got[0].Argument, value{"some.where/over/the rainbow", false, "\x00\xff\x80"})
	equal(l, "argument without a value", got[1].Argument, value{"", true, ""})
	equal(l, "empty argument", got[2].Argument, value{})
}

// gather waits until calls of a function have brought n invocations, and returns them all in their order.
func gather(l *lab, name string, n int) []invocation {
	l.Helper()
	var all []invocation
	await(l.T, fmt.Sprintf("invocation %d of %s", n, l.fn(name)), func() (bool, <-chan struct{}) {
		calls, more := l.all()
		all = nil
		for _, c := range calls {
			if c.function == name {
				all = append(all, c.Invocations...)
			}
		}
		return len(all) >= n, more
	})
	return all
}

func backlogBecomesABatch(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.send("x", "one")
	l.called(1)
	l.send("x", "two", "three")
	l.arrived(3)
	g.release()
	equal(l, "second request", l.called(2)[1].arguments(), "two three")
}

func batchOfManyCallers(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.answer("a", func(call) reply {
		return result(message(l.f(), "x", "from-a"), message(l.fn("b"), "x", "your turn"))
	})
	l.answer("b", func(call) reply { return result(message(l.f(), "x", "from-b"), l.output("x", "b is done")) })
	l.answer("f", func(c call) reply {
		if c.Target.ID == "starter" {
			return result(message(l.fn("a"), "x", "your turn"))
		}
		g.pass(c)
		return done()
	})
	l.send("x", "one")
	l.called(1)
	l.send("x", "two")
	l.arrived(2)
	l.send("starter", "go")
	l.written(1) // so the messages of a and b, of one partition with their target, are there
	g.release()
	batch := lastOf(l, "x", 2)
	equal(l, "arguments", batch.arguments(), "two from-a from-b")
	for i, want := range []*address{nil, {l.ns, "a", "x"}, {l.ns, "b", "x"}} {
		got := batch.Invocations[i].Caller
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			l.Errorf("the caller of invocation %d is %v, want %v", i, got, want)
		}
	}
}

// lastOf waits for n calls of f for an id and returns the last.
func lastOf(l *lab, id string, n int) call {
	l.Helper()
	var of []call
	await(l.T, fmt.Sprintf("call %d of %s/%s", n, l.f(), id), func() (bool, <-chan struct{}) {
		all, more := l.all()
		of = nil
		for _, c := range all {
			if c.function == "f" && c.Target.ID == id {
				of = append(of, c)
			}
		}
		return len(of) >= n, more
	})
	return of[len(of)-1]
}

func batchLimitIsNoBackPressure(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.send("x", "1", "2", "3", "4")
	l.arrived(4) // all are read, though the backlog has reached the limit
	g.release()
	got := gather(l, "f", 4)
	equal(l, "invocations", len(got), 4)
	for _, c := range l.called(2) {
		if len(c.Invocations) > 2 {
			l.Errorf("a request has %d invocations", len(c.Invocations))
		}
	}
}

func backlogAfterTheCall(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.send("x", "1")
	l.called(1)
	l.send("x", "2", "3", "4")
	l.arrived(4)
	g.release()
	gather(l, "f", 4)
	l.send("x", "5")
	gather(l, "f", 5)
	equal(l, "requests", batches(l), "1 | 2 3 | 4 | 5")
}

// batches are the arguments of all calls so far.
func batches(l *lab) string {
	all, _ := l.all()
	var texts []string
	for _, c := range all {
		texts = append(texts, c.arguments())
	}
	return strings.Join(texts, " | ")
}

func noBatchLimit(l *lab) {
	g := l.hold("f", func(call) reply { return done() })
	l.send("x", "first")
	l.called(1)
	const n = 1500 // more than the default of 1000
	many := make([]string, n)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	l.send("x", many...)
	l.arrived(n + 1)
	g.release()
	equal(l, "second request", l.called(2)[1].arguments(), strings.Join(many, " "))
}

func localBacklogIsSplit(l *lab) {
	g := l.hold("g", func(call) reply { return done() })
	l.answer("f", func(c call) reply {
		var all []string
		for i := range 8 {
			all = append(all, message(l.fn("g"), "x", fmt.Sprint(i)))
		}
		return result(append(all, l.output("x", "sent"))...)
	})
	l.send("x", "go")
	l.calledFor("g", 1)
	l.written(1)
	g.release()
	got := gather(l, "g", 8)
	for i, one := range got {
		equal(l, "message", one.Argument.Bytes, fmt.Sprint(i))
	}
	for _, c := range l.calledFor("g", 3) {
		if len(c.Invocations) > 3 {
			l.Errorf("a request has %d invocations", len(c.Invocations))
		}
	}
}

func emptyAnswers(l *lab) {
	l.script(reply{}, result(), reply{body: []byte{0x08, 0x01}}, done())
	for i := range 4 {
		l.send("x", fmt.Sprint(i))
		equal(l, "request", l.called(i + 1)[i].arguments(), fmt.Sprint(i))
	}
}

func lateAnswer(l *lab) {
	late := newGate()
	l.Cleanup(late.release)
	var called atomic.Bool
	l.answer("f", func(c call) reply {
		if !called.Swap(true) {
			<-late.open // not even when the worker gives up
			return result(l.output("x", "late"))
		}
		return result(l.output("x", "second"))
	})
	l.send("x", "one")
	l.written(1)
	late.release()
	l.send("x", "two")
	for _, r := range l.written(2) {
		equal(l, "output", string(r.Value), "second")
	}
}

func parkedAddress(l *lab) {
	mended := newGate()
	l.answer("f", func(c call) reply {
		last := c.Invocations[len(c.Invocations)-1].Argument.Bytes
		switch {
		case c.state("count") == nil:
			return incomplete(spec("count", ""))
		case c.Target.ID == "bad" && last != "first" && !mended.released():
			return broken()
		}
		return result(set("count", last), l.output(c.Target.ID, c.arguments()+" after "+stored(c)))
	})
	l.start()
	l.send("bad", "first")
	l.written(1)
	l.send("bad", "second", "third")
	l.awaitMetric(1, "statefun_worker_parked_addresses")
	l.send("good", "hello")
	l.written(2)
	mended.release()
	const whole, halves = "first after nothing | second third after first", "first after nothing | second after first | third after second"
	await(l.T, "its outputs", func() (bool, <-chan struct{}) { // a batch that has failed more than once is halved
		written := keyed(l.written(3), "bad")
		return written == whole || written == halves, nil
	})
	equal(l, "output of another address", keyed(l.written(3), "good"), "hello after nothing")
	l.awaitMetric(0, "statefun_worker_parked_addresses")
}

// stored is the value of the state "count" that a request brings.
func stored(c call) string {
	if s := c.state("count"); s != nil && s.Value != nil {
		return s.Value.Bytes
	}
	return "nothing"
}

func firstRequestHoldsNobody(l *lab) {
	g := newGate()
	l.answer("f", func(c call) reply {
		if c.Target.ID == "slow" {
			g.pass(c)
		}
		return result(l.output(c.Target.ID, "done"))
	})
	l.Cleanup(g.release)
	l.send("slow", "one")
	l.called(1)
	l.send("quick", "two")
	equal(l, "first output", string(l.written(1)[0].Key), "quick")
	g.release()
	l.written(2)
}

func handShakeHoldsNobody(l *lab) {
	g := newGate()
	l.answer("f", func(c call) reply {
		switch {
		case c.state("count") == nil:
			return incomplete(spec("count", ""))
		case c.Target.ID == "slow":
			g.pass(c)
		}
		return result(l.output(c.Target.ID, "done"))
	})
	l.Cleanup(g.release)
	l.send("slow", "one")
	l.called(2)
	l.send("quick", "two")
	equal(l, "first output", string(l.written(1)[0].Key), "quick")
	g.release()
	l.written(2)
}

func selfSendBehindBacklog(l *lab) {
	first := newGate()
	l.Cleanup(first.release)
	l.answer("f", func(c call) reply {
		if c.arguments() != "1" {
			return done()
		}
		first.pass(c)
		return result(message(l.f(), "x", "self"))
	})
	l.send("x", "1")
	l.called(1)
	l.send("x", "2", "3")
	l.arrived(3)
	first.release()
	gather(l, "f", 4)
	equal(l, "order", strings.ReplaceAll(batches(l), " | ", " "), "1 2 3 self")
}

func selfSend(l *lab) {
	l.script(result(message(l.f(), "x", "again")), done())
	l.send("x", "one")
	c := l.called(2)[1]
	equal(l, "arguments", c.arguments(), "again")
	equal(l, "caller", *c.Invocations[0].Caller, address{l.ns, "f", "x"})
}

func orderWithinAnAnswer(l *lab) {
	const ids = 8
	l.answer("f", func(c call) reply {
		var all []string
		for i := range ids { // to both partitions
			all = append(all, message(l.fn("g"), fmt.Sprint(i), "m1"), message(l.fn("g"), fmt.Sprint(i), "m2"))
		}
		return result(all...)
	})
	l.send("x", "one")
	gather(l, "g", 2*ids)
	order := map[string]string{}
	for _, c := range l.calledFor("g", ids) {
		order[c.Target.ID] += c.arguments() + " "
	}
	for id, got := range order {
		equal(l, "order at "+id, got[:5], "m1 m2")
	}
}

func inFlightIsSentAgain(l *lab) {
	g := l.hold("f", func(call) reply { return result(l.output("x", "done")) })
	l.start()
	l.send("x", "one")
	l.called(1)
	l.restart()
	equal(l, "arguments of the second request", l.called(2)[1].arguments(), "one")
	g.release()
	equal(l, "outputs", len(l.written(1)), 1)
}

func noStateAfterRestart(l *lab) {
	g := newGate()
	l.Cleanup(g.release)
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			return incomplete(spec("count", ""))
		}
		if c.arguments() == "two" {
			g.pass(c)
		}
		return result(set("count", c.arguments()), l.output("x", "after "+stored(c)))
	})
	l.start()
	l.send("x", "one")
	l.written(1)
	l.send("x", "two")
	l.called(3)
	l.restart()
	again := l.called(5)
	equal(l, "states of the first request after the restart", len(again[3].States), 0)
	equal(l, "its arguments", again[3].arguments(), "two")
	equal(l, "state after the hand-shake", stored(again[4]), "one")
	g.release()
	equal(l, "outputs", keyed(l.written(2), "x"), "after nothing | after one")
}

func backlogAfterRestart(l *lab) {
	g := l.hold("f", func(c call) reply { return done() })
	l.start()
	l.send("x", "one")
	l.called(1)
	l.send("x", "two", "three")
	l.arrived(3)
	l.restart()
	g.release()
	gather(l, "f", 4)
	equal(l, "order", strings.ReplaceAll(batches(l), " | ", " "), "one one two three")
}

// atLeast sleeps so long that a clock of the worker has passed a time; only for what expires.
func atLeast(d time.Duration) { time.Sleep(d) }
