package worker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/changelog"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

const (
	// standbyPoll bounds a poll, so that the lag of a quiet partition is told all the same.
	standbyPoll = 500 * time.Millisecond
	// standbyRetry is the pause after a fault: the owner works on meanwhile, only the lag grows.
	standbyRetry = time.Second
	// askAgain is the least time between two wishes for a new distribution, each of which makes all workers join.
	askAgain = 5 * time.Second
)

// standby follows the changelog of partitions that others own. It is replaced as a whole when the set changes. The
// store has one writer a partition: a standby begins when the last owner's commit and take-over here are through, and a
// take-over begins when the standby has ended.
type standby struct {
	w       *Worker
	cancel  context.CancelFunc
	wanted  map[int32]bool // what is followed; true: to become the owner once its lag is small
	follows map[int32]*changelog.Follow
	client  *kgo.Client
	ended   chan struct{}
}

// onFollow notes which partitions the group's leader wants this worker to follow.
func (w *Worker) onFollow(list []balance.Follow) {
	w.following = list
	w.follow()
}

// follow begins to follow what is to be followed and is neither owned nor being taken over.
func (w *Worker) follow() {
	wanted := map[int32]bool{} // value: warm-up
	for _, f := range w.following {
		if w.partitions[f.Partition] == nil && !w.stopping {
			wanted[f.Partition] = f.WarmUp
		}
	}
	if w.standby.covers(wanted) {
		return
	}
	if w.standby != nil {
		w.standby.cancel()
	}
	var before []chan struct{}
	if w.running != nil {
		before = append(before, w.running.ended)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	s := &standby{w: w, cancel: cancel, wanted: wanted, follows: map[int32]*changelog.Follow{}, ended: make(chan struct{})}
	for id := range wanted {
		if last := w.restores[id]; last != nil {
			before = append(before, last)
		}
		w.restores[id] = s.ended
	}
	w.standby = s
	w.metrics.partitions.WithLabelValues("standby").Set(float64(len(wanted)))
	w.spawn(func() {
		defer close(s.ended)
		w.waitFor(before)
		if ctx.Err() == nil && len(wanted) > 0 {
			s.run(ctx)
		}
		for id := range wanted {
			w.metrics.standbyLag.DeleteLabelValues(strconv.Itoa(int(id)))
		}
	})
}

// covers tells whether the standby is already what is wanted.
func (s *standby) covers(wanted map[int32]bool) bool {
	if s == nil {
		return len(wanted) == 0
	}
	if len(s.wanted) != len(wanted) {
		return false
	}
	for id, warmUp := range wanted {
		if is, has := s.wanted[id]; !has || is != warmUp {
			return false
		}
	}
	return true
}

// run follows until ctx is done. A fault begins it anew, from what the store has then.
func (s *standby) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.session(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		if s.w.store.Err() != nil {
			return // the loop stops for it
		}
		if errors.Is(err, protocol.ErrNewer) {
			s.w.post(func() { s.w.fail(err) })
			return
		}
		s.w.log.Warn("standby begins anew", "error", err)
		pause(ctx, standbyRetry)
	}
}

func (s *standby) session(ctx context.Context) error {
	w := s.w
	start := map[int32]kgo.Offset{}
	bounds, err := w.lookups.bounds(ctx, w.names.changelog)
	if err != nil {
		return err
	}
	for id := range s.wanted {
		from, end, err := w.positionIn(bounds, id)
		if err != nil {
			return err
		}
		start[id] = kgo.NewOffset().At(from)
		follow, err := changelog.NewFollow(w.store, id, w.changelogID(), from, w.plan.TombstoneRetention)
		if err != nil {
			return err
		}
		follow.Seen(end)
		s.follows[id] = follow
	}
	client, err := w.settings.Open(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.names.changelog: start}), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	s.client = client
	for ctx.Err() == nil {
		if err := s.poll(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			s.tell()
		}
	}
	return nil
}

// poll applies what one fetch gives.
func (s *standby) poll(ctx context.Context) error {
	asked := time.Now()
	wait, cancel := context.WithTimeout(ctx, standbyPoll)
	fetches := s.client.PollRecords(wait, replayRecords)
	cancel()
	var faults []error
	fetches.EachError(func(_ string, _ int32, fault error) {
		if !errors.Is(fault, context.DeadlineExceeded) && ctx.Err() == nil {
			faults = append(faults, fault)
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		follow := s.follows[p.Partition]
		if follow == nil || len(p.Records) == 0 || len(faults) > 0 {
			return
		}
		if err := follow.Records(p.Records, p.LastStableOffset, asked); err != nil {
			faults = append(faults, err)
		}
	})
	return errors.Join(faults...)
}

// tell sets the lags and asks for a new distribution when a partition that is being warmed up is warm.
func (s *standby) tell() {
	warm := false
	for id, follow := range s.follows {
		lag, known := follow.Lag()
		if !known {
			continue
		}
		s.w.metrics.standbyLag.WithLabelValues(strconv.Itoa(int(id))).Set(float64(lag))
		warm = warm || s.wanted[id] && lag <= acceptableLag
	}
	if warm {
		s.w.post(s.w.wishForMore)
	}
}

// wishForMore makes the group distribute the partitions anew, since this worker is warm for one that it is to get.
func (w *Worker) wishForMore() {
	if w.stopping || w.now.Sub(w.wished) < askAgain {
		return
	}
	warming := slices.ContainsFunc(w.following, func(f balance.Follow) bool { return f.WarmUp && w.partitions[f.Partition] == nil })
	if !warming {
		return
	}
	w.wished = w.now
	w.group.again()
}
