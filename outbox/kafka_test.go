package outbox

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// What a newer worker has put into the outbox is not given up by an older one: that one keeps it and tries again, until a
// newer one has the partition.
func TestARecordInANewerFormatIsKept(t *testing.T) {
	k := NewKafka(nil, egress.NewCatalog(egress.Options{}), nil, nil)
	of := func(version byte) (outcome error) {
		payload := AppendRecord(nil, &kgo.Record{Topic: "t", Value: []byte("v")})
		payload[0] = version
		k.Deliver(t.Context(), Item{Outbox: state.Outbox{Payload: payload}}, func(err error) { outcome = err })
		return outcome
	}
	var refusal *Refusal
	if err := of(recordVersion + 1); !errors.Is(err, protocol.ErrNewer) || errors.As(err, &refusal) {
		t.Errorf("a newer format ends with %v, want one that is tried again", err)
	}
	if err := of(recordVersion - 1); !errors.As(err, &refusal) || refusal.Reason != "undecodable" || !refusal.Certain {
		t.Errorf("a format that no version has written ends with %v, want a refusal", err)
	}
}

func TestATopicIsGivenTimeToBeMadeAndARecordIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKafka(nil, egress.NewCatalog(egress.Options{}), nil, nil)
		final := func(err error) bool {
			var refusal *Refusal
			return errors.As(err, &refusal)
		}
		for _, missing := range []error{kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed} {
			if final(k.judge("t", missing)) {
				t.Errorf("%v is final at once", missing)
			}
			time.Sleep(refusedFor)
			if !final(k.judge("t", missing)) || final(k.judge("other", missing)) {
				t.Errorf("%v is not final for this topic alone after %v", missing, refusedFor)
			}
			if err := k.judge("t", nil); err != nil {
				t.Error(err)
			}
			if final(k.judge("t", missing)) {
				t.Errorf("%v is final at once for a topic that has taken a record since", missing)
			}
			delete(k.refuses, "t")
			delete(k.refuses, "other")
		}
		if !final(k.judge("t", kerr.MessageTooLarge)) {
			t.Error("a record that is too large is tried again")
		}
		if err := k.judge("t", kerr.NotLeaderForPartition); err == nil || final(err) {
			t.Errorf("a fault of the cluster: %v", err)
		}
	})
}

// A topic that was missing long ago and is missing again has its time again.
func TestATopicThatRefusedLongAgoIsGivenTimeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKafka(nil, egress.NewCatalog(egress.Options{}), nil, nil)
		var refusal *Refusal
		for range 2 {
			if errors.As(k.judge("t", kerr.UnknownTopicOrPartition), &refusal) {
				t.Error("it is final at once")
			}
			time.Sleep(10 * time.Minute)
		}
		for range 4 {
			if errors.As(k.judge("t", kerr.UnknownTopicOrPartition), &refusal) {
				t.Error("it is final too early")
			}
			time.Sleep(refusedFor / 4)
		}
		if !errors.As(k.judge("t", kerr.UnknownTopicOrPartition), &refusal) {
			t.Error("it is not final though it has lasted")
		}
	})
}
