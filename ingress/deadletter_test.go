package ingress

import (
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// What a message carries is the record's headers again when it becomes a dead letter.
func TestHeadersComeBackFromWhatAMessageCarries(t *testing.T) {
	headers := []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}, {Key: "a", Value: []byte{}}, {Key: "traceparent", Value: []byte("00-2")}, {Key: "n"}}
	came := append([]kgo.RecordHeader{{Key: HeaderReason, Value: []byte("from an earlier time")}, {Key: "statefun.invalid/defect", Value: []byte("x")}}, headers...)
	envelopes, err := forwarding(0).Decode(withHeaders(came...))
	if err != nil {
		t.Fatal(err)
	}
	_, argument, err := protocol.ParseInvocation(envelopes[0].Invocation)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := protocol.Metadata(argument)
	if err != nil {
		t.Fatal(err)
	}
	if got := Headers(metadata); !reflect.DeepEqual(got, headers) {
		t.Errorf("%v, want %v", got, headers)
	}
	if got := Headers(nil); got != nil {
		t.Errorf("%v of nothing", got)
	}
}
