package worker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTheClientIDTellsNameAndProcess(t *testing.T) {
	for id, want := range map[string][2]string{
		clientID("worker-0", "5f0c"): {"worker-0", "5f0c"},
		"console-consumer":           {"console-consumer", ""},
	} {
		if name, nonce := ParseClientID(id); name != want[0] || nonce != want[1] {
			t.Errorf("%q is read as name %q and nonce %q", id, name, nonce)
		}
	}
}

// Somebody joins and there is nothing to give to him. The rebalance must not disturb the partitions: what is read goes
// on being read.
func TestARebalanceThatTakesNothingLeavesTheReadersAlone(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.settled()
	var before *reader
	l.loop(func(w *Worker) { before = w.ingress })
	generation := l.cluster.GroupInfo("app").Epoch
	other, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumerGroup("app"), kgo.ConsumeTopics("app-mailbox"),
		kgo.Balancers(bystander()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l.until("the group has another generation", func() bool {
		_, now := l.worker.group.identity()
		return l.cluster.GroupInfo("app").Epoch > generation && now > generation
	})
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	l.loop(func(w *Worker) {
		if w.ingress != before {
			t.Error("the readers were replaced")
		}
	})
}
