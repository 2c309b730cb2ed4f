package conformance

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// module2 is a module of version 2.0 or 1.0 with the function f.
type module2 struct {
	version, spec    string   // spec: lines below those that every case has
	ingress, routers []string // entries; no ingress: the routable one of the case's topic
}

func (m module2) text(l *lab) string {
	if m.version == "" {
		m.version = "2.0"
	}
	if len(m.ingress) == 0 {
		m.ingress = []string{`ingress:
  meta: {type: statefun.kafka.io/routable-protobuf-ingress, id: NS/in}
  spec:
    address: BROKER
    consumerGroupId: APP
    startupPosition: {type: Earliest}
    topics:
      - {topic: IN, typeUrl: com.googleapis/com.mycomp.foo.MessageA, targets: [NS/f]}`}
	}
	return strings.NewReplacer("NS", l.ns, "IN", l.in(), "URL", strings.ReplaceAll(l.url(), "{function.name}", "f")).Replace(
		`version: "` + m.version + `"
module:
  meta: {type: remote}
  spec:
    functions:
      - function:
          meta: {kind: HTTP, type: NS/f}
          spec:
            endpoint: URL
            onFailure: dead-letter
            timeout: 3s
            connectTimeout: 1s
            readTimeout: 3s
            writeTimeout: 3s
` + indent(12, m.spec) + `    routers:` + entries(m.routers) + `    ingresses:` + entries(m.ingress) + `    egresses:
      - egress:
          meta: {type: statefun.kafka.io/generic-egress, id: conformance/out}
          spec: {address: BROKER, deliverySemantic: {type: Exactly-Once, transactionTimeoutMillis: 60000}}
`)
}

// entries are the elements of a list of the module.
func entries(list []string) string {
	if len(list) == 0 {
		return " []\n"
	}
	text := "\n"
	for _, e := range list {
		text += "      - " + strings.TrimPrefix(indent(8, e), "        ")
	}
	return text
}

func indent(by int, text string) string {
	if text == "" {
		return ""
	}
	blanks := strings.Repeat(" ", by)
	return blanks + strings.ReplaceAll(text, "\n", "\n"+blanks) + "\n"
}

// request2 is a ToFunction of the 2.x protocol.
type request2 struct {
	target      address
	states      []state2
	invocations []invocation2
}

type state2 struct{ name, bytes string }

// invocation2 has an Any for its argument; caller is empty when the request has none.
type invocation2 struct{ caller, typeURL, bytes string }

func (r *request2) state(name string) string {
	for _, s := range r.states {
		if s.name == name {
			return s.bytes
		}
	}
	return "not in the request"
}

// of2 reads the request of a call as a 2.x function does.
func of2(c call) (r request2) {
	batch := bytesField(c.body, 100)
	r.target = address2(bytesField(batch, 1))
	for _, s := range bytesFields(batch, 2) {
		r.states = append(r.states, state2{string(bytesField(s, 1)), string(bytesField(s, 2))})
	}
	for _, i := range bytesFields(batch, 3) {
		one := invocation2{typeURL: string(bytesField(bytesField(i, 2), 1)), bytes: string(bytesField(bytesField(i, 2), 2))}
		for _, caller := range bytesFields(i, 1) {
			one.caller = address2(caller).String()
		}
		r.invocations = append(r.invocations, one)
	}
	return r
}

func address2(b []byte) address {
	return address{string(bytesField(b, 1)), string(bytesField(b, 2)), string(bytesField(b, 3))}
}

// bytesFields are all occurrences of a field.
func bytesFields(message []byte, number protowire.Number) (found [][]byte) {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return found
		}
		rest := message[size:]
		if size = protowire.ConsumeFieldValue(n, kind, rest); size < 0 {
			return found
		}
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(rest)
			found = append(found, value)
		}
		message = rest[size:]
	}
	return found
}

// result2 is a success of a 2.x function with effects; see set2, remove2, message2, output2.
func result2(effects ...[]byte) reply {
	var all []byte
	for _, e := range effects {
		all = append(all, e...)
	}
	return reply{body: appendBytes(nil, 100, all)}
}

func set2(name, bytes string) []byte {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	return appendBytes(nil, 1, appendBytes(appendBytes(m, 2, []byte(name)), 3, []byte(bytes)))
}

func remove2(name string) []byte { return appendBytes(nil, 1, appendBytes(nil, 2, []byte(name))) }

func message2(to, id, typeURL, bytes string) []byte {
	namespace, name := splitType(to)
	target := appendBytes(appendBytes(appendBytes(nil, 1, []byte(namespace)), 2, []byte(name)), 3, []byte(id))
	return appendBytes(nil, 2, appendBytes(appendBytes(nil, 1, target), 2, any2(typeURL, []byte(bytes))))
}

// output2 writes a record to the case's egress topic under a type URL.
func (l *lab) output2(typeURL, key, bytes string) []byte {
	m := appendBytes(appendBytes(nil, 1, []byte("conformance")), 2, []byte("out"))
	return appendBytes(nil, 4, appendBytes(m, 3, any2(typeURL, record(l.out(), key, bytes))))
}

func any2(typeURL string, value []byte) []byte {
	return appendBytes(appendBytes(nil, 1, []byte(typeURL)), 2, value)
}

// record2 ends the type URL of a KafkaProducerRecord of 2.x.
const record2 = "org.apache.flink.statefun.flink.io.KafkaProducerRecord"
