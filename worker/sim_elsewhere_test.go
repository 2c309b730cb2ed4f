package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/outbox"
)

// simLook is how often a worker looks whether the other cluster is there.
const simLook = 100 * time.Millisecond

// elsewhere is another cluster, from which an ingress is read, to which an egress writes, or both. Nothing of the
// application lies there. It may be away for a while: no worker reaches it then.
type elsewhere struct {
	*arrivals // of its topic "out"
	s         *sim
	cluster   *kfake.Cluster
	client    *kgo.Client // of those who fill its topic "in", which it is never away for
	hosts     []string
	gone      atomic.Bool
	back      *time.Timer
}

func newElsewhere(s *sim) *elsewhere {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(simBrokers), kfake.ClusterID("elsewhere"), kfake.SeedTopics(simPartitions, "in", "out"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(cluster.Close)
	e := &elsewhere{s: s, cluster: cluster, hosts: cluster.ListenAddrs(), back: time.NewTimer(0), arrivals: newArrivals(s, "the other cluster")}
	e.client = manualProducer(s.t, e.hosts)
	if s.shape.far {
		e.follow()
	}
	return e
}

func (e *elsewhere) address() string { return strings.Join(e.hosts, ",") }

func (e *elsewhere) is(host string) bool { return slices.Contains(e.hosts, host) }

// isAway reports whether a host is one of the cluster while that is away.
func (e *elsewhere) isAway(host string) bool { return e.gone.Load() && e.is(host) }

// follow reads what the egress writes there, until the test ends.
func (e *elsewhere) follow() {
	client, err := kgo.NewClient(kgo.SeedBrokers(e.hosts...), kgo.ConsumeTopics("out"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		e.s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(e.read)
		}
	}()
	e.s.t.Cleanup(func() {
		cancel()
		<-ended
		client.Close()
	})
}

func (e *elsewhere) read(r *kgo.Record) {
	id := ""
	for _, h := range r.Headers {
		if h.Key == outbox.HeaderID {
			id = string(h.Value)
		}
	}
	e.came(fmt.Sprint("partition ", r.Partition), id, string(r.Key), string(r.Value))
}

// leave makes the cluster unreachable for the workers, for a while.
func (e *elsewhere) leave(d time.Duration) {
	e.back.Stop()
	e.gone.Store(true)
	for _, p := range e.s.processes {
		p.network.breakTo(e.is)
	}
	e.back = time.AfterFunc(d, func() { e.gone.Store(false) })
}

// come makes it reachable.
func (e *elsewhere) come() {
	e.back.Stop()
	e.gone.Store(false)
}

// faults are those of the other cluster and of the way there. None of them makes the egress believe that the topic itself
// refuses what comes: that is believed for 10 s, longer than a run takes.
func (e *elsewhere) faults(p *process) []fault {
	s := e.s
	inject := func(key kmsg.Key, errs ...*kerr.Error) fault {
		err := errs[s.rng.IntN(len(errs))]
		return fault{fmt.Sprintf("elsewhere, %s: %s", key.Name(), err.Message), func() { e.inject(key, err) }}
	}
	faults := []fault{
		{"elsewhere: away", func() { e.leave(time.Duration(100+s.rng.IntN(900)) * time.Millisecond) }},
		{"elsewhere: away, and a kill", func() {
			e.leave(time.Duration(100+s.rng.IntN(900)) * time.Millisecond)
			p.kill()
			p.start()
		}},
		{"elsewhere: connections broken", func() { p.network.breakTo(e.is) }},
		{"elsewhere: leaders moved", func() { e.cluster.ShufflePartitionLeaders() }},
		inject(kmsg.Metadata, kerr.LeaderNotAvailable),
	}
	if s.shape.far {
		faults = append(faults,
			inject(kmsg.Produce, kerr.RequestTimedOut), // it is carried out, as with the second error of the next
			inject(kmsg.Produce, kerr.NotLeaderForPartition, kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas),
			fault{"elsewhere: batch refused", e.refuseBatch},
			fault{"elsewhere: kill before a produce", func() { p.killAt(kmsg.Produce, false, e.is) }},
			fault{"elsewhere: kill before the answer to a produce", func() { p.killAt(kmsg.Produce, true, e.is) }},
		)
	}
	if s.shape.away {
		faults = append(faults,
			inject(kmsg.Fetch, kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.ReplicaNotAvailable),
			inject(kmsg.ListOffsets, kerr.NotLeaderForPartition, kerr.UnknownServerError),
			fault{"elsewhere: kill before the answer to a fetch", func() { p.killAt(kmsg.Fetch, true, e.is) }},
		)
	}
	return faults
}

func (e *elsewhere) inject(key kmsg.Key, err *kerr.Error) {
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: 1 + e.s.rng.IntN(2)}
	if key == kmsg.Produce { // not of those who fill its topic
		f.Topic = "out"
	}
	e.s.pending = append(e.s.pending, armed{e.s.doing, e.cluster.Fault(f)})
}

// refuseBatch lets the next records be refused that come together, so that each of them is tried alone: none of them is to
// blame.
func (e *elsewhere) refuseBatch() {
	errs := []*kerr.Error{kerr.InvalidRecord, kerr.InvalidTimestamp}
	e.s.pending = append(e.s.pending, armed{e.s.doing, e.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: "out", Err: errs[e.s.rng.IntN(len(errs))],
		When: func(r kmsg.Request) bool {
			records := 0
			for _, t := range r.(*kmsg.ProduceRequest).Topics {
				for _, p := range t.Partitions {
					var batch kmsg.RecordBatch
					if batch.ReadFrom(p.Records) == nil {
						records += int(batch.NumRecords)
					}
				}
			}
			return records > 1
		},
	})})
}

// killAt kills the process when a request of a kind is written to some host, or has been.
func (p *process) killAt(key kmsg.Key, after bool, where func(host string) bool) {
	came := p.s.await(p.network.freezeAt(key, after, where))
	if p.network.forget(); came {
		p.kill()
		p.start()
	}
}
