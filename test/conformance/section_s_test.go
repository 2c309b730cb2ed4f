package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// migration is what differs wherever a declaration of a state changes.
const migration = "StateFun fails at the restart (a state migration that Flink does not do)."

func sectionS() []Case {
	return []Case{
		{ID: "S1", Shows: "a function has 200 states: each is attached, each keeps its value", Run: manyStates},
		{
			ID: "S2", Shows: "a value of 600 kB is kept; one larger than a record of the changelog may be is refused, and the reason names both sizes",
			Differs: "the limit is max.message.bytes of the changelog topic (1 MiB unless an ingress has larger records); StateFun has none but memory.", Endpoint: deadLetterPolicy, Run: largeValues,
		},
		{ID: "S3", Shows: "a function asks for a new state at run time: addresses that exist get it with the next request", Run: stateAddedAtRunTime},
		{ID: "S4", Shows: "a function drops a state and takes it up again after restarts: the value is still there", Alone: true, Run: stateDropped},
		{ID: "S5", Shows: "a state gets an expiration that had none: what is stored expires after the next write", Differs: migration, Alone: true, Run: expirationTurnedOn},
		{ID: "S6", Shows: "a state loses its expiration: what is stored stays", Differs: migration, Alone: true, Run: expirationTurnedOff},
		{ID: "S7", Shows: "a state expires while no worker runs", Alone: true, Run: expiresWhileDown},
		{ID: "S8", Shows: "states may have any name, also those that StateFun uses itself (batch, request-state) or with odd letters", Run: oddStateNames},
		{ID: "S9", Shows: "an expiration of 0 ms", Differs: refusal, Endpoint: deadLetterPolicy, Run: expirationOfNothing},
		{ID: "S10", Shows: "one state of several has an expiration: the others stay", Run: mixedExpirations},
		{
			ID: "S11", Shows: "a function moves from a 2.2 to a 3.x endpoint: its state is there where the bytes mean the same, else the call is not made and the type is named",
			Alone: true, Endpoint: deadLetterPolicy, Run: stateMovesUp,
		},
	}
}

func manyStates(l *lab) {
	const n = 200
	name := func(i int) string { return fmt.Sprintf("state-%03d", i) }
	l.answer("f", func(c call) reply {
		var missing, writes []string
		for i := range n {
			if c.state(name(i)) == nil {
				missing = append(missing, spec(name(i), ""))
			}
			writes = append(writes, set(name(i), fmt.Sprint(i)))
		}
		if missing != nil {
			return incomplete(missing...)
		}
		return result(writes...)
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	c := l.called(3)[2]
	equal(l, "states", len(c.States), n)
	for i := range n {
		if s := c.state(name(i)); s == nil || s.Value == nil || s.Value.Bytes != fmt.Sprint(i) {
			l.Errorf("%s is %v", name(i), s)
		}
	}
}

func largeValues(l *lab) {
	large := strings.Repeat("v", 600_000)
	answer := remembering(l, "")
	l.answer("f", func(c call) reply {
		switch {
		case c.state("count") == nil || c.arguments() == "look":
			return answer(c)
		case c.arguments() == "too large":
			return result(set("count", strings.Repeat("w", 3_000_000)))
		}
		return result(set("count", large), l.output("x", "written"))
	})
	l.send("x", "write")
	l.written(1)
	l.send("x", "too large")
	letter := l.deadLetters(1)[0]
	l.says(header(letter, "statefun.dead-letter/detail"), `state "count" has 3000000 bytes`, "the changelog takes")
	l.send("x", "look")
	equal(l, "found", string(l.written(2)[1].Value), "["+large+"]")
}

func stateAddedAtRunTime(l *lab) {
	l.answer("f", func(c call) reply {
		switch {
		case c.state("count") == nil:
			return incomplete(spec("count", ""))
		case c.arguments() == "new version" && c.state("added") == nil:
			return incomplete(spec("added", "AFTER_WRITE 600000"))
		case c.state("added") != nil:
			return result(set("added", "new "+c.Target.ID), l.output(c.Target.ID, found(c, "count")+" "+found(c, "added")))
		}
		return result(set("count", "old "+c.Target.ID), l.output(c.Target.ID, "written"))
	})
	tell(l, "a", "old version")
	tell(l, "b", "old version")
	equal(l, "a", tell(l, "a", "new version", "again"), "written | old a absent | old a new a")
	equal(l, "b", tell(l, "b", "again"), "written | old b absent")
}

// found is the value of a state that a request brings.
func found(c call, name string) string {
	if s := c.state(name); s != nil && s.Value != nil {
		return s.Value.Bytes
	}
	return "absent"
}

// declaration is how the next calls of a function declare the state "count": its expiration, or "dropped".
type declaration struct{ atomic.Value }

// declaring makes f remember by a declaration that the case may change.
func declaring(l *lab, first string) *declaration {
	d := &declaration{}
	d.Store(first)
	l.answer("f", func(c call) reply {
		expiry := d.Load().(string)
		if expiry == "dropped" {
			return result(l.output(c.Target.ID, fmt.Sprintf("%d states", len(c.States))))
		}
		return remembering(l, expiry)(c)
	})
	return d
}

func stateDropped(l *lab) {
	d := declaring(l, "")
	l.start()
	tell(l, "x", "=kept")
	d.Store("dropped")
	equal(l, "states in the process that knew it", tell(l, "x", "look"), "absent | 1 states")
	l.restart()
	tell(l, "x", "look")
	d.Store("")
	l.restart()
	equal(l, "outputs", tell(l, "x", "look"), "absent | 1 states | 0 states | [kept]")
}

func expirationTurnedOn(l *lab) {
	d := declaring(l, "")
	l.start()
	tell(l, "x", "=old")
	d.Store("AFTER_WRITE 700")
	l.restart()
	tell(l, "x", "look")
	atLeast(800 * time.Millisecond)
	tell(l, "x", "=new")
	atLeast(800 * time.Millisecond)
	equal(l, "outputs", tell(l, "x", "look"), "absent | [old] | [old] | absent")
}

func expirationTurnedOff(l *lab) {
	d := declaring(l, "AFTER_WRITE 3000")
	l.start()
	tell(l, "x", "=kept")
	d.Store("")
	l.restart()
	atLeast(3100 * time.Millisecond)
	equal(l, "outputs", tell(l, "x", "look"), "absent | [kept]")
}

func expiresWhileDown(l *lab) {
	declaring(l, "AFTER_WRITE 1000")
	l.start()
	tell(l, "x", "=gone")
	l.worker.kill()
	atLeast(1100 * time.Millisecond)
	if err := l.worker.start(); err != nil {
		l.Fatal(err)
	}
	equal(l, "outputs", tell(l, "x", "look"), "absent | absent")
}

func oddStateNames(l *lab) {
	names := []string{"batch", "request-state", "a/b", "ünïcode ☃", "with\x00zero", strings.Repeat("long", 100)}
	l.answer("f", func(c call) reply {
		var missing, writes []string
		for _, name := range names {
			if c.state(name) == nil {
				missing = append(missing, fmt.Sprintf("missing_values { state_name: %s type_typename: %q }", quote(name), valueType))
			}
			writes = append(writes, fmt.Sprintf("state_mutations { mutation_type: MODIFY state_name: %s state_value { typename: %q has_value: true value: %s } }",
				quote(name), valueType, quote("of "+name)))
		}
		if missing != nil {
			return incomplete(missing...)
		}
		return result(writes...)
	})
	l.send("x", "one")
	l.called(2)
	l.send("x", "two")
	c := l.called(3)[2]
	for _, name := range names {
		equal(l, "state "+name, found(c, name), "of "+name)
	}
}

func expirationOfNothing(l *lab) {
	refusedWith(l, "expir", nothingFirst, incomplete(spec("s", "AFTER_WRITE 0")), incomplete(spec("s", "AFTER_INVOKE -5")))
}

func mixedExpirations(l *lab) {
	l.answer("f", func(c call) reply {
		if c.state("kept") == nil {
			return incomplete(spec("kept", ""), spec("gone", "AFTER_WRITE 500"), spec("renewed", "AFTER_INVOKE 600000"))
		}
		if c.arguments() == "write" {
			return result(set("kept", "1"), set("gone", "2"), set("renewed", "3"), l.output("x", "written"))
		}
		return result(l.output("x", found(c, "kept")+" "+found(c, "gone")+" "+found(c, "renewed")))
	})
	tell(l, "x", "write")
	atLeast(600 * time.Millisecond)
	equal(l, "outputs", tell(l, "x", "look"), "written | 1 absent 3")
}

func stateMovesUp(l *lab) {
	const packed = "type.googleapis.com/some.Message"
	var second atomic.Bool
	l.answer("f", func(c call) reply {
		switch {
		case !second.Load():
			return result2(set2("count", string(any2(packed, []byte("content of "+of2(c).target.ID)))), set2("odd", "\xff raw"), l.output2("x/"+record2, "x", "written"))
		case c.state("count") == nil:
			return incomplete(specOf("count", packed, ""))
		case c.Target.ID == "odd" && c.state("odd") == nil:
			return incomplete(spec("odd", ""))
		}
		return result(l.output("y", found(c, "count")))
	})
	l.start(module2{spec: "states: [{name: count}, {name: odd}]"}.text(l))
	l.send("same", "one")
	l.send("odd", "one")
	l.written(2)
	l.worker.kill()
	second.Store(true)
	if err := l.worker.write(l.documents()...); err != nil {
		l.Fatal(err)
	}
	if err := l.worker.start(); err != nil {
		l.Fatal(err)
	}
	l.send("same", "two")
	equal(l, "state", string(l.written(3)[2].Value), "content of same")
	l.send("odd", "two")
	letter := l.deadLetters(1)[0]
	equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "state-type")
	l.says(header(letter, "statefun.dead-letter/detail"), `state "odd"`, valueType, "statefun-kafka.v1/opaque")
}
