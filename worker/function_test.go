package worker

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// callOf is a parsed ToFunction, as a function sees it.
type callOf struct {
	target    protocol.Address
	states    map[string][]byte // present ones
	named     map[string]bool
	arguments [][]byte // values
	callers   []string
}

func (c *callOf) knows(state string) bool { return c.named[state] }

// fields visits the length-delimited fields of a message.
func fields(b []byte, visit func(n protowire.Number, v []byte) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
				return protowire.ParseError(size)
			}
			b = b[size:]
			continue
		}
		v, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		if err := visit(n, v); err != nil {
			return err
		}
	}
	return nil
}

func parseCall(request []byte) (c callOf, err error) {
	c.states, c.named = map[string][]byte{}, map[string]bool{}
	err = fields(request, func(_ protowire.Number, invocation []byte) error {
		return fields(invocation, func(n protowire.Number, v []byte) (err error) {
			switch n {
			case 1:
				c.target, err = protocol.ParseAddress(v)
			case 2:
				err = c.state(v)
			case 3:
				err = c.argument(v)
			}
			return err
		})
	})
	return c, err
}

func (c *callOf) state(b []byte) error {
	name := ""
	return fields(b, func(n protowire.Number, v []byte) error {
		if n == 1 {
			name = string(v)
			c.named[name] = true
			return nil
		}
		_, _, value, err := protocol.ParseTypedValue(v)
		c.states[name] = value
		return err
	})
}

func (c *callOf) argument(b []byte) error {
	caller := ""
	var value []byte
	err := fields(b, func(n protowire.Number, v []byte) error {
		if n == 1 {
			a, err := protocol.ParseAddress(v)
			caller = a.String()
			return err
		}
		_, _, parsed, err := protocol.ParseTypedValue(v)
		value = parsed
		return err
	})
	c.arguments, c.callers = append(c.arguments, value), append(c.callers, caller)
	return err
}

// missing is the answer of a function that has not been sent a state.
func missing(states ...string) []byte {
	var context []byte
	for _, s := range states {
		spec := message(nil, 1, []byte(s))
		spec = message(spec, 3, []byte("test/state"))
		context = message(context, 1, spec)
	}
	return message(nil, 101, context)
}

func message(dst []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), v)
}

// reply builds an InvocationResponse.
type reply struct{ result []byte }

func (r *reply) bytes() []byte { return message(nil, 100, r.result) }

func (r *reply) set(state, value string) {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	m = message(m, 2, []byte(state))
	m = message(m, 3, protocol.AppendTypedValue(nil, "test/state", []byte(value)))
	r.result = message(r.result, 1, m)
}

func (r *reply) send(to protocol.Address, value string) {
	m := message(nil, 1, protocol.AppendAddress(nil, to))
	m = message(m, 2, protocol.AppendTypedValue(nil, "test/command", []byte(value)))
	r.result = message(r.result, 2, m)
}

func (r *reply) delay(to protocol.Address, value string, millis int, token string) {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(millis))
	m = message(m, 2, protocol.AppendAddress(nil, to))
	m = message(m, 3, protocol.AppendTypedValue(nil, "test/command", []byte(value)))
	if token != "" {
		m = message(m, 11, []byte(token))
	}
	r.result = message(r.result, 3, m)
}

func (r *reply) cancel(token string) {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 10, protowire.VarintType), 1)
	m = message(m, 11, []byte(token))
	r.result = message(r.result, 3, m)
}

func (r *reply) egress(id, topic, key, value string) {
	name, err := protocol.ParseTypeName(id)
	if err != nil {
		panic(fmt.Sprintf("egress id %s: %v", id, err))
	}
	record := message(nil, 1, []byte(key))
	record = message(record, 2, []byte(value))
	record = message(record, 3, []byte(topic))
	m := message(nil, 1, []byte(name.Namespace))
	m = message(m, 2, []byte(name.Name))
	m = message(m, 3, protocol.AppendTypedValue(nil, "type.googleapis.com/io.statefun.sdk.egress.KafkaProducerRecord", record))
	r.result = message(r.result, 4, m)
}
