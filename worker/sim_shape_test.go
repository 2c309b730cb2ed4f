package worker

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// shape is what a seed makes of the application: how many workers, what becomes of the group, on what kind of broker.
type shape struct {
	kind     string
	workers  int // at the start
	steps    int
	pause    int  // ms, at most, between two steps
	first    bool // the first transaction protocol
	redpanda bool
	standby  bool
	rebuilt  bool // at the end all disks are lost
	sink     bool // functions send to Go code
	own      bool // the program fills an ingress
	far      bool // functions send to another cluster
	away     bool // an ingress lies there
}

func shapeOf(seed uint64) shape {
	s := shape{steps: 25, pause: 30, first: seed%2 == 0, redpanda: seed%6 == 4, standby: seed%7 == 3, rebuilt: seed%5 == 2}
	s.sink, s.own, s.far, s.away = seed%3 == 1, seed%11%3 == 0 && seed%11 < 9, seed%7 == 1 || seed%7 == 5, seed%9 == 6 || seed%9 == 8
	switch seed % 8 {
	case 1, 6:
		s.kind, s.workers = "one worker", 1
	case 2, 5:
		s.kind, s.workers, s.pause = "two workers", 2, 60
	case 3, 0:
		s.kind, s.workers, s.steps, s.pause = "1 to 4 to 2 workers", 1, 36, 80
	case 4:
		s.kind, s.workers, s.steps, s.pause = "rolling restart of 3", 3, 30, 80
	case 7:
		s.kind, s.workers, s.pause = "four workers", 4, 60
	}
	return s
}

// versions are what the brokers speak, nil: the newest.
func (s shape) versions() *kversion.Versions {
	if s.first {
		return kversion.FromString("v3.9")
	}
	return nil
}

// String describes it for a summary.
func (s shape) String() string {
	also := []string{s.kind}
	for what, is := range map[string]bool{"first transaction protocol": s.first, "second transaction protocol": !s.first} {
		if is {
			also = append(also, what)
		}
	}
	if s.redpanda {
		also = append(also, "as Redpanda answers")
	}
	if s.standby {
		also = append(also, "standbys")
	}
	if s.rebuilt {
		also = append(also, "rebuilt")
	}
	if s.sink {
		also = append(also, "a sink")
	}
	if s.own {
		also = append(also, "a topic of its own")
	}
	if s.far {
		also = append(also, "an egress elsewhere")
	}
	if s.away {
		also = append(also, "an ingress elsewhere")
	}
	return strings.Join(also, ", ")
}

// module is the module's text; elsewhere is the address of the other cluster.
func (s shape) module(elsewhere string) string {
	const topic = "    - topic: in\n      valueType: test/command\n      targets: [test/f]\n"
	lines := []string{topic, topic + strings.Replace(topic, "topic: in", "topic: in2", 1)}
	if s.standby {
		lines = append(lines, "  id: app", "  id: app\n  standbyReplicas: 1")
	}
	text := replaced(lines...)
	if elsewhere == "" {
		return text
	}
	text = strings.Replace(text, "  id: app\n", "  id: app\n  brokers: localhost:1\n", 1)
	if s.away {
		text += ingressElsewhere + "  address: " + elsewhere + "\n"
	}
	if s.far {
		text += egressElsewhere + "  address: " + elsewhere + "\n"
	}
	return text
}

const (
	ingressElsewhere = `---
kind: io.statefun.kafka.v1/ingress
spec:
  id: test/away
  consumerGroupId: elsewhere
  startupPosition: {type: earliest}
  topics:
    - topic: in
      valueType: test/command
      targets: [test/f]
`
	egressElsewhere = `---
kind: io.statefun.kafka.v1/egress
spec:
  id: test/far
`
)

// nextName names a worker. A stopped worker's name is taken again, so that its transactional ids are too.
func (s *sim) nextName() string {
	for n := 1; ; n++ {
		name := fmt.Sprint("w", n)
		taken := false
		for _, p := range s.processes {
			taken = taken || p.name == name
		}
		if !taken {
			s.named = max(s.named, n)
			return name
		}
	}
}

// change changes the group at a step, by the shape.
func (s *sim) change(step int) {
	switch s.shape.kind {
	case "1 to 4 to 2 workers":
		switch step {
		case 5, 9, 13:
			s.count("worker added")
			s.add()
		case 22, 28:
			s.count("worker stopped")
			i := s.rng.IntN(len(s.processes))
			s.processes[i].stop()
			s.processes = append(s.processes[:i], s.processes[i+1:]...)
		}
	case "rolling restart of 3":
		if step%8 == 5 {
			s.count("worker restarted")
			p := s.processes[step/8%len(s.processes)]
			p.stop()
			p.start()
		}
	}
}

// shortRebalances makes the brokers wait for members that do not join again for 3 s instead of the worker's 45. kfake
// miscounts those who wait when a member is removed that waits for its assignment (removeMember takes it for one that
// joins), and the group then stands still for that long.
func (s *sim) shortRebalances() {
	s.cluster.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		r.(*kmsg.JoinGroupRequest).RebalanceTimeoutMillis = 3000
		return nil, nil, false
	})
}

// likeRedpanda makes the brokers answer as Redpanda does where it differs (H15): there is no second transaction protocol
// and no KIP-848, which the version sees to, and offsets that come while a rebalance completes are refused with
// CONCURRENT_TRANSACTIONS. That its compaction keeps no markers is not tried: kfake keeps the list of aborted transactions
// when it drops their markers, and a reader then takes all that follows from such a producer for aborted.
func (s *sim) likeRedpanda() {
	var completes time.Time // touched by the cluster's goroutine only
	note := func(kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		completes = time.Now().Add(20 * time.Millisecond)
		return nil, nil, false
	}
	s.cluster.ControlKey(int16(kmsg.JoinGroup), note)
	s.cluster.ControlKey(int16(kmsg.SyncGroup), note)
	s.cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if time.Now().After(completes) {
			return nil, nil, false
		}
		request := r.(*kmsg.TxnOffsetCommitRequest)
		response := request.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, t := range request.Topics {
			answer := kmsg.NewTxnOffsetCommitResponseTopic()
			answer.Topic, answer.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				q := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				q.Partition, q.ErrorCode = p.Partition, kerr.ConcurrentTransactions.Code
				answer.Partitions = append(answer.Partitions, q)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
}
