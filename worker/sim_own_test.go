package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/router"
)

// appends are what the programs have appended to the topic that they fill themselves. An append of which a program was
// told that it is durable is an input as any. One of a program that died before it was told may be one, and not twice.
type appends struct {
	mu   sync.Mutex
	open int
	told []told // and not looked at yet
	n    int
	// unsure are those that were not told, or told that nobody knows: input id → address.
	unsure map[string]int
}

type told struct {
	record *kgo.Record
	err    error
}

// openAppends gives a process the producer of its program, which is made as that of package embedded is.
func (p *process) openAppends() {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(p.s.brokers...), kgo.Dialer(p.network.dial), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, partitions int) int {
				return int(router.Partition(string(r.Key), int32(partitions)))
			}
		})),
	)
	if err != nil {
		p.s.t.Fatal(err)
	}
	p.appends = client
}

// append appends a record for an address, and does not wait until it is durable.
func (p *process) append(id string, a int) {
	s := p.s
	s.appends.mu.Lock()
	s.appends.open++
	s.appends.mu.Unlock()
	s.appends.unsure[id] = a
	r := &kgo.Record{Topic: filled, Key: []byte(address(a)), Value: []byte(id)}
	p.appends.Produce(s.t.Context(), r, func(r *kgo.Record, err error) {
		s.appends.mu.Lock()
		defer s.appends.mu.Unlock()
		s.appends.open--
		s.appends.told = append(s.appends.told, told{r, err})
	})
}

// learn takes in what the programs were told of their appends, and reports whether they were told of all.
func (s *sim) learn() (all bool) {
	s.appends.mu.Lock()
	news := s.appends.told
	s.appends.told = nil
	all = s.appends.open == 0
	s.appends.mu.Unlock()
	for _, t := range news {
		id, a := string(t.record.Value), addressOf(string(t.record.Key))
		var refused *kerr.Error
		switch {
		case errors.As(t.err, &refused) && !refused.Retriable && !errors.Is(t.err, kerr.OutOfOrderSequenceNumber):
			s.t.Errorf("append of %s: %v", id, t.err)
		case t.err != nil:
			s.tally["appends that nobody knows of"]++
		default:
			s.tally["appends"]++
			s.sent = append(s.sent, ingressRecord{filled, t.record.Partition, t.record.Offset, a, id})
			s.certain(id)
		}
	}
	return all
}

// certain makes an append that is durable, or whose effects were seen, an input as any.
func (s *sim) certain(root string) {
	if a, is := s.appends.unsure[root]; is {
		delete(s.appends.unsure, root)
		s.expect(root, a)
	}
}

// relieved reports whether the programs were told of all appends, the topic is done to its end, and all of it is deleted.
func (s *sim) relieved() bool {
	if !s.shape.own {
		return true
	}
	if !s.learn() {
		return false
	}
	done := s.cluster.GroupInfo("app").Commits[filled]
	for _, p := range s.cluster.PartitionInfos(filled) {
		if p.HighWatermark > 0 && (done[p.Partition].Offset < p.HighWatermark || p.LogStartOffset < p.HighWatermark) {
			s.trim()
			return false
		}
	}
	return true
}

// unrelieved tells what relieved waits for.
func (s *sim) unrelieved() (why string) {
	if !s.shape.own {
		return ""
	}
	s.appends.mu.Lock()
	why = fmt.Sprintf(" (%d open", s.appends.open)
	s.appends.mu.Unlock()
	done := s.cluster.GroupInfo("app").Commits[filled]
	for _, p := range s.cluster.PartitionInfos(filled) {
		why += fmt.Sprintf("; partition %d from %d to %d, done %d", p.Partition, p.LogStartOffset, p.HighWatermark, done[p.Partition].Offset)
	}
	return why + ")"
}

// trim makes the deletion of what is done due at all workers.
func (s *sim) trim() {
	for _, p := range s.processes {
		worker := p.worker
		worker.post(func() { worker.trimmed = worker.now.Add(-trimEvery) })
	}
}

// watchDeletions sees that nothing is deleted that is not done: by what the group has committed when the request comes,
// since progress rows and offsets are committed together. A position that is not committed may not last.
func (s *sim) watchDeletions() {
	s.cluster.ControlKey(int16(kmsg.DeleteRecords), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		s.cluster.SleepControl(func() {
			done := s.cluster.GroupInfo("app").Commits
			for _, t := range r.(*kmsg.DeleteRecordsRequest).Topics {
				for _, p := range t.Partitions {
					s.deletions.Add(1)
					if at := done[t.Topic][p.Partition].Offset; p.Offset > at {
						s.t.Errorf("%s partition %d is deleted below %d, done is what is below %d", t.Topic, p.Partition, p.Offset, at)
					}
				}
			}
		})
		return nil, nil, false
	})
}

// tellEnds answers where a leader epoch ends as Kafka does, since nothing is ever cut off here: at the log's end. Of a
// partition that is deleted to its end kfake says 0, and a reader would go back there.
func (s *sim) tellEnds() {
	s.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		asked := r.(*kmsg.OffsetForLeaderEpochRequest)
		answer := asked.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		s.cluster.SleepControl(func() {
			for _, t := range asked.Topics {
				told := kmsg.NewOffsetForLeaderEpochResponseTopic()
				told.Topic = t.Topic
				infos := s.cluster.PartitionInfos(t.Topic)
				for _, p := range t.Partitions {
					told.Partitions = append(told.Partitions, endOf(infos, p.Partition, p.LeaderEpoch))
				}
				answer.Topics = append(answer.Topics, told)
			}
		})
		return answer, nil, true
	})
}

// endOf is the answer for one partition.
func endOf(infos []*kfake.PartitionInfo, partition, epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	end := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	end.Partition, end.LeaderEpoch = partition, epoch
	for i := range infos {
		if infos[i].Partition == partition {
			end.EndOffset = infos[i].HighWatermark
		}
	}
	return end
}

// ownFaults are those of appends and of the deletion of what is done.
func (s *sim) ownFaults(p *process) []fault {
	arm := func(name string, key kmsg.Key, errs ...*kerr.Error) fault {
		err := errs[s.rng.IntN(len(errs))]
		return fault{name + ": " + err.Message, func() {
			s.trim()
			s.arm(kfake.Fault{Keys: []kmsg.Key{key}, Topic: filled, Err: err, Count: 1 + s.rng.IntN(2)})
		}}
	}
	here := func(host string) bool { return true }
	return []fault{
		arm("append", kmsg.Produce, kerr.RequestTimedOut), // it is carried out, as with the first error of the next
		arm("append", kmsg.Produce, kerr.NotEnoughReplicasAfterAppend, kerr.NotLeaderForPartition, kerr.NotEnoughReplicas),
		arm("delete", kmsg.DeleteRecords, kerr.RequestTimedOut), // it is carried out
		arm("delete", kmsg.DeleteRecords, kerr.NotLeaderForPartition, kerr.UnknownServerError),
		{"kill before a deletion", func() {
			s.trim()
			p.killAt(kmsg.DeleteRecords, false, here)
		}},
		{"kill before the answer to a deletion", func() {
			s.trim()
			p.killAt(kmsg.DeleteRecords, true, here)
		}},
		{"kill of a program with its appends", func() {
			for range 10 {
				s.loadOwn(p, s.rng.IntN(simAddresses))
			}
			p.kill()
			p.start()
		}},
	}
}

// loadOwn appends a record for an address.
func (s *sim) loadOwn(p *process, a int) {
	s.appends.n++
	p.append(fmt.Sprint("o", s.appends.n), a)
}
