package statefuntest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// TestHeadersAreReadAndWrittenAsTheWorkerDoes gives a function what an ingress with forwardHeaders writes, and reads what
// it sends as an egress does.
func TestHeadersAreReadAndWrittenAsTheWorkerDoes(t *testing.T) {
	stamp := []byte("1700000000123")
	in := []protocol.KafkaHeader{{Key: "k", Value: []byte("1")}, {Key: "null"}, {Key: "empty", Value: []byte{}}, {Key: "k", Value: []byte("2")},
		{Key: protocol.TimestampKey, Value: stamp}}
	h, err := statefun.NewHandler(statefun.Function{Type: "test/f", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		if at := m.Origin().Timestamp; !at.Equal(time.UnixMilli(1700000000123)) {
			return fmt.Errorf("the record is of %s", at)
		}
		ctx.Send(ctx.Self(), m.TypedValue())
		ctx.Egress("test/out", statefun.KafkaRecord{Topic: "t", Key: "k", Value: m.Bytes(), Headers: m.Headers(), Timestamp: m.Origin().Timestamp})
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	target := protocol.Address{Type: protocol.TypeName{Namespace: "test", Name: "f"}, ID: "x"}
	invocation := protocol.AppendIngressInvocation(nil, "test/raw", []byte("v"), in...)
	body, err := h.Invoke(context.Background(), protocol.AppendToFunction(nil, target, nil, [][]byte{invocation}))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := protocol.ParseAnswer(body)
	if err != nil || len(answer.Egresses) != 1 || len(answer.Messages) != 1 {
		t.Fatalf("%+v %v", answer, err)
	}
	if _, argument, _ := protocol.ParseInvocation(invocation); string(argument) != string(answer.Messages[0].Argument) {
		t.Errorf("passed on as %q", answer.Messages[0].Argument)
	}
	_, _, value, err := protocol.ParseTypedValue(answer.Egresses[0].Argument)
	if err != nil {
		t.Fatal(err)
	}
	r, err := protocol.ParseKafkaProducerRecord(value)
	if err != nil || r.Topic != "t" || r.Key != "k" || string(r.Value) != "v" {
		t.Errorf("%+v %v", r, err)
	}
	if fmt.Sprintf("%#v", r.Headers) != fmt.Sprintf("%#v", in) {
		t.Errorf("%#v", r.Headers)
	}
}
