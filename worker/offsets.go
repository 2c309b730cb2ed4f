package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// stableOffsets reads the group's offsets of sources; stable is false while a transaction holds one of them.
func (l *lookups) stableOffsets(ctx context.Context, w *Worker, sources []module.TopicPartition) (offsets map[module.TopicPartition]fetched, stable bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = w.ApplicationID
	places := map[string]int{}
	for _, s := range sources {
		at, is := places[s.Topic]
		if !is {
			at = len(g.Topics)
			places[s.Topic] = at
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic, t.TopicID = s.Topic, w.names.topicIDs[s.Topic]
			g.Topics = append(g.Topics, t)
		}
		g.Topics[at].Partitions = append(g.Topics[at].Partitions, s.Partition)
	}
	r := kmsg.NewPtrOffsetFetchRequest()
	r.RequireStable, r.Groups = true, []kmsg.OffsetFetchRequestGroup{g}
	response, err := r.RequestWith(ctx, l.client)
	if err != nil {
		return nil, false, fmt.Errorf("fetch the offsets of group %s: %w", w.ApplicationID, err)
	}
	if len(response.Groups) != 1 {
		return nil, false, fmt.Errorf("fetch the offsets of group %s: the broker's answer lacks the group", w.ApplicationID)
	}
	group := &response.Groups[0]
	if err := kerr.ErrorForCode(group.ErrorCode); err != nil {
		return nil, false, unstable(w.ApplicationID, err)
	}
	byID := map[[16]byte]string{}
	for _, t := range g.Topics {
		byID[t.TopicID] = t.Topic
	}
	offsets = map[module.TopicPartition]fetched{}
	for _, t := range group.Topics {
		name := t.Topic
		if name == "" {
			name = byID[t.TopicID]
		}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, false, unstable(w.ApplicationID, err)
			}
			f := fetched{offset: p.Offset}
			if p.Metadata != nil {
				f.metadata = *p.Metadata
			}
			offsets[module.TopicPartition{Topic: name, Partition: p.Partition}] = f
		}
	}
	for _, s := range sources {
		if _, is := offsets[s]; !is {
			offsets[s] = fetched{offset: -1}
		}
	}
	return offsets, true, nil
}

// unstable is nil for the answer that means to ask again.
func unstable(group string, err error) error {
	if errors.Is(err, kerr.UnstableOffsetCommit) {
		return nil
	}
	return fmt.Errorf("fetch the offsets of group %s: %w", group, err)
}

// fence aborts what dead owners have left open in the changelog of partitions: every transactional id that has a
// transaction there, found by its producer id, unless its worker is a live member, who ends it himself. A taker that
// died before its first commit is in no metadata, so only the log knows him.
func (l *lookups) fence(ctx context.Context, w *Worker, partitions []int32) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	described, err := l.admin.DescribeProducers(ctx, kadm.TopicsSet{w.names.changelog: setOf(partitions)})
	if err != nil {
		return fmt.Errorf("describe the producers of %s: %w", w.names.changelog, err)
	}
	var open []int64
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, p.ProducerID)
		}
	})
	if len(open) == 0 {
		return nil
	}
	listed, err := l.admin.ListTransactions(ctx, open, nil)
	if err != nil {
		return fmt.Errorf("list the open transactions: %w", err)
	}
	members, err := l.members(ctx, w)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, m := range members {
		live[m.name] = true
	}
	for id := range listed {
		worker, ours := w.workerOf(id)
		if !ours || worker == w.names.worker || live[worker] {
			continue
		}
		if err := w.expel(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func setOf(partitions []int32) map[int32]struct{} {
	set := map[int32]struct{}{}
	for _, p := range partitions {
		set[p] = struct{}{}
	}
	return set
}
