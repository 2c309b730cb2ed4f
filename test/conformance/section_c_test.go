package conformance

import (
	"strings"
	"time"
)

func sectionC() []Case {
	return []Case{
		{ID: "C1", Shows: "an egress message goes out through the egress it names, its bytes unchanged", Run: egressIsWritten},
		{ID: "C2", Shows: "an egress message for an egress that the module lacks", Differs: refusal, Endpoint: deadLetterPolicy, Run: unknownEgress},
		{ID: "C3", Shows: "a message to a function that no endpoint serves", Differs: refusal, Endpoint: deadLetterPolicy, Run: unknownTarget},
		{
			ID: "C4", Shows: "an answer with a message, a delayed message, an egress record and an invalid mutation has no effect at all",
			Differs:  refusal + " And its egress record is never visible, where StateFun's at-least-once egress may have written it already.",
			Endpoint: deadLetterPolicy, Run: refusedAsAWhole,
		},
		{ID: "C5", Shows: "a message delayed by 1 ms arrives", Run: shortDelay},
		{ID: "C6", Shows: "a message delayed with a token arrives", Run: delayWithToken},
		{ID: "C7", Shows: "a cancellation takes back the message of its token; its target, argument and delay are not looked at", Run: cancellation},
		{ID: "C8", Shows: "a cancellation without a token", Differs: refusal, Endpoint: deadLetterPolicy, Run: cancellationWithoutToken},
		{ID: "C9", Shows: "a token that was never used, has fired or was cancelled is cancelled: nothing happens", Run: cancelNothing},
		{ID: "C10", Shows: "a delayed message with a token that is in use", Differs: refusal, Endpoint: deadLetterPolicy, Run: tokenInUse},
		{ID: "C11", Shows: "one answer sends with a token, cancels it, sends with it: the second message is left", Run: tokenTwiceInOneAnswer},
		{ID: "C12", Shows: "two functions with the same id use one token: they share it", Differs: refusal, Endpoint: deadLetterPolicy, Run: tokenOfTwoFunctions},
		{ID: "C13", Shows: "another id cancels a token: the message arrives all the same", Run: tokenOfAnotherID},
		{ID: "C14", Shows: "a token is free again when its message has arrived", Run: tokenUsedAgain},
		{ID: "C15", Shows: "of two messages for the same millisecond one is cancelled: the other arrives", Run: cancelOneOfTwo},
		{ID: "C16", Shows: "a delay of 0 goes through a timer: the message comes after those sent at once", Run: noDelay},
		{ID: "C17", Shows: "a negative delay", Differs: refusal, Endpoint: deadLetterPolicy, Run: negativeDelay},
		{ID: "C18", Shows: "the process was down when a delayed message was due: it arrives after the restart, once", Alone: true, Run: overdueAfterRestart},
		{ID: "C19", Shows: "a delayed message has its sender as caller", Run: callerOfDelayed},
		{
			ID: "C20", Shows: "a delayed message to a function that no endpoint serves",
			Differs:  "it is refused when it is sent, with the answer, where the sender can still be found. StateFun takes it and fails the job when it is due.",
			Endpoint: deadLetterPolicy, Run: delayedToUnknown,
		},
		{
			ID: "C21", Shows: "a message with a token is cancelled by a later answer: it does not arrive",
			Differs: "StateFun 3.1 drops the token and delivers the message (its bug, mended in 3.2); here the token counts.", Run: cancelledLater,
		},
	}
}

func egressIsWritten(l *lab) {
	l.answer("f", func(call) reply { return result(l.output("key", "\x00\xffbytes")) })
	l.send("x", "one")
	r := l.written(1)[0]
	equal(l, "key", string(r.Key), "key")
	equal(l, "value", string(r.Value), "\x00\xffbytes")
}

func unknownEgress(l *lab) {
	refusedWith(l, l.ns+"/nowhere", nothingFirst,
		result(l.output("bad", "effect"), egressMessage(l.ns, "nowhere", recordType, record(l.out(), "bad", "effect"))))
}

func unknownTarget(l *lab) {
	refusedWith(l, "no endpoint of the module serves this function", nothingFirst,
		result(l.output("bad", "effect"), message("nobody/home", "x", "hello")))
}

func refusedAsAWhole(l *lab) {
	refusedWith(l, `state "D" of `+l.f()+" is not registered", countFirst,
		result(message(l.fn("g"), "bad", "A"), delayed(1, "", l.fn("g"), "bad", "B"), l.output("bad", "C"), set("count", "x"), set("D", "x")))
	l.answer("f", func(call) reply {
		return result(message(l.fn("g"), "bad", "last"), delayed(50, "", l.fn("g"), "bad", "very last"))
	})
	l.send("bad", "again")
	last := l.calledFor("g", 2)
	equal(l, "first message", last[0].arguments(), "last")
	equal(l, "second message", last[1].arguments(), "very last")
	for _, c := range l.called(1) {
		if s := c.state("count"); s != nil && s.Value != nil {
			l.Errorf("the refused answer has written %q", s.Value.Bytes)
		}
	}
}

func shortDelay(l *lab) {
	l.answer("f", func(call) reply { return result(delayed(1, "", l.fn("g"), "x", "later")) })
	l.send("x", "one")
	equal(l, "message", l.calledFor("g", 1)[0].arguments(), "later")
}

func delayWithToken(l *lab) {
	l.answer("f", func(call) reply { return result(delayed(200, l.ns, l.fn("g"), "x", "later")) })
	l.send("x", "one")
	sent := l.calledFor("f", 1)[0].at
	got := l.calledFor("g", 1)[0]
	equal(l, "message", got.arguments(), "later")
	if waited := got.at.Sub(sent); waited < 200*time.Millisecond {
		l.Errorf("it was sent after %v", waited)
	}
}

// A token belongs to an id, whatever the function, and the cases share an application and ids: so each case's token is
// its namespace.

// obeying makes f do for each input what the case says of it; inputs that are not among them do nothing.
func obeying(l *lab, orders map[string][]string) {
	l.answer("f", func(c call) reply {
		var all []string
		for _, i := range c.Invocations {
			all = append(all, orders[i.Argument.Bytes]...)
			all = append(all, l.output(c.Target.ID, i.Argument.Bytes))
		}
		return result(all...)
	})
}

// fired waits for the last of the messages that g is to get, and returns all, blanks between them.
func fired(l *lab, last string) string {
	l.Helper()
	var all []string
	await(l.T, last+" to arrive", func() (bool, <-chan struct{}) {
		calls, more := l.all()
		all = nil
		for _, c := range calls {
			if c.function == "g" {
				all = append(all, c.arguments())
			}
		}
		return strings.Contains(" "+strings.Join(all, " ")+" ", " "+last+" "), more
	})
	return strings.Join(all, " ")
}

func cancellation(l *lab) {
	obeying(l, map[string][]string{
		"send": {delayed(1500, l.ns, l.fn("g"), "x", "cancelled"), delayed(1700, "", l.fn("g"), "x", "kept")},
		"cancel": {"delayed_invocations { is_cancellation_request: true cancellation_token: \"" + l.ns + "\" delay_in_ms: -7 " +
			target("nobody/home", "y") + argument(valueType, "x") + " }"},
	})
	l.send("x", "send", "cancel")
	equal(l, "arrived", fired(l, "kept"), "kept")
}

func cancellationWithoutToken(l *lab) {
	refusedWith(l, "token", nothingFirst, result(l.output("bad", "effect"), cancel("")))
}

func cancelNothing(l *lab) {
	obeying(l, map[string][]string{
		"never used": {cancel("never")},
		"send":       {delayed(1, "fired", l.fn("g"), "x", "first"), delayed(60_000, "gone", l.fn("g"), "x", "gone"), cancel("gone")},
		"cancel":     {cancel("fired"), cancel("gone"), delayed(1, "", l.fn("g"), "x", "second")},
	})
	l.send("x", "never used", "send")
	fired(l, "first")
	l.send("x", "cancel")
	equal(l, "arrived", fired(l, "second"), "first second")
	equal(l, "outputs", len(l.written(3)), 3)
}

func tokenInUse(l *lab) {
	l.answer("g", func(call) reply { return done() })
	l.answer("f", func(call) reply {
		return result(delayed(600_000, l.ns, l.fn("g"), "x", "first"), l.output("before", "sent"))
	})
	l.send("bad", "one")
	l.written(1)
	refusedWith(l, `cancellation token "`+l.ns+`" is in use`, nothingFirst,
		result(l.output("bad", "effect"), delayed(1, l.ns, l.fn("g"), "x", "second")))
}

func tokenTwiceInOneAnswer(l *lab) {
	obeying(l, map[string][]string{"go": {
		delayed(100, l.ns, l.fn("g"), "x", "first"), cancel(l.ns), delayed(200, l.ns, l.fn("g"), "x", "second"), delayed(300, "", l.fn("g"), "x", "end"),
	}})
	l.send("x", "go")
	equal(l, "arrived", fired(l, "end"), "second end")
}

func tokenOfTwoFunctions(l *lab) {
	l.answer("f", func(c call) reply {
		return result(delayed(600_000, l.ns, l.fn("h"), "x", "first"), message(l.fn("g"), c.Target.ID, "now you"))
	})
	l.answer("g", func(c call) reply {
		return result(delayed(1, l.ns, l.fn("h"), "x", "second"), l.output(c.Target.ID, "effect"))
	})
	l.send("1", "go")
	letter := l.deadLetters(1)[0]
	l.says(header(letter, "statefun.dead-letter/detail"), `cancellation token "`+l.ns+`" is in use`)
	equal(l, "address", header(letter, "statefun.dead-letter/address"), l.fn("g")+"/1")
	equal(l, "outputs", len(l.written(0)), 0)
}

func tokenOfAnotherID(l *lab) {
	obeying(l, map[string][]string{"send": {delayed(500, l.ns, l.fn("g"), "x", "kept")}, "cancel": {cancel(l.ns)}})
	l.send("1", "send")
	l.written(1)
	l.send("2", "cancel")
	l.written(2)
	equal(l, "arrived", fired(l, "kept"), "kept")
}

func tokenUsedAgain(l *lab) {
	obeying(l, map[string][]string{
		"send": {delayed(1, l.ns, l.fn("g"), "x", "first")}, "again": {delayed(1, l.ns, l.fn("g"), "x", "second")},
	})
	l.send("x", "send")
	fired(l, "first")
	l.send("x", "again")
	equal(l, "arrived", fired(l, "second"), "first second")
}

func cancelOneOfTwo(l *lab) {
	obeying(l, map[string][]string{
		"send":   {delayed(1500, "a", l.fn("g"), "x", "first"), delayed(1500, "b", l.fn("g"), "x", "second")},
		"cancel": {cancel("a")},
	})
	l.send("x", "send", "cancel")
	equal(l, "arrived", fired(l, "second"), "second")
}

func noDelay(l *lab) {
	obeying(l, map[string][]string{"go": {delayed(0, "", l.fn("g"), "x", "later"), message(l.fn("g"), "x", "at-once")}})
	l.send("x", "go")
	equal(l, "arrived", fired(l, "later"), "at-once later")
}

func negativeDelay(l *lab) {
	refusedWith(l, "delay", nothingFirst, result(l.output("bad", "effect"), delayed(-1, "", l.fn("g"), "x", "never")))
}

func overdueAfterRestart(l *lab) {
	obeying(l, map[string][]string{"send": {delayed(2000, "", l.fn("g"), "x", "due"), delayed(4500, "", l.fn("g"), "x", "end")}})
	l.start()
	l.send("x", "send")
	sent := l.written(1)[0].Timestamp
	l.worker.kill()
	atLeast(time.Until(sent.Add(2500 * time.Millisecond)))
	equal(l, "calls of g before the restart", len(l.calledFor("g", 0)), 0)
	if err := l.worker.start(); err != nil {
		l.Fatal(err)
	}
	equal(l, "arrived", fired(l, "end"), "due end")
}

func callerOfDelayed(l *lab) {
	l.answer("f", func(call) reply { return result(delayed(1, "", l.fn("g"), "other", "later")) })
	l.send("x", "one")
	equal(l, "caller", *l.calledFor("g", 1)[0].Invocations[0].Caller, address{l.ns, "f", "x"})
}

func delayedToUnknown(l *lab) {
	refusedWith(l, "delayed message to nobody/home/x: no endpoint of the module serves this function", nothingFirst,
		result(l.output("bad", "effect"), delayed(60_000, "", "nobody/home", "x", "hello")))
}

// cancelledLater waits for the first answer to be committed, so the cancellation is an answer, a call and a read later. When a
// machine is so busy that the message was due before, nothing is shown, and it is done again with twice the time.
func cancelledLater(l *lab) {
	for wait := 1500 * time.Millisecond; ; wait *= 2 {
		id := wait.String()
		obeying(l, map[string][]string{
			"send":   {delayed(wait.Milliseconds(), l.ns, l.fn("g"), id, "cancelled"), delayed(wait.Milliseconds()+200, "", l.fn("g"), id, "end-"+id)},
			"cancel": {cancel(l.ns)},
		})
		l.send(id, "send")
		sent := lastOf(l, id, 1).at
		outputs := func() string { return keyed(l.written(0), id) }
		await(l.T, "the message to be committed", func() (bool, <-chan struct{}) { return outputs() == "send", nil })
		l.send(id, "cancel")
		cancelled := lastOf(l, id, 2).at
		arrived := fired(l, "end-"+id)
		if took := cancelled.Sub(sent); took > wait-200*time.Millisecond && wait < 10*time.Second {
			l.Logf("the cancellation came %v after a message with a delay of %v: once more", took, wait)
			continue
		}
		if strings.Contains(arrived, "cancelled end-"+id) {
			l.Errorf("arrived: %s", arrived)
		}
		equal(l, "outputs", outputs(), "send | cancel")
		return
	}
}
