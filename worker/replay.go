package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/changelog"
)

const (
	// progressEvery is how often a restore that takes long says how far it is.
	progressEvery = 500 * time.Millisecond
	// fenceEvery is how long a restore that gets nothing waits before it looks for open transactions.
	fenceEvery = 200 * time.Millisecond
	// replayRecords bounds the rows that go into the store at once.
	replayRecords = 20000
	// replayFetchBytes is large, because a restore reads a lot and nothing else runs.
	replayFetchBytes = 16 << 20
)

// restore is one replay of a take-over: of all its partitions, up to their barriers.
type restore struct {
	t       *takeover
	client  *kgo.Client
	replays map[int32]*changelog.Replay
	level   time.Time
	fenced  time.Time // last looked for open transactions
	began   time.Time
	said    time.Time
	rows    int // read so far
}

// replay brings the store level with the barriers.
func (t *takeover) replay(b *barrier) error {
	r := &restore{t: t, level: b.cutAt, replays: map[int32]*changelog.Replay{}, fenced: time.Now(), began: time.Now(), said: time.Now()}
	start := map[int32]kgo.Offset{}
	froms, err := t.positions()
	if err != nil {
		return err
	}
	for id, from := range froms {
		start[id] = kgo.NewOffset().At(from)
		r.replays[id] = changelog.NewReplay(t.w.store, id, t.w.changelogID(), from, b.offsets[id])
		r.replays[id].KeepsTombstones(t.w.plan.TombstoneRetention)
	}
	client, err := t.w.settings.Open(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.w.names.changelog: start}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(replayFetchBytes), kgo.FetchMaxPartitionBytes(replayFetchBytes/2),
	)
	if err != nil {
		return fmt.Errorf("open a client to restore: %w", err)
	}
	defer client.Close()
	r.client = client
	for len(r.replays) > 0 {
		err := r.poll()
		if errors.Is(err, changelog.ErrTooOld) || errors.Is(err, kerr.OffsetOutOfRange) {
			return t.replay(b) // what is on disk is found too old, or below the log's start, at once now
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) changelogID() [16]byte { return w.names.topicIDs[w.names.changelog] }

// positions are the changelog offsets from which the partitions are replayed.
func (t *takeover) positions() (from map[int32]int64, err error) {
	err = t.again("the bounds of the changelog", func() (done bool, err error) {
		bounds, err := t.w.lookups.bounds(t.ctx, t.w.names.changelog)
		if err != nil {
			return false, err
		}
		from = map[int32]int64{}
		for _, id := range t.partitions {
			if from[id], _, err = t.w.positionIn(bounds, id); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return from, err
}

// positionIn is the changelog offset at which reading a partition begins, and where its log ends. What the folder has
// is dropped when reading cannot begin there.
func (w *Worker) positionIn(changelogs bounds, id int32) (from, end int64, err error) {
	log := changelog.Log{TopicID: w.changelogID(), TombstoneRetention: w.plan.TombstoneRetention / 2}
	log.Start, log.End, err = changelogs.of(id)
	if err != nil {
		return 0, 0, err
	}
	at, known, err := w.store.Position(id)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errFinal, err)
	}
	if !known {
		return log.Start, log.End, nil
	}
	why := log.Stale(at, time.Now())
	if why == "" {
		return at.Offset, log.End, nil
	}
	w.log.Warn("the state of a partition on disk is dropped and restored", "partition", id, "why", why)
	if err := w.store.Wipe(id); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errFinal, err)
	}
	return log.Start, log.End, nil
}

// poll replays what one fetch gives. For as long as nothing comes a dead owner's open transaction may be in the
// way, so it asks now and then whom to fence.
func (r *restore) poll() error {
	w := r.t.w
	wait, cancel := context.WithTimeout(r.t.ctx, fenceEvery)
	fetches := r.client.PollRecords(wait, replayRecords)
	cancel()
	if r.t.ctx.Err() != nil {
		return r.t.ctx.Err()
	}
	var err error
	fetches.EachError(func(_ string, p int32, fault error) {
		switch {
		case errors.Is(fault, context.DeadlineExceeded):
		case errors.Is(fault, kerr.OffsetOutOfRange):
			err = fault
		default:
			w.log.Warn("restore", "partition", p, "error", fault)
			pause(r.t.ctx, fenceEvery) // such an error comes back with every poll
		}
	})
	if err != nil {
		pause(r.t.ctx, fenceEvery)
		return err
	}
	rows := 0
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		replay := r.replays[p.Partition]
		if replay == nil || len(p.Records) == 0 || err != nil {
			return
		}
		rows += len(p.Records)
		var done bool
		if done, err = replay.Records(p.Records, r.level); done {
			delete(r.replays, p.Partition)
			r.client.PauseFetchPartitions(map[string][]int32{w.names.changelog: {p.Partition}})
		}
	})
	w.metrics.restored.Add(float64(rows))
	r.rows += rows
	r.say()
	if err == nil && rows == 0 && time.Since(r.fenced) > fenceEvery {
		r.fenced = time.Now()
		if fault := w.lookups.fence(r.t.ctx, w, r.t.partitions); fault != nil {
			w.log.Warn("look for open transactions", "error", fault)
		}
	}
	return err
}

// say reports a restore that takes long: what is read so far, and what the partition that is furthest behind lacks.
func (r *restore) say() {
	if time.Since(r.said) < progressEvery {
		return
	}
	r.said = time.Now()
	took := time.Since(r.began)
	left := time.Duration(0)
	for _, replay := range r.replays {
		if remaining, known := replay.Report().Remaining(); known {
			left = max(left, remaining)
		}
	}
	r.t.w.log.Info("restoring", "partitions_left", len(r.replays), "rows", r.rows, "rows_per_second", int64(float64(r.rows)/took.Seconds()),
		"remaining", left.Round(100*time.Millisecond).String())
}
