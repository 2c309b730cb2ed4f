package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// deadLetterPolicy ends the inputs of an answer that is refused, so that a case need not wait for a parked address.
var deadLetterPolicy = []string{"onFailure: dead-letter"}

// refusal is what differs wherever StateFun fails the job because of an answer.
const refusal = "the answer is refused as a whole, and the endpoint's failure policy decides about that address alone. StateFun restarts the job, again and again."

// suiteOfSDKs shows what only a StateFun SDK does.
const suiteOfSDKs = "test/sdks"

func sectionB() []Case {
	return []Case{
		{ID: "B1", Shows: "no states known: the request has none", Run: noStates},
		{ID: "B2", Shows: "a state that was never written is attached by its name, without a value", Run: neverWritten},
		{ID: "B3", Shows: "a state that was written and deleted is attached like one never written", Run: writtenAndDeleted},
		{ID: "B4", Shows: "two states are both attached with their types and values", Run: twoStates},
		{ID: "B5", Shows: "a state is written: the next request has its bytes", Run: stateIsWritten},
		{ID: "B6", Shows: "a state written with no bytes is present and empty", Run: emptyState},
		{ID: "B7", Shows: "a state written with has_value false is stored anyway", Run: stateWithoutHasValue},
		{ID: "B8", Shows: "a state that was not asked for is written or deleted", Differs: refusal, Endpoint: deadLetterPolicy, Run: unregisteredState},
		{ID: "B9", Shows: "a state is written with another type than it was asked for with", Differs: refusal, Endpoint: deadLetterPolicy, Run: mistypedWrite},
		{ID: "B10", Shows: "a state is deleted under another type, or none: it is deleted", Run: mistypedDelete},
		{ID: "B11", Shows: "a mutation of an unknown kind", Differs: refusal + " (StateFun 2.2 ignores the mutation.)", Endpoint: deadLetterPolicy, Run: unknownMutation},
		{ID: "B12", Shows: "of several mutations of a state in one answer the last one counts", Run: lastMutationCounts},
		{ID: "B13", Shows: "a new state is asked for while another is known: the same invocation is sent with both", Run: secondState},
		{ID: "B14", Shows: "a known state is asked for again: nothing changes, its value is kept", Run: askedForAgain},
		{ID: "B15", Shows: "a known state is asked for with another type", Differs: refusal, Endpoint: deadLetterPolicy, Run: askedForWithOtherType},
		{ID: "B16", Shows: "a known state is asked for with another expiration: the old one holds until the restart", Alone: true, Run: otherExpiration},
		{ID: "B17", Shows: "a function asks for states and names none: the same request again", Run: asksForNothing},
		{
			ID: "B18", Shows: "a function asks for states for ever",
			Differs:  "after 3 rounds without a new state, or 100 in all, the answer counts as refused; StateFun asks on without end.",
			Endpoint: deadLetterPolicy, Run: asksForEver,
		},
		{ID: "B19", Shows: "a function asks for states while messages wait: they go on waiting in their order, one request is in flight", Run: asksWhileOthersWait},
		{
			ID: "B20", Shows: "after the hand-shake the first request of another address has the states already",
			Differs: "what is known is known to the whole worker; in StateFun to one task of it.", Run: knownForTheType,
		},
		{ID: "B21", Shows: "a state without a type is asked for and written without one", Run: untypedState},
		{ID: "B22", Shows: "a state is asked for under a type that is none (a/b/c, ab, a//b)", Differs: refusal, Endpoint: deadLetterPolicy, Run: badTypenames},
		{ID: "B23", Shows: "a request carries states that the function does not declare: the SDK passes over them", By: suiteOfSDKs, Run: undeclaredStates},
		{ID: "B24", Shows: "a request lacks two of three states: the SDK asks for the two and does not call the function", By: suiteOfSDKs, Run: lackingStates},
		{ID: "B25", Shows: "a state that is there without a value counts as there", By: suiteOfSDKs, Run: statePresentWithoutValue},
		{ID: "B26", Shows: "a batch of three invocations that each count up: one mutation by three", By: suiteOfSDKs, Run: oneMutationPerBatch},
		{ID: "B27", Shows: "a state that expires after writing is asked for with that expiration, and expires", By: suiteOfSDKs, Run: expirationFromSDK},
		{ID: "B28", Shows: "a state that expires after invoking lives on when the function is invoked without writing it", Run: invokingRenews},
		{ID: "B29", Shows: "a state that expires after writing expires although the function is invoked", Run: invokingDoesNotRenew},
		{ID: "B30", Shows: "an expired state is attached by its name only", Run: expiredState},
		{ID: "B31", Shows: "two functions with the same id have states of their own", Run: stateOfTwoTypes},
		{
			ID: "B32", Shows: "the type of a state was changed in the function, after a restart",
			Differs: "the call is not made and the address goes by the endpoint's failure policy; the reason is `state-type` and names the stored and the declared type. StateFun fails the job.",
			Alone:   true, Endpoint: deadLetterPolicy, Run: retypedState,
		},
		{
			ID: "B33", Shows: "one name is registered as two things",
			Differs:  "tables and buffers belong to functions embedded in the JVM, which are not run here; what is left, one name with two types in one answer, is refused.",
			Endpoint: deadLetterPolicy, Run: oneNameTwoTypes,
		},
	}
}

// remembering answers for a state "count": it asks for it, and then does what the last argument of the call says:
// "=text" writes it, "-" deletes it, anything else leaves it. Each call writes what it found to the egress.
func remembering(l *lab, expiry string) func(call) reply {
	return func(c call) reply {
		s := c.state("count")
		if s == nil {
			return incomplete(spec("count", expiry))
		}
		found := "absent"
		if s.Value != nil {
			found = "[" + s.Value.Bytes + "]"
		}
		effects := []string{l.output(c.Target.ID, found)}
		last := c.Invocations[len(c.Invocations)-1].Argument.Bytes
		if text, is := strings.CutPrefix(last, "="); is {
			effects = append(effects, set("count", text))
		}
		if last == "-" {
			effects = append(effects, remove("count"))
		}
		return result(effects...)
	}
}

// tell sends inputs to an id one after the other and returns what each found.
func tell(l *lab, id string, inputs ...string) string {
	l.Helper()
	for _, input := range inputs {
		n := len(l.written(0)) + 1
		l.send(id, input)
		l.written(n)
	}
	return keyed(l.written(0), id)
}

func noStates(l *lab) {
	l.send("x", "one")
	equal(l, "states", len(l.called(1)[0].States), 0)
}

func neverWritten(l *lab) {
	l.answer("f", remembering(l, ""))
	l.send("x", "look")
	s := l.called(2)[1].state("count")
	if s == nil || s.Value != nil || len(l.called(2)[1].States) != 1 {
		l.Errorf("the states are %v", l.called(2)[1].States)
	}
}

func writtenAndDeleted(l *lab) {
	l.answer("f", remembering(l, ""))
	equal(l, "found", tell(l, "x", "=text", "-", "look"), "absent | [text] | absent")
}

func twoStates(l *lab) {
	l.answer("f", func(c call) reply {
		if c.state("a") == nil {
			return incomplete(spec("a", ""), specOf("b", "io.statefun.types/long", ""))
		}
		return result(set("a", "first"), setOf("b", "io.statefun.types/long", "\x09\x01\x00\x00\x00\x00\x00\x00\x00"))
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	c := l.called(3)[2]
	equal(l, "states", len(c.States), 2)
	equal(l, "state a", *c.state("a").Value, value{valueType, true, "first"})
	equal(l, "state b", *c.state("b").Value, value{"io.statefun.types/long", true, "\x09\x01\x00\x00\x00\x00\x00\x00\x00"})
}

func stateIsWritten(l *lab) {
	l.answer("f", remembering(l, ""))
	equal(l, "found", tell(l, "x", "=hello", "look"), "absent | [hello]")
}

func emptyState(l *lab) {
	l.answer("f", remembering(l, ""))
	equal(l, "found", tell(l, "x", "=", "look"), "absent | []")
	c := l.called(3)[2]
	equal(l, "value", *c.state("count").Value, value{valueType, true, ""})
}

func stateWithoutHasValue(l *lab) {
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			return incomplete(spec("count", ""))
		}
		return result(`state_mutations { mutation_type: MODIFY state_name: "count" state_value { typename: "` + valueType + `" value: "kept" } }`)
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	equal(l, "value", *l.called(3)[2].state("count").Value, value{valueType, true, "kept"})
}

// refusedWith sends an input for each bad answer to the id "bad", each after the other, and one to another id: each bad
// input must go to the dead-letter topic with a reason that says it, without any effect, and the other must be done.
func refusedWith(l *lab, says string, prepare func(call) (reply, bool), bad ...reply) {
	l.Helper()
	var next atomic.Int32
	l.answer("f", func(c call) reply {
		if first, is := prepare(c); is {
			return first
		}
		if c.Target.ID == "good" {
			return result(l.output("good", "done"))
		}
		return bad[next.Add(1)-1]
	})
	for i := range bad {
		l.send("bad", fmt.Sprint(i))
		letter := l.deadLetters(i + 1)[i]
		equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "refused")
		l.says(header(letter, "statefun.dead-letter/detail"), says)
		equal(l, "address", header(letter, "statefun.dead-letter/address"), l.f()+"/bad")
	}
	l.send("good", "hello")
	await(l.T, "the output of another address", func() (bool, <-chan struct{}) {
		all, more := l.bench.out.of(l.out())
		return keyed(all, "good") == "done", more
	})
	equal(l, "outputs of refused answers", keyed(l.written(0), "bad"), "")
}

// nothingFirst is for functions that ask for no state.
func nothingFirst(call) (reply, bool) { return reply{}, false }

// countFirst asks for the state "count" first.
func countFirst(c call) (reply, bool) {
	return incomplete(spec("count", "")), c.state("count") == nil
}

func unregisteredState(l *lab) {
	refusedWith(l, `state "other"`, countFirst,
		result(l.output("bad", "effect"), set("count", "effect"), set("other", "x")),
		result(l.output("bad", "effect"), remove("other")))
	l.send("bad2", "look")
	for _, c := range l.called(1) {
		if s := c.state("count"); s != nil && s.Value != nil {
			l.Errorf("a refused answer has written %q", s.Value.Bytes)
		}
	}
}

func mistypedWrite(l *lab) {
	refusedWith(l, "is of type "+valueType, countFirst, result(l.output("bad", "effect"), setOf("count", "some/other", "x")))
}

func mistypedDelete(l *lab) {
	l.answer("f", func(c call) reply {
		s := c.state("count")
		switch {
		case s == nil:
			return incomplete(spec("count", ""))
		case s.Value == nil:
			return result(set("count", "there"), l.output("x", "absent"))
		case c.arguments() == "2":
			return result(`state_mutations { state_name: "count" state_value { typename: "some/other" } }`, l.output("x", "there"))
		}
		return result(remove("count"), l.output("x", "there"))
	})
	equal(l, "found", tell(l, "x", "1", "2", "3", "4", "5"), "absent | there | absent | there | absent")
}

func unknownMutation(l *lab) {
	refusedWith(l, "mutation type 7", countFirst,
		result(l.output("bad", "effect"), `state_mutations { mutation_type: 7 state_name: "count" state_value { typename: "`+valueType+`" value: "x" } }`))
}

func lastMutationCounts(l *lab) {
	l.answer("f", func(c call) reply {
		s := c.state("count")
		if s == nil {
			return incomplete(spec("count", ""))
		}
		found := "absent"
		if s.Value != nil {
			found = s.Value.Bytes
		}
		if c.arguments() == "delete last" {
			return result(set("count", "4"), remove("count"), l.output("x", found))
		}
		return result(set("count", "1"), remove("count"), set("count", "2"), set("count", "3"), l.output("x", found))
	})
	equal(l, "found", tell(l, "x", "write last", "delete last", "look"), "absent | 3 | absent")
}

func secondState(l *lab) {
	l.answer("f", func(c call) reply {
		switch {
		case c.state("session") == nil:
			return incomplete(spec("session", ""))
		case c.arguments() == "two" && c.state("new-state") == nil:
			return incomplete(spec("new-state", "AFTER_INVOKE 5000"))
		}
		return result(set("session", "hello"))
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	c := l.called(4)[3]
	equal(l, "arguments", c.arguments(), "two")
	equal(l, "states", len(c.States), 2)
	equal(l, "value of the first", c.state("session").Value.Bytes, "hello")
	if s := c.state("new-state"); s == nil || s.Value != nil {
		l.Errorf("the new state is %v", s)
	}
}

func askedForAgain(l *lab) {
	var asked atomic.Bool
	l.answer("f", func(c call) reply {
		switch {
		case c.state("count") == nil:
			return incomplete(spec("count", ""))
		case c.arguments() == "two" && !asked.Swap(true):
			return incomplete(spec("count", ""))
		}
		return result(set("count", "kept"))
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	c := l.called(4)[3]
	equal(l, "arguments", c.arguments(), "two")
	equal(l, "value", c.state("count").Value.Bytes, "kept")
}

func askedForWithOtherType(l *lab) {
	refusedWith(l, "is registered with type "+valueType, countFirst, incomplete(specOf("count", "some/other", "")))
}

func otherExpiration(l *lab) {
	var changed atomic.Bool
	l.answer("f", func(c call) reply {
		if c.arguments() == "shorter" && !changed.Swap(true) {
			return incomplete(spec("count", "AFTER_WRITE 500"))
		}
		if changed.Load() {
			return remembering(l, "AFTER_WRITE 500")(c)
		}
		return remembering(l, "AFTER_WRITE 600000")(c)
	})
	l.start()
	tell(l, "x", "=one", "shorter", "=two")
	atLeast(700 * time.Millisecond)
	equal(l, "found with the old expiration", tell(l, "x", "look"), "absent | [one] | [one] | [two]")
	l.restart()
	tell(l, "x", "=three")
	atLeast(700 * time.Millisecond)
	equal(l, "found with the new expiration", tell(l, "x", "look"), "absent | [one] | [one] | [two] | [two] | absent")
}

func asksForNothing(l *lab) {
	l.script(incomplete(), done())
	l.send("x", "one")
	again := l.called(2)
	equal(l, "second request", string(again[1].body), string(again[0].body))
}

func asksForEver(l *lab) {
	refusedWith(l, "keeps asking for states", func(c call) (reply, bool) {
		return incomplete(spec("count", "")), c.Target.ID == "bad"
	}, reply{})
}

func asksWhileOthersWait(l *lab) {
	g := newGate()
	l.Cleanup(g.release)
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			g.pass(c)
			return incomplete(spec("count", ""))
		}
		return done()
	})
	l.send("x", "1")
	l.called(1)
	l.send("x", "2", "3", "4")
	l.arrived(4)
	g.release()
	gather(l, "f", 5)
	equal(l, "requests", batches(l), "1 | 1 | 2 3 4")
}

func knownForTheType(l *lab) {
	l.answer("f", remembering(l, ""))
	tell(l, "x", "look", "look")
	l.send("other", "look")
	c := lastOf(l, "other", 1)
	if c.state("count") == nil {
		l.Error("the first request of another address does not have the state")
	}
}

func untypedState(l *lab) {
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			return incomplete(specOf("count", "", ""))
		}
		return result(setOf("count", "", "kept"))
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	equal(l, "value", *l.called(3)[2].state("count").Value, value{"io.statefun.types/unset", true, "kept"})
}

func badTypenames(l *lab) {
	refusedWith(l, "missing value", nothingFirst, incomplete(specOf("s", "a/b/c", "")), incomplete(specOf("s", "ab", "")), incomplete(specOf("s", "a//b", "")))
}

func invokingRenews(l *lab) {
	l.answer("f", remembering(l, "AFTER_INVOKE 3000"))
	tell(l, "x", "=kept")
	for range 2 {
		atLeast(1800 * time.Millisecond)
		tell(l, "x", "look")
	}
	equal(l, "found", tell(l, "x"), "absent | [kept] | [kept]")
	atLeast(3100 * time.Millisecond)
	equal(l, "found after a pause", tell(l, "x", "look"), "absent | [kept] | [kept] | absent")
}

func invokingDoesNotRenew(l *lab) {
	l.answer("f", remembering(l, "AFTER_WRITE 3000"))
	tell(l, "x", "=kept")
	atLeast(1800 * time.Millisecond)
	tell(l, "x", "look")
	atLeast(1300 * time.Millisecond)
	equal(l, "found", tell(l, "x", "look"), "absent | [kept] | absent")
}

func expiredState(l *lab) {
	l.answer("f", remembering(l, "AFTER_WRITE 300"))
	tell(l, "x", "=kept")
	atLeast(350 * time.Millisecond)
	l.send("x", "look")
	c := l.called(3)[2]
	if s := c.state("count"); s == nil || s.Value != nil {
		l.Errorf("the states are %v", c.States)
	}
}

func stateOfTwoTypes(l *lab) {
	answer := func(c call) reply {
		if c.state("count") == nil {
			return incomplete(spec("count", ""))
		}
		return result(set("count", "of "+c.function), l.output(c.function, stored(c)), message(l.fn("g"), c.Target.ID, "go"))
	}
	l.answer("f", answer)
	l.answer("g", func(c call) reply {
		if c.state("count") == nil {
			return answer(c)
		}
		return result(set("count", "of g"), l.output("g", stored(c)))
	})
	l.send("x", "one")
	l.written(2)
	l.send("x", "two")
	equal(l, "f", keyed(l.written(4), "f"), "nothing | of f")
	equal(l, "g", keyed(l.written(4), "g"), "nothing | of g")
}

func retypedState(l *lab) {
	var changed atomic.Bool
	l.answer("f", func(c call) reply {
		typename := valueType
		if changed.Load() {
			typename = "some/other"
		}
		if c.state("count") == nil {
			return incomplete(specOf("count", typename, ""))
		}
		return result(setOf("count", typename, "x"), l.output(c.Target.ID, "done"))
	})
	l.start()
	l.send("old", "one")
	l.written(1)
	l.restart()
	changed.Store(true)
	l.send("old", "two")
	letter := l.deadLetters(1)[0]
	equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "state-type")
	l.says(header(letter, "statefun.dead-letter/detail"), valueType, "some/other", `state "count"`)
	l.send("new", "three") // an address without a stored value goes on with the new type
	equal(l, "outputs", keyed(l.written(2), "new"), "done")
}

func oneNameTwoTypes(l *lab) {
	refusedWith(l, "is registered with type "+valueType, nothingFirst, incomplete(spec("s", ""), specOf("s", "some/other", "")))
}
