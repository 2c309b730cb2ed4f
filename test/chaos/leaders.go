package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// seat is one partition, whose leader may change.
type seat struct {
	topic     string
	partition int32
}

// internal says whether the topic is Kafka's own.
func (s seat) internal() bool { return strings.HasPrefix(s.topic, "__") }

func (s seat) compare(o seat) int {
	return cmp.Or(cmp.Compare(s.topic, o.topic), cmp.Compare(s.partition, o.partition))
}

// seats are all partitions of the cluster, Kafka's own too.
func (c *cluster) seats(ctx context.Context) (map[seat]kadm.PartitionDetail, error) {
	topics, err := c.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask who leads what: %w", err)
	}
	all := map[seat]kadm.PartitionDetail{}
	for name, t := range topics {
		for _, p := range t.Partitions {
			all[seat{name, p.Partition}] = p
		}
	}
	return all, nil
}

// lookEvery is how often the leaders are looked at.
const lookEvery = 200 * time.Millisecond

// watch counts how often partitions get another leader.
type watch struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
	leads  map[seat]int32
	moves  moves // read after ended
}

// moves count changes of leaders.
type moves struct{ application, internal int }

// watchLeaders looks at the leaders until the watch is stopped.
func (c *cluster) watchLeaders() *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{cancel: cancel, leads: map[seat]int32{}}
	w.ended.Go(func() {
		for process.Pause(ctx, lookEvery) {
			if seats, err := c.seats(ctx); err == nil {
				w.look(seats)
			}
		}
	})
	return w
}

// look notes the leaders that are others than before.
func (w *watch) look(seats map[seat]kadm.PartitionDetail) {
	for s, p := range seats {
		if p.Leader < 0 {
			continue
		}
		before, known := w.leads[s]
		w.leads[s] = p.Leader
		switch {
		case !known || before == p.Leader:
		case s.internal():
			w.moves.internal++
		default:
			w.moves.application++
		}
	}
}

// stop ends the watch and says what it saw.
func (w *watch) stop() moves {
	w.cancel()
	w.ended.Wait()
	return w.moves
}

// patience is how long the cluster may take over what the suite asks of it: a broker that is away keeps what it leads for
// its session, and a busy machine adds to that.
const patience = 40 * time.Second

// persist does something again and again until it works.
func (c *cluster) persist(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil || !process.Pause(ctx, lookEvery) {
			return err
		}
	}
}

// awaitDeposed waits until a broker leads nothing.
func (c *cluster) awaitDeposed(ctx context.Context, id int32) error {
	return c.awaitSeats(ctx, fmt.Sprintf("broker %d has lost what it led", id), func(p kadm.PartitionDetail) bool { return p.Leader != id })
}

// awaitInSync waits until every partition has all its copies in sync.
func (c *cluster) awaitInSync(ctx context.Context) error {
	return c.awaitSeats(ctx, "all copies are in sync", func(p kadm.PartitionDetail) bool { return len(p.ISR) == len(p.Replicas) })
}

func (c *cluster) awaitSeats(ctx context.Context, what string, good func(kadm.PartitionDetail) bool) error {
	return c.persist(ctx, func(ctx context.Context) error {
		seats, err := c.seats(ctx)
		if err != nil {
			return err
		}
		for s, p := range seats {
			if !good(p) {
				return fmt.Errorf("wait until %s: %s %d is led by %d, in sync on %v of %v", what, s.topic, s.partition, p.Leader, p.ISR, p.Replicas)
			}
		}
		return nil
	})
}

// assign gives partitions to brokers, the preferred leader first.
func (c *cluster) assign(ctx context.Context, to map[seat][]int32) error {
	request := kadm.AlterPartitionAssignmentsReq{}
	for s, brokers := range to {
		request.Assign(s.topic, s.partition, brokers)
	}
	answer, err := c.admin.AlterPartitionAssignments(ctx, request)
	if err = errors.Join(err, answer.Error()); err != nil {
		return fmt.Errorf("assign %d partitions anew: %w", len(to), err)
	}
	return nil
}

// elect asks for the preferred leaders. A partition whose preferred leader is not in sync keeps the one it has.
func (c *cluster) elect(ctx context.Context, of map[seat][]int32) error {
	set := kadm.TopicsSet{}
	for s := range of {
		set.Add(s.topic, s.partition)
	}
	if _, err := c.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set); err != nil {
		return fmt.Errorf("elect the preferred leaders of %d partitions: %w", len(of), err)
	}
	return nil
}
