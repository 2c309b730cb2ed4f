package conformance

import "google.golang.org/protobuf/encoding/protowire"

// bytesField is a length-delimited field of a message, found or written by hand: the SDK knows no message of 2.2.
func bytesField(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil
		}
		rest := message[size:]
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(rest)
			return value
		}
		if size = protowire.ConsumeFieldValue(n, kind, rest); size < 0 {
			return nil
		}
		message = rest[size:]
	}
	return nil
}

func appendBytes(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

func legacyRetryCarriesState(l *lab) {
	g := newGate()
	l.Cleanup(g.release)
	count := func(c call) string {
		r := of2(c)
		return r.state("count")
	}
	l.answer("f", func(c call) reply {
		if count(c) == "stored" {
			g.pass(c)
		}
		return result2(set2("count", "stored"))
	})
	l.start(module2{spec: "states: [{name: count}]"}.text(l))
	l.send("x", "one")
	l.called(1)
	l.send("x", "two")
	before := l.called(2)[1]
	equal(l, "state of the second request", count(before), "stored")
	l.committed(1)
	l.restart()
	equal(l, "the request after the restart", string(l.called(3)[2].body), string(before.body))
}
