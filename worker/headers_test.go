package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// sendRaw sends an argument as it came, metadata and all.
func (r *reply) sendRaw(to protocol.Address, argument []byte) {
	m := message(nil, 1, protocol.AppendAddress(nil, to))
	r.result = message(r.result, 2, message(m, 2, argument))
}

// delayRaw is sendRaw after some time.
func (r *reply) delayRaw(to protocol.Address, argument []byte, millis int) {
	m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(millis))
	m = message(m, 2, protocol.AppendAddress(nil, to))
	r.result = message(r.result, 3, message(m, 3, argument))
}

// egressRaw writes a record whose headers are the metadata of an argument, which has the same form.
func (r *reply) egressRaw(topic, key string, argument []byte) error {
	record := message(nil, 1, []byte(key))
	record = message(record, 3, []byte(topic))
	err := fields(argument, func(n protowire.Number, v []byte) error {
		switch n {
		case 3:
			record = message(record, 2, v)
		case 4:
			record = message(record, 4, v)
		}
		return nil
	})
	m := message(nil, 1, []byte("test"))
	m = message(m, 2, []byte("out"))
	r.result = message(r.result, 4, message(m, 3, protocol.AppendTypedValue(nil, protocol.KafkaProducerRecordType, record)))
	return err
}

// arguments gives the target of a request and the arguments of its batch, each as it came.
func rawArguments(request []byte) (target protocol.Address, arguments [][]byte, err error) {
	err = fields(request, func(_ protowire.Number, invocation []byte) error {
		return fields(invocation, func(n protowire.Number, v []byte) (err error) {
			switch n {
			case 1:
				target, err = protocol.ParseAddress(v)
			case 3:
				_, argument, parsed := protocol.ParseInvocation(v)
				arguments, err = append(arguments, argument), parsed
			}
			return err
		})
	})
	return target, arguments, err
}

const forwarded = "traceparent=00-1 empty= traceparent=00-2 null=<nil>"

func shownHeaders(headers []kgo.RecordHeader) string {
	var words []string
	for _, h := range headers {
		if h.Value == nil {
			words = append(words, h.Key+"=<nil>")
			continue
		}
		words = append(words, h.Key+"="+string(h.Value))
	}
	return strings.Join(words, " ")
}

// A record's headers go with its message into the function, with what the function sends now and later, through the
// mailbox and through pending rows that are read back from the changelog, and out of the egress again.
func TestHeadersTravelWhereTheirMessageGoes(t *testing.T) {
	var open atomic.Bool
	var waiting sync.Map
	l := newLab(t, setting{module: replaced("      targets: [test/f]", "      targets: [test/f]\n      forwardHeaders: true")}, nil)
	l.change = func(c *Config) {
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			target, arguments, err := rawArguments(request)
			if err != nil {
				return nil, err
			}
			var r reply
			for _, argument := range arguments {
				switch {
				case target.ID == "first":
					r.sendRaw(functionAt("second"), argument)
					r.delayRaw(functionAt("third"), argument, 1)
				case !open.Load():
					waiting.Store(target.ID, true)
					return nil, errors.New("not yet")
				default:
					if err := r.egressRaw("out", target.ID, argument); err != nil {
						return nil, err
					}
				}
			}
			return r.bytes(), nil
		}
	}
	l.up()
	produced := &kgo.Record{Topic: "in", Key: []byte("first"), Value: []byte("v"), Timestamp: time.UnixMilli(1_790_000_000_123), Headers: []kgo.RecordHeader{
		{Key: "traceparent", Value: []byte("00-1")}, {Key: "empty", Value: []byte{}}, {Key: "statefun.invalid/defect", Value: []byte("spoofed")},
		{Key: "traceparent", Value: []byte("00-2")}, {Key: "null"},
	}}
	if err := l.manual.ProduceSync(t.Context(), produced).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.until("both were called", func() bool {
		_, second := waiting.Load("second")
		_, third := waiting.Load("third")
		return second && third
	})
	l.until("both are rows", func() bool {
		n := 0.0
		for p := range 2 {
			n += l.metric("statefun_worker_pending_inputs", "partition", fmt.Sprint(p))
		}
		return n == 2
	})
	l.killAndWipe()
	open.Store(true)
	l.up()
	l.expect("second", "v")
	l.expect("third", "v")
	for _, r := range l.read("out") {
		if got := shownHeaders(r.Headers); got != forwarded {
			t.Errorf("%s came with the headers %q, want %q", r.Key, got, forwarded)
		}
		if !r.Timestamp.Equal(produced.Timestamp) {
			t.Errorf("%s came with the timestamp %v, want %v", r.Key, r.Timestamp, produced.Timestamp)
		}
	}
}

// The entries are those that the Go SDK reads. What is passed on to an egress does not say them of the new record.
func TestAMessageTellsWhereItsRecordLies(t *testing.T) {
	origins := make(chan []protocol.KafkaHeader, 1)
	l := newLab(t, setting{module: replaced("      targets: [test/f]", "      targets: [test/f]\n      forwardHeaders: true")}, nil)
	l.change = func(c *Config) {
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			target, arguments, err := rawArguments(request)
			if err != nil || target.ID != "one" {
				return nil, err
			}
			origin, err := protocol.Metadata(bytes.Clone(arguments[0])) // the request is the worker's again behind this call
			if err != nil {
				return nil, err
			}
			var r reply
			select {
			case origins <- origin:
			default: // called again
			}
			err = r.egressRaw("out", target.ID, arguments[0])
			return r.bytes(), err
		}
	}
	for range 3 {
		l.put("in", 1, "before", "v")
	}
	l.up()
	at := time.UnixMilli(1_790_000_000_123)
	produced := &kgo.Record{Topic: "in", Partition: 1, Key: []byte("one"), Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}}}
	if err := l.manual.ProduceSync(t.Context(), produced).FirstErr(); err != nil {
		t.Fatal(err)
	}
	want := "a=b statefun.kafka/timestamp=1790000000123 statefun.kafka/topic=in statefun.kafka/partition=1 statefun.kafka/offset=3"
	var got []kgo.RecordHeader
	for _, h := range <-origins {
		got = append(got, kgo.RecordHeader(h))
	}
	if shownHeaders(got) != want {
		t.Errorf("the message has %q, want %q", shownHeaders(got), want)
	}
	l.expect("one", "v")
	for _, r := range l.read("out") {
		if string(r.Key) == "one" && shownHeaders(r.Headers) != "a=b" {
			t.Errorf("the record has the headers %q", shownHeaders(r.Headers))
		}
	}
}

// A function on an unchanged SDK must get the bytes that it always got.
func TestWithoutForwardHeadersARequestHasNoTraceOfHeaders(t *testing.T) {
	requests := make(chan []byte, 2)
	l := newLab(t, setting{partitions: 1}, nil)
	l.change = func(c *Config) {
		c.Functions = func(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
			requests <- append([]byte(nil), request...)
			return nil, nil
		}
	}
	l.up()
	for _, headers := range [][]kgo.RecordHeader{nil, {{Key: "a", Value: []byte("b")}}} {
		r := &kgo.Record{Topic: "in", Key: []byte("one"), Value: []byte("v"), Headers: headers}
		if err := l.manual.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	invocation := protocol.AppendInvocation(nil, nil, protocol.AppendTypedValue(nil, "test/command", []byte("v")))
	seen := 0
	for seen < 2 {
		request := <-requests
		_, arguments, err := rawArguments(request)
		if err != nil {
			t.Fatal(err)
		}
		batch := make([][]byte, len(arguments))
		for i := range batch {
			batch[i] = invocation
		}
		if want := protocol.AppendToFunction(nil, functionAt("one"), nil, batch); string(request) != string(want) {
			t.Errorf("the request is %x, want %x", request, want)
		}
		seen += len(arguments)
	}
}
