package worker

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
)

// switchPatience is how long a cut waits for a path that holds messages to become local. Without it a busy worker's
// cuts would come first each time and every message would go round through the mailbox.
const switchPatience = 20 * time.Millisecond

// send lets a message of partition from travel: into the same task, into another task of this worker, or through
// the mailbox topic, which it reports. Within one partition there never is another way, so the direct one needs no
// switch.
func (w *Worker) send(from *partition, e protocol.Envelope) (mailed bool) {
	to := router.Partition(e.Target.ID, w.plan.Partitions)
	q := w.partitions[to]
	runs := q != nil && q.stage == running // revoking or under restore is remote (H5)
	switch {
	case runs && (q == from || q.path.state == local):
		q.task.Deliver(e, w.now.UnixMilli())
	case runs && q.path.state == switching:
		q.held = append(q.held, e)
	default:
		w.mail(to, e)
		return true
	}
	return false
}

func (w *Worker) mail(to int32, e protocol.Envelope) {
	key, value := router.Encode(e)
	w.collect(&kgo.Record{Topic: w.names.mailbox, Partition: to, Key: key, Value: value})
	w.metrics.mailboxSent.Inc()
}

// collect adds a record to the next transaction.
func (w *Worker) collect(r *kgo.Record) {
	w.collected = append(w.collected, r)
	w.bytes += len(r.Key) + len(r.Value) + recordOverhead
}

// recordOverhead is what a record weighs in a transaction besides key and value.
const recordOverhead = 64

// leavePath sends what is for p through the mailbox again; what was held goes there first, or goes with an abort.
func (w *Worker) leavePath(p *partition, drop bool) {
	if !drop {
		for _, e := range p.held {
			w.mail(p.id, e)
		}
	}
	p.path = path{}
}

// resetPaths makes every path remote, as after any take-over (H4).
func (w *Worker) resetPaths(drop bool) {
	for _, p := range w.partitions {
		w.leavePath(p, drop)
	}
}

// switchPaths is part of a cut: a path that holds messages gives up for this time, the others begin to switch. It
// returns the partitions whose mailbox ends must be known once the transaction has ended.
func (w *Worker) switchPaths() (begun map[int32]uint64) {
	for _, p := range w.partitions {
		if p.stage != running {
			continue
		}
		if len(p.held) > 0 {
			w.leavePath(p, false)
			w.metrics.pathsLeft.Inc()
		}
		if p.path.state == viaMailbox && !w.stopping {
			w.turns++
			p.path.state, p.path.since, p.path.turn = switching, w.now, w.turns
			if begun == nil {
				begun = map[int32]uint64{}
			}
			begun[p.id] = w.turns
		}
	}
	return begun
}

// holding reports whether a cut should wait for a path that is about to become local.
func (w *Worker) holding() bool {
	for _, p := range w.partitions {
		if len(p.held) > 0 && w.now.Sub(p.path.since) < switchPatience {
			return true
		}
	}
	return false
}

// wantSwitch reports whether a path could begin to switch, for a worker that has nothing to commit.
func (w *Worker) wantSwitch() bool {
	for _, p := range w.partitions {
		if p.stage == running && p.path.state == viaMailbox {
			return true
		}
	}
	return false
}

// learnEnds asks for the ends of mailbox partitions, markers included, as they are after the take-over and after
// this worker has stopped writing there.
func (w *Worker) learnEnds(begun map[int32]uint64) {
	if len(begun) == 0 {
		return
	}
	ctx := w.epoch.ctx
	partitions := slices.Sorted(maps.Keys(begun))
	w.spawn(func() {
		for {
			ends, err := w.lookups.ends(ctx, w.names.mailbox, partitions)
			if err == nil {
				w.post(func() { w.onEnds(begun, ends) })
				return
			}
			w.log.Warn("read the ends of the mailbox", "error", err)
			if !pause(ctx, brokersRetry) {
				return
			}
		}
	})
}

func (w *Worker) onEnds(begun map[int32]uint64, ends map[int32]int64) {
	for id, end := range ends {
		// Another turn has begun meanwhile when the path was left: its messages may lie behind this end.
		if p := w.partitions[id]; p != nil && p.path.turn == begun[id] {
			p.path.end, p.path.known = end, true
			w.trySwitch(p)
		}
	}
}

// trySwitch makes a path local once the task has read all that could come before the held messages.
func (w *Worker) trySwitch(p *partition) {
	if p.stage != running || p.path.state != switching || !p.path.known || p.mailbox.Next() < p.path.end {
		return
	}
	held := p.held
	p.path = path{state: local}
	for _, e := range held {
		p.task.Deliver(e, w.now.UnixMilli())
	}
	w.log.Debug("path is local", "partition", p.id)
}
