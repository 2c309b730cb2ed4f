package conformance

import (
	"fmt"
	"net/http"
	"strings"
)

// reply is what a function answers to a call.
type reply struct {
	status      int    // 0: 200
	contentType string // empty: application/octet-stream
	body        []byte
}

func (r reply) write(w http.ResponseWriter) {
	if r.contentType == "" {
		r.contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", r.contentType)
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	_, _ = w.Write(r.body) // the worker may have given up
}

// done is a success without effects.
func done() reply { return reply{} }

// broken is what a function answers that fails.
func broken() reply { return reply{status: http.StatusInternalServerError, body: []byte("broken")} }

// result is a success with effects, each given in protobuf's text format; see set, remove, message, delayed, output.
func result(effects ...string) reply {
	return reply{body: fromText(fromFunction, "invocation_result {\n"+strings.Join(effects, "\n")+"}")}
}

// incomplete asks for states; see spec.
func incomplete(specs ...string) reply {
	return reply{body: fromText(fromFunction, "incomplete_invocation_context {\n"+strings.Join(specs, "\n")+"}")}
}

// spec is a missing state of the cases' type without expiry; expiry is "" or like "AFTER_WRITE 2000".
func spec(name, expiry string) string { return specOf(name, valueType, expiry) }

// specOf is a missing state of any type.
func specOf(name, typename, expiry string) string {
	var mode string
	var millis int64
	if expiry != "" {
		if _, err := fmt.Sscan(expiry, &mode, &millis); err != nil {
			panic(fmt.Sprintf("expiry %q: %v", expiry, err))
		}
		expiry = fmt.Sprintf("expiration_spec { mode: %s expire_after_millis: %d }", mode, millis)
	}
	return fmt.Sprintf("missing_values { state_name: %q type_typename: %q %s }", name, typename, expiry)
}

// set writes a state of the cases' type.
func set(name, bytes string) string { return setOf(name, valueType, bytes) }

// setOf writes a state of any type.
func setOf(name, typename, bytes string) string {
	return fmt.Sprintf("state_mutations { mutation_type: MODIFY state_name: %q state_value { typename: %q has_value: true value: %s } }",
		name, typename, quote(bytes))
}

// remove deletes a state.
func remove(name string) string {
	return fmt.Sprintf("state_mutations { mutation_type: DELETE state_name: %q }", name)
}

// message is sent to "namespace/type" and an id.
func message(to, id, bytes string) string {
	return fmt.Sprintf("outgoing_messages { %s %s }", target(to, id), argument(valueType, bytes))
}

// delayed is sent some milliseconds later; token may be empty.
func delayed(millis int64, token, to, id, bytes string) string {
	return fmt.Sprintf("delayed_invocations { delay_in_ms: %d cancellation_token: %q %s %s }", millis, token, target(to, id), argument(valueType, bytes))
}

// cancel takes a delayed message back.
func cancel(token string) string {
	return fmt.Sprintf("delayed_invocations { is_cancellation_request: true cancellation_token: %q }", token)
}

// egressMessage goes to an egress of the module.
func egressMessage(namespace, name, typename string, bytes []byte) string {
	return fmt.Sprintf("outgoing_egresses { egress_namespace: %q egress_type: %q %s }", namespace, name, argument(typename, string(bytes)))
}

// record is the text of a KafkaProducerRecord as bytes.
func record(topic, key, bytes string) []byte {
	return fromText(kafkaRecord, fmt.Sprintf("topic: %q key: %s value_bytes: %s", topic, quote(key), quote(bytes)))
}

func target(to, id string) string {
	namespace, name := splitType(to)
	return fmt.Sprintf("target { namespace: %q type: %q id: %s }", namespace, name, quote(id))
}

func argument(typename, bytes string) string {
	return fmt.Sprintf("argument { typename: %q has_value: true value: %s }", typename, quote(bytes))
}

// quote writes bytes as a text of protobuf's text format.
func quote(bytes string) string {
	const hex = "0123456789abcdef"
	out := []byte{'"'}
	for i := range len(bytes) {
		b := bytes[i]
		if b >= 0x20 && b < 0x7f && b != '"' && b != '\\' {
			out = append(out, b)
			continue
		}
		out = append(out, '\\', 'x', hex[b>>4], hex[b&15])
	}
	return string(append(out, '"'))
}

func splitType(name string) (namespace, typ string) {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	panic(fmt.Sprintf("%q is no namespace/type", name))
}
