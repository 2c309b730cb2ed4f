package conformance

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sectionXNames has what is about ids, names, times and what the log says of them.
func sectionXNames() []Case {
	return []Case{
		{ID: "X7", Shows: "an id may be empty and have any character: each is an address with its own state, delayed messages and tokens", Run: anyID},
		{ID: "X8", Shows: "an id of 300 kB is an address as any other; one that no row can take is refused with its size, or its record is a dead letter", Endpoint: deadLetterPolicy, Run: longIDs},
		{ID: "X9", Shows: "a delay and an expiration of 2^63-1 ms are long ones", Run: longestTimes},
		{ID: "X10", Shows: "a token may have any bytes that are text; one that no row can take is refused with its size", Endpoint: deadLetterPolicy, Run: anyToken},
		{ID: "X11", Shows: "3,000 addresses wait for a function that hangs: no more calls than limits.inFlight, memory flat, all done when it is back", Alone: true, Run: manyHang},
	}
}

func anyID(l *lab) {
	var every strings.Builder
	for r := rune(0); r < 0x180; r++ {
		every.WriteRune(r)
	}
	ids := []string{"", "/", "a/b/c", "a", "a\x00", "a\x00b", "\n\r\t", " ", "*", every.String(), "☃\U0001F600\u200b", "../../etc/passwd", "${HOME}", "{function.name}", "%s%n"}
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			return incomplete(spec("count", ""))
		}
		switch c.arguments() {
		case "write":
			return result(set("count", "of "+c.Target.ID), delayed(50, l.ns, l.fn("g"), c.Target.ID, "later"), l.output(c.Target.ID, "written"))
		default:
			return result(l.output(c.Target.ID, stored(c)))
		}
	})
	l.answer("g", func(c call) reply {
		return result(l.output(c.Target.ID, "later from "+c.Invocations[0].Caller.ID))
	})
	for _, id := range ids {
		l.send(id, "write")
	}
	l.written(2 * len(ids))
	for _, id := range ids {
		l.send(id, "look")
	}
	all := l.written(3 * len(ids))
	for _, id := range ids {
		got := keyed(all, id)
		if want := "written | later from " + id + " | of " + id; got != want {
			l.Errorf("outputs of the id %q: %q, want %q", id, got, want)
		}
	}
}

func longIDs(l *lab) {
	long := strings.Repeat("i", 300_000)
	l.answer("f", func(c call) reply {
		switch {
		case c.state("count") == nil:
			return incomplete(spec("count", ""))
		case c.Target.ID == "sender":
			return result(message(l.fn("g"), strings.Repeat("j", 1_500_000), "hello"))
		}
		return result(set("count", "kept"), delayed(20, "token", l.fn("g"), c.Target.ID, "later"), l.output("x", stored(c)))
	})
	l.send(long, "one")
	c := l.calledFor("g", 1)[0]
	equal(l, "id that the delayed message goes to", c.Target.ID == long, true)
	equal(l, "id that it comes from", c.Invocations[0].Caller.ID == long, true)
	l.send(long, "two")
	equal(l, "outputs", keyed(l.written(2), "x"), "nothing | kept")
	l.send("sender", "one")
	l.says(header(l.deadLetters(1)[0], "statefun.dead-letter/reason"), "refused")
	l.produce(&kgo.Record{Topic: l.in(), Key: []byte(strings.Repeat("k", 900_000)), Value: []byte("one")})
	letter := l.deadLetters(2)[1]
	equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "too-large")
	equal(l, "key", len(letter.Key), 900_000)
}

func longestTimes(l *lab) {
	const longest = 1<<63 - 1
	l.answer("f", func(c call) reply {
		if c.state("count") == nil {
			return incomplete(spec("count", fmt.Sprintf("AFTER_WRITE %d", int64(longest))))
		}
		if c.arguments() == "write" {
			return result(set("count", "kept"), delayed(longest, l.ns, l.fn("g"), "x", "never"), l.output("x", "written"))
		}
		return result(cancel(l.ns), delayed(1, "", l.fn("g"), "x", "end"), l.output("x", stored(c)))
	})
	equal(l, "outputs", tell(l, "x", "write", "look"), "written | kept")
	equal(l, "arrived", fired(l, "end"), "end")
}

func anyToken(l *lab) {
	tokens := []string{"a", "a\x00", "a/b", "ab", "\n", "☃", strings.Repeat("t", 200_000)}
	l.answer("f", func(c call) reply {
		var all []string
		switch c.arguments() {
		case "send":
			for i, token := range tokens {
				all = append(all, fmt.Sprintf("delayed_invocations { delay_in_ms: %d cancellation_token: %s %s %s }", 60_000, quote(l.ns+token),
					target(l.fn("g"), "x"), argument(valueType, fmt.Sprint(i))))
			}
		case "cancel":
			for _, token := range tokens {
				all = append(all, "delayed_invocations { is_cancellation_request: true cancellation_token: "+quote(l.ns+token)+" }")
			}
		case "too long":
			all = append(all, delayed(1, strings.Repeat("t", 1_500_000), l.fn("g"), "x", "never"))
		}
		return result(append(all, l.output("x", c.arguments()))...)
	})
	equal(l, "outputs", tell(l, "x", "send", "cancel", "send"), "send | cancel | send") // a token that was free is not in use
	l.send("x", "too long")
	l.says(header(l.deadLetters(1)[0], "statefun.dead-letter/detail"), "has 1500", "the changelog takes")
}

func manyHang(l *lab) {
	const addresses, limit = 3000, 200
	g := l.hold("f", func(c call) reply { return result(l.output(c.Target.ID, "done")) })
	l.start(application("limits:", "  inFlight: "+fmt.Sprint(limit)), endpoint(l.ns+"/*", l.url(), "transport:", "  type: io.statefun.transports.v1/async", "  call: 60s"),
		ingress(l.ns+"/in", route{l.in(), []string{l.f()}}), egress("conformance/out"))
	var records []*kgo.Record
	for n := range addresses {
		records = append(records, &kgo.Record{Topic: l.in(), Key: []byte(fmt.Sprint(n)), Value: make([]byte, 10_000)})
	}
	l.produce(records...)
	l.arrived(addresses)
	before, stop := l.resident(), l.most()
	l.awaitMetric(limit, "statefun_worker_in_flight_calls")
	l.awaitMetric(addresses-limit, "statefun_endpoint_ready_addresses")
	equal(l, "calls", len(l.called(limit)), limit)
	g.release()
	equal(l, "outputs", len(l.written(addresses)), addresses)
	l.awaitMetric(0, "statefun_worker_in_flight_calls")
	after := stop()
	l.Logf("memory: %d MiB before, at most %d MiB", before>>20, after>>20)
	if after > before+100<<20 {
		l.Errorf("the worker held %d MiB, before it held %d MiB", after>>20, before>>20)
	}
}
