package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/proxy"
	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// leaderKill ends the broker that leads one of the application's partitions, and coordinatorKill the one that has its
// group or some of its transactions.
func leaderKill(h *hazard) {
	h.run.cluster.away.Lock() // before the choice: who leads now may not lead when another broker is back
	defer h.run.cluster.away.Unlock()
	topic := h.run.topic([]string{"changelog", "mailbox", "in", "side", "out"}[h.random.IntN(5)])
	if h.run.plan.embedded() && h.random.IntN(4) == 0 {
		topic = appendedTopic(h.run.id)
	}
	h.killLeader(topic)
}

func coordinatorKill(h *hazard) {
	h.run.cluster.away.Lock()
	defer h.run.cluster.away.Unlock()
	if h.random.IntN(2) == 0 {
		h.killLeader("__transaction_state")
		return
	}
	group := h.run.cluster.admin.FindGroupCoordinators(h.ctx, h.run.id)[h.run.id]
	if group.Err != nil {
		h.note("the group has no coordinator now: %v", group.Err)
		h.run.skipped(h.kind)
		return
	}
	h.killBroker(group.NodeID, "which has the group")
}

// killLeader kills the broker that leads a partition of a topic, whichever.
func (h *hazard) killLeader(topic string) {
	seats, err := h.run.cluster.seats(h.ctx)
	var led []seat
	for s, p := range seats {
		if s.topic == topic && p.Leader > 0 {
			led = append(led, s)
		}
	}
	if err != nil || len(led) == 0 {
		h.note("nobody leads %s now (%v)", topic, err)
		h.run.skipped(h.kind)
		return
	}
	slices.SortFunc(led, seat.compare)
	one := led[h.random.IntN(len(led))]
	h.killBroker(seats[one].Leader, fmt.Sprintf("which leads %s %d", topic, one.partition))
}

// killBroker kills a broker, which comes back soon, or when all that it led has other leaders.
func (h *hazard) killBroker(id int32, why string) {
	soon := h.random.IntN(3) == 0
	h.run.check(h.run.cluster.without(h.ctx, id, (*realkafka.Broker).Kill, func() {
		began := time.Now()
		h.note("killed broker %d, %s", id, why)
		if !soon {
			h.run.check(h.run.cluster.awaitDeposed(h.ctx, id))
			h.note("it leads nothing any more after %v", time.Since(began).Round(time.Millisecond))
		}
		h.pause(0, 2*time.Second)
	}))
	h.note("broker %d is back", id)
}

// brokerStall freezes a broker: for a moment, or until it has lost what it led. It wakes up as one that still takes itself
// for the leader.
func brokerStall(h *hazard) {
	h.run.cluster.away.Lock()
	defer h.run.cluster.away.Unlock()
	id, short := h.anyBroker(), h.random.IntN(3) == 0
	h.run.check(h.run.cluster.stall(id, func() {
		began := time.Now()
		if short {
			h.pause(time.Second, 5*time.Second)
		} else {
			h.run.check(h.run.cluster.awaitDeposed(h.ctx, id))
			h.pause(0, 4*time.Second)
		}
		h.note("broker %d for %v", id, time.Since(began).Round(time.Millisecond))
	}))
}

// brokerRolling restarts one broker after the other, as an operator does who changes a setting or the version.
func brokerRolling(h *hazard) {
	h.run.cluster.away.Lock()
	defer h.run.cluster.away.Unlock()
	for _, b := range h.run.cluster.brokers.Brokers() {
		h.run.check(h.run.cluster.without(h.ctx, b.ID(), (*realkafka.Broker).End, func() {}))
		h.note("broker %d is back", b.ID())
		h.run.check(h.run.cluster.awaitInSync(h.ctx)) // as one does who wants no partition without a leader
	}
}

// leadersElect lets other brokers lead, by a new order of the copies and an election.
func leadersElect(h *hazard) {
	c := h.run.cluster
	h.moveLeaders(3+h.random.IntN(3), func(ctx context.Context, order map[seat][]int32) error {
		if err := c.assign(ctx, order); err != nil {
			return err
		}
		return c.elect(ctx, order)
	})
}

// leadersReassign takes partitions away from the brokers that lead them, and gives them back as to one that has nothing.
func leadersReassign(h *hazard) {
	c := h.run.cluster
	h.moveLeaders(2, func(ctx context.Context, order map[seat][]int32) error {
		fewer := map[seat][]int32{}
		for s, brokers := range order {
			fewer[s] = brokers[:len(brokers)-1]
		}
		if err := c.assign(ctx, fewer); err != nil {
			return err
		}
		h.pause(500*time.Millisecond, 2*time.Second)
		return nil
	})
}

// moveLeaders does something to half of all partitions, several times. move gets their copies in a new order, the present
// leader last; each has all of them again in the end.
func (h *hazard) moveLeaders(rounds int, move func(context.Context, map[seat][]int32) error) {
	c := h.run.cluster
	c.moving.Lock()
	defer c.moving.Unlock()
	for range rounds {
		seats, err := c.seats(h.ctx)
		if err != nil {
			h.note("%v", err)
			continue
		}
		order := h.drawOrder(seats)
		if err := move(h.ctx, order); err != nil {
			h.note("%v", err) // a broker may be away just now
		}
		h.run.check(c.persist(h.ctx, func(ctx context.Context) error { return c.assign(ctx, order) }))
		h.note("%d partitions are to have another leader", len(order))
		h.pause(500*time.Millisecond, 2*time.Second)
	}
}

// drawOrder gives half of the partitions a new order of their copies, with the present leader behind the others.
func (h *hazard) drawOrder(seats map[seat]kadm.PartitionDetail) map[seat][]int32 {
	order := map[seat][]int32{}
	for _, s := range slices.SortedFunc(maps.Keys(seats), seat.compare) {
		p := seats[s]
		if h.random.IntN(2) == 0 || len(p.Replicas) < 2 {
			continue
		}
		brokers := slices.Clone(p.Replicas)
		h.random.Shuffle(len(brokers), func(i, j int) { brokers[i], brokers[j] = brokers[j], brokers[i] })
		if at := slices.Index(brokers, p.Leader); at >= 0 {
			brokers = append(slices.Delete(brokers, at, at+1), p.Leader)
		}
		order[s] = brokers
	}
	return order
}

// partWay keeps one worker from one broker.
func partWay(h *hazard) {
	h.withWorker(func(f *fleet, s *slot) {
		defer h.run.cluster.disturb()()
		w, name := h.weather()
		d, id := h.between(2*time.Second, 12*time.Second), h.anyBroker()
		h.note("%s from broker %d, %s for %v", s.name, id, name, d.Round(time.Millisecond))
		way := h.run.cluster.doors[slices.Index(f.slots, s)][id-1]
		way.Turn(w)
		process.Pause(h.ctx, d)
		way.Turn(proxy.Fair)
	})
}
