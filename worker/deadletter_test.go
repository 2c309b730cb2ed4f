package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// forwardingTopic are the lines of moduleText that let the ingress forward headers.
var forwardingTopic = []string{"      targets: [test/f]", "      targets: [test/f]\n      forwardHeaders: true"}

// failing is a function that answers 500.
func failing(context.Context, *callOf, *reply) error { return errStatus(500) }

// The record in the dead-letter topic has the headers of the ingress record and its time, where the topic forwards them:
// what is read from there is like the original. What a producer has written under reserved names is not among them.
func TestADeadLetterHasTheHeadersOfItsRecord(t *testing.T) {
	r := newRemote(t, "maxAttempts: 1\n  onFailure: dead-letter", failing, forwardingTopic...)
	r.up()
	headers := []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "empty", Value: []byte{}}, {Key: "traceparent", Value: []byte("00-2")}, {Key: "null"}}
	produced := &kgo.Record{Topic: "in", Key: []byte("bad"), Value: []byte("v"), Timestamp: time.UnixMilli(1_790_000_000_123), Headers: append([]kgo.RecordHeader{
		{Key: "statefun.invalid/defect", Value: []byte("spoofed")}, {Key: "statefun.kafka/timestamp", Value: []byte("1")},
		{Key: ingress.HeaderReason, Value: []byte("from an earlier time")},
	}, headers...)}
	if err := r.manual.ProduceSync(t.Context(), produced).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.until("it is in the dead-letter topic", func() bool { return len(r.read("app-dead-letter")) == 1 })
	letter := r.read("app-dead-letter")[0]
	if got, want := shownHeaders(letter.Headers[:len(headers)]), shownHeaders(headers); got != want {
		t.Errorf("it begins with the headers %q, want %q", got, want)
	}
	for _, h := range letter.Headers[len(headers):] {
		if !strings.HasPrefix(h.Key, ingress.HeaderPrefix) {
			t.Errorf("it has a header %s", h.Key)
		}
	}
	if want := (kgo.RecordHeader{Key: ingress.HeaderTimestamp, Value: []byte("2026-09-21T14:13:20.123Z")}); !slices.ContainsFunc(letter.Headers, func(h kgo.RecordHeader) bool {
		return h.Key == want.Key && string(h.Value) == string(want.Value)
	}) {
		t.Errorf("%s is not among %s", shownHeaders([]kgo.RecordHeader{want}), shownHeaders(letter.Headers))
	}
}

// An input whose pending row has taken its record's place still tells that place, if it carries it. What a function says
// of itself in the metadata of its message is not taken for the truth.
func TestWhereADeadLetterComesFromOutlivesItsRecordsPlace(t *testing.T) {
	place := []protocol.KafkaHeader{
		{Key: "trace", Value: []byte("1")}, {Key: protocol.TimestampKey, Value: []byte("1790000000123")}, {Key: protocol.TopicKey, Value: []byte("in")},
		{Key: protocol.PartitionKey, Value: []byte("3")}, {Key: protocol.OffsetKey, Value: []byte("41")},
	}
	read := protocol.AppendIngressInvocation(nil, "test/command", []byte("v"), place...)
	_, argument, err := protocol.ParseInvocation(read)
	if err != nil {
		t.Fatal(err)
	}
	sender := functionAt("sender")
	for name, c := range map[string]struct {
		invocation []byte
		headers    string
		origin     map[string]string
	}{
		"ingress record": {read, "trace=1", map[string]string{
			ingress.HeaderTopic: "in", ingress.HeaderPartition: "3", ingress.HeaderOffset: "41", ingress.HeaderTimestamp: "2026-09-21T14:13:20.123Z",
		}},
		"a function's message": {protocol.AppendInvocation(nil, &sender, argument), "trace=1", nil},
		"no metadata":          {protocol.AppendIngressInvocation(nil, "test/command", []byte("v")), "", nil},
		"no invocation":        {[]byte{0xff}, "", nil},
		"bad metadata":         {protocol.AppendInvocation(nil, nil, message(nil, 4, []byte{0xff})), "", nil},
	} {
		headers, origin := carried(c.invocation)
		if shownHeaders(headers) != c.headers || !maps.Equal(origin, c.origin) {
			t.Errorf("%s: %s, %v; want %s, %v", name, shownHeaders(headers), origin, c.headers, c.origin)
		}
	}
}

// The value of a dead letter has the headers too. Where both together are more than the topic takes, they are left there:
// no transaction may fail for them.
func TestHeadersThatDoNotFitBesideTheValueAreLeftInIt(t *testing.T) {
	r := newRemote(t, "maxAttempts: 1\n  onFailure: dead-letter", failing, forwardingTopic...)
	r.up()
	large := strings.Repeat("h", 600_000)
	produced := &kgo.Record{Topic: "in", Key: []byte("bad"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "large", Value: []byte(large)}}}
	if err := r.manual.ProduceSync(t.Context(), produced).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.until("it is in the dead-letter topic", func() bool { return len(r.read("app-dead-letter")) == 1 })
	letter := r.read("app-dead-letter")[0]
	if letter.Headers[0].Key != ingress.HeaderReason || !strings.Contains(string(letter.Value), large) {
		t.Errorf("its first header is %s and its value has %d bytes", letter.Headers[0].Key, len(letter.Value))
	}
	if n := r.metric("statefun_worker_transactions_aborted_total"); n > 0 {
		t.Errorf("%v transactions were aborted", n)
	}
}

// Every failure that ends an input has a word of its own.
func TestTheReasonOfADeadLetter(t *testing.T) {
	for want, err := range map[string]error{
		"refused":           fmt.Errorf("%w: for a test", errRefused),
		"state-type":        fmt.Errorf("state: %w", &task.Retyped{Err: errors.New("for a test")}),
		"overflow":          errOverflow,
		"request-too-large": &invoker.Error{Kind: invoker.KindRequestTooLarge, Err: invoker.ErrTooLarge},
		"closed":            &invoker.Error{Kind: invoker.KindClosed},
		"other":             errors.New("for a test"),
	} {
		if got := reason(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// batchOf lets inputs of one address gather to a batch behind its first call.
func (r *remote) batchOf(hold chan struct{}, values ...string) {
	r.t.Helper()
	for _, v := range values {
		r.put("in", 0, "K", v)
	}
	r.until("they wait", func() bool { return r.metric("statefun_worker_records_total") == float64(len(values)) })
	r.loop(func(*Worker) {})
	close(hold)
}

// behindTheFirst lets the first call wait.
func behindTheFirst(hold chan struct{}, f script) script {
	var once sync.Once
	return func(ctx context.Context, call *callOf, out *reply) error {
		once.Do(func() { <-hold })
		return f(ctx, call, out)
	}
}

// A function's process crashes over one input of ten, which the worker sees as a connection that is dropped, again and
// again. That input goes by the policy, the nine others are worked on.
func TestAnInputThatCrashesItsFunctionDoesNotTakeItsBatchAlong(t *testing.T) {
	hold := make(chan struct{})
	r := newRemote(t, "maxAttempts: 2\n  onFailure: dead-letter", behindTheFirst(hold, func(ctx context.Context, call *callOf, out *reply) error {
		for _, a := range call.arguments {
			if string(a) == "poison" {
				return errors.New("crashes")
			}
		}
		return echo(ctx, call, out)
	}))
	r.up()
	r.batchOf(hold, "r0", "r1", "r2", "r3", "r4", "r5", "poison", "r7", "r8", "r9")
	r.expect("K", "1:r0", "2:r1", "3:r2", "4:r3", "5:r4", "6:r5", "7:r7", "8:r8", "9:r9")
	if letters := r.read("app-dead-letter"); len(letters) != 1 || !strings.Contains(string(letters[0].Value), "poison") {
		t.Errorf("%d inputs are in the dead-letter topic", len(letters))
	}
}

// A server drops the connection of a body that it finds too large, or does not come to an end with it in time, and says no
// more. Under the default policy the address is tried again, and with half as many inputs when that fails too.
func TestAnAddressWhoseBatchIsTooMuchIsTriedAgainWithLess(t *testing.T) {
	for name, refuse := range map[string]func(ctx context.Context) error{
		"dropped": func(context.Context) error { return errors.New("too large") },
		"time-out": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			hold := make(chan struct{})
			spec := "transport:\n    type: io.statefun.transports.v1/async\n    call: 300ms\n    connect: 300ms"
			r := newRemote(t, spec, behindTheFirst(hold, func(ctx context.Context, call *callOf, out *reply) error {
				if len(call.arguments) > 2 {
					return refuse(ctx)
				}
				return echo(ctx, call, out)
			}))
			r.up()
			var values, want []string
			for i := range 4 {
				values, want = append(values, fmt.Sprint("r", i)), append(want, fmt.Sprint(i+1, ":r", i))
			}
			r.batchOf(hold, values...)
			r.expect("K", want...)
			if n := len(r.read("app-dead-letter")); n > 0 {
				t.Errorf("%d inputs were given up", n)
			}
		})
	}
}
