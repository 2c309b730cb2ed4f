package conformance

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// sectionX is what functions and records may send, by mistake or not, without breaking anything but their own address.
func sectionX() []Case {
	return append([]Case{
		{ID: "X1", Shows: "an answer that is none (cut short, no protobuf, text that is no UTF-8) is refused whole", Endpoint: deadLetterPolicy, Run: brokenAnswers},
		{ID: "X2", Shows: "fields that nobody knows are passed over, wherever they stand in an answer", Run: unknownFields},
		{ID: "X3", Shows: "a message without a target, an egress without a name: refused, and it is said what lacks", Endpoint: deadLetterPolicy, Run: lackingParts},
		{ID: "X4", Shows: "an answer that trickles ends with the budget of its call, and nobody else waits", Alone: true, Run: tricklingAnswer},
		{ID: "X5", Shows: "answers without an end, or that swell when they are decoded, are refused at their limit and cost little memory", Alone: true, Run: endlessAnswers},
		{ID: "X6", Shows: "an answer has more effects than a transaction: all of them, once and in order", Alone: true, Run: manyEffects},
	}, append(sectionXNames(), sectionXFaults()...)...)
}

func brokenAnswers(l *lab) {
	good := result(l.output("bad", "effect")).body
	badText := strings.Replace(string(fromText(fromFunction, "invocation_result { "+message(l.fn("g"), "ID-ID", "x")+" }")), "ID-ID", "\xff\xfe\xfd\xfc\xfb", 1)
	var bad []reply
	for _, body := range []string{string(good[:len(good)-1]), "\xff\xff\xff", "not protobuf at all", "\x00", "\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", badText} {
		bad = append(bad, reply{body: []byte(body)})
	}
	refusedWith(l, "answer refused", nothingFirst, bad...)
}

func unknownFields(l *lab) {
	unknown := appendBytes([]byte("\xb8\x3e\x01"), 900, []byte("from a later version")) // 999: 1 and 900: text
	nested := func(number byte, inner []byte) []byte {
		return append([]byte{number<<3 | 2, byte(len(inner))}, inner...)
	}
	to := nested(1, append(append(nested(1, []byte(l.ns)), append(nested(2, []byte("g")), nested(3, []byte("x"))...)...), unknown...))
	argument := nested(2, append(append(nested(1, []byte(valueType)), 0x10, 1), append(nested(3, []byte("hello")), unknown...)...))
	one := append(append(to, argument...), unknown...)
	l.answer("f", func(call) reply {
		return reply{body: append(appendBytes(nil, 100, append(appendBytes(nil, 2, one), unknown...)), unknown...)}
	})
	l.send("x", "one")
	c := l.calledFor("g", 1)[0]
	equal(l, "target", c.Target, address{l.ns, "g", "x"})
	equal(l, "argument", c.Invocations[0].Argument, value{valueType, true, "hello"})
}

func lackingParts(l *lab) {
	refusedWith(l, "answer refused", nothingFirst,
		result(l.output("bad", "effect"), "outgoing_messages { "+argument(valueType, "x")+" }"),
		result(l.output("bad", "effect"), "delayed_invocations { delay_in_ms: 1 "+argument(valueType, "x")+" }"),
		result(l.output("bad", "effect"), "outgoing_egresses { "+argument(recordType, "x")+" }"),
		result(l.output("bad", "effect"), `outgoing_egresses { egress_namespace: "conformance" egress_type: "out" }`),
		result(l.output("bad", "effect"), `state_mutations { mutation_type: MODIFY }`))
	for i, says := range []string{"message to //: no endpoint", "delayed message to //: no endpoint", "egress / is not in the module",
		"egress conformance/out takes values of type " + recordType, `state "" of ` + l.f() + " is not registered"} {
		l.says(header(l.deadLetters(5)[i], "statefun.dead-letter/detail"), says)
	}
}

// raw is a server that answers each call with whatever serve writes; the connection ends with it.
func raw(l *lab, serve func(c net.Conn, r *http.Request)) *site {
	return newSite(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		serve(c, r)
	}))
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"

func tricklingAnswer(l *lab) {
	s := raw(l, func(c net.Conn, r *http.Request) {
		text := okHead + "X-Endless: "
		if strings.HasSuffix(r.URL.Path, "body") {
			text = okHead + "Content-Length: 100000\r\n\r\n"
		}
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{(text + strings.Repeat("x", 2000))[i]}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // the slowness is what is shown
		}
	})
	l.answer("quick", func(c call) reply { return result(l.output(c.arguments(), "done")) })
	l.serve("head body quick", endpoint(l.fn("head"), s.URL+"/head", append(deadLetterPolicy, shortCall...)...),
		endpoint(l.fn("body"), s.URL+"/body", append(deadLetterPolicy, shortCall...)...), endpoint(l.fn("quick"), l.url()))
	rounds := 0
	for ; rounds < 5 && len(l.deadLetters(0)) == 0; rounds++ {
		l.send("x", fmt.Sprint(rounds))
		l.written(rounds + 1)
	}
	if rounds < 3 { // who waits for what trickles has one
		l.Errorf("another function had %d rounds before a trickling call ended", rounds)
	}
	for _, letter := range l.deadLetters(2) {
		equal(l, "reason", header(letter, "statefun.dead-letter/reason"), "call-timeout")
	}
}

// resident is the memory that the worker holds, in bytes; 0 where the system does not tell.
func (l *lab) resident() int {
	n, _ := l.worker.metric("process_resident_memory_bytes")
	return int(n)
}

// most looks at the worker's memory until stopped, and gives the most that it was.
func (l *lab) most() (stop func() int) {
	end, result := make(chan struct{}), make(chan int)
	go func() {
		top := 0
		for {
			top = max(top, l.resident())
			select {
			case <-end:
				result <- top
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int { close(end); return <-result }
}

func endlessAnswers(l *lab) {
	large := strings.Repeat("x", 1<<20)
	s := raw(l, func(c net.Conn, r *http.Request) {
		out := io.Writer(c)
		switch {
		case strings.HasSuffix(r.URL.Path, "chunks"):
			_, _ = io.WriteString(c, okHead+"Transfer-Encoding: chunked\r\n\r\n")
			out = httpChunks{c}
		case strings.HasSuffix(r.URL.Path, "swells"):
			_, _ = io.WriteString(c, okHead+"Content-Encoding: gzip\r\n\r\n")
			out = gzip.NewWriter(c)
		case strings.HasSuffix(r.URL.Path, "close"):
			_, _ = io.WriteString(c, okHead+"\r\n")
		default:
			_, _ = io.WriteString(c, okHead+"Content-Length: 999999999999999\r\n\r\n")
		}
		for {
			if _, err := io.WriteString(out, large); err != nil {
				return
			}
		}
	})
	var endpoints []string
	names := strings.Fields("chunks swells close length")
	for _, name := range names {
		endpoints = append(endpoints, endpoint(l.fn(name), s.URL+"/"+name, append([]string{"maxAttempts: 2"}, append(deadLetterPolicy, "transport:", "  type: io.statefun.transports.v1/async", "  call: 30s")...)...))
	}
	l.serve(strings.Join(names, " "), endpoints...)
	before, stop := l.resident(), l.most()
	l.send("x", "one")
	for _, letter := range l.deadLetters(len(names)) {
		equal(l, header(letter, "statefun.dead-letter/address"), header(letter, "statefun.dead-letter/reason"), "answer-too-large")
	}
	after := stop()
	l.Logf("memory: %d MiB before, at most %d MiB", before>>20, after>>20)
	if after > before+400<<20 { // each of the four may hold a limit of 32 MiB, twice while its memory grows
		l.Errorf("the worker held %d MiB, before it held %d MiB", after>>20, before>>20)
	}
}

// httpChunks writes each piece as a chunk.
type httpChunks struct{ io.Writer }

func (c httpChunks) Write(p []byte) (int, error) {
	_, err := fmt.Fprintf(c.Writer, "%x\r\n%s\r\n", len(p), p)
	return len(p), err
}

func manyEffects(l *lab) {
	const each = 25_000 // more than the 20,000 of a transaction
	var all []string
	for i := range each {
		all = append(all, message(l.fn("g"), fmt.Sprint(i%100), fmt.Sprint(i)), l.output("x", fmt.Sprint(i)))
	}
	l.script(result(all...))
	l.start()
	l.send("x", "one")
	for i, r := range l.written(each) {
		if string(r.Value) != fmt.Sprint(i) {
			l.Fatalf("record %d is %q", i, r.Value)
		}
	}
	last := map[string]int{}
	gather(l, "g", each)
	for _, c := range l.calledFor("g", 0) {
		for _, one := range c.Invocations {
			n := 0
			_, _ = fmt.Sscan(one.Argument.Bytes, &n)
			if before, is := last[c.Target.ID]; is && n <= before {
				l.Fatalf("%s was sent %d after %d", c.Target.ID, n, before)
			}
			last[c.Target.ID] = n
		}
	}
	equal(l, "records", len(l.written(0)), each)
}
