package rescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	readFetchBytes = 16 << 20
	readRecords    = 20_000
	readWait       = 100 * time.Millisecond

	// quiet is after which silence a partition counts as read whose last offset is not known to have a record: Kafka may
	// have removed the markers at its end.
	quiet = 3 * time.Second
)

// span is a range of offsets; both ends belong to it.
type span struct{ from, last int64 }

// spans are what there is to read of a topic: from its first offset, or a later one that is given, to its last committed one.
func (j *job) spans(ctx context.Context, topic string, partitions int32, from map[int32]int64) (map[int32]span, error) {
	starts, err := j.adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = j.adm.ListCommittedOffsets(ctx, topic)
	}
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the offsets of %s: %w", topic, err)
	}
	spans := map[int32]span{}
	for p := range partitions {
		start, is := starts.Lookup(topic, p)
		end, also := ends.Lookup(topic, p)
		if !is || !also {
			return nil, fmt.Errorf("list the offsets of %s: partition %d is missing", topic, p)
		}
		spans[p] = span{max(start.Offset, from[p]), end.Offset - 1}
	}
	return spans, nil
}

// read gives the committed records of the spans, in the order of each partition. With exact it is known that there is a record
// or a marker at the last offset of each.
func (j *job) read(ctx context.Context, topic string, spans map[int32]span, exact bool, take func(p int32, records []*kgo.Record) error) error {
	start, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for p, s := range spans {
		if s.last >= s.from {
			start[p], left[p] = kgo.NewOffset().At(s.from), s.last
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := j.Reading.Open(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(readFetchBytes), kgo.FetchMaxPartitionBytes(readFetchBytes/2),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	heard := time.Now()
	for len(left) > 0 {
		wait, cancel := context.WithTimeout(ctx, readWait)
		fetches := client.PollRecords(wait, readRecords)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := readFault(fetches, topic); err != nil {
			return err
		}
		if fetches.NumRecords() > 0 {
			heard = time.Now()
		} else if !exact && time.Since(heard) > quiet {
			return nil
		}
		if err := j.takeFetches(fetches, left, take); err != nil {
			return err
		}
	}
	return nil
}

// takeFetches hands on what a poll gave, and forgets the partitions that are read to their last offset.
func (j *job) takeFetches(fetches kgo.Fetches, left map[int32]int64, take func(p int32, records []*kgo.Record) error) (err error) {
	j.meter.add(0) // shows that nothing comes
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		last, wanted := left[p.Partition]
		if !wanted || err != nil {
			return
		}
		records := p.Records[:0]
		for _, r := range p.Records {
			if r.Offset <= last && !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset >= last {
				delete(left, p.Partition)
			}
		}
		if len(records) > 0 {
			err = take(p.Partition, records)
		}
		j.meter.add(int64(len(records)))
	})
	return err
}

// readFault is a fault that does not pass by itself.
func readFault(fetches kgo.Fetches, topic string) (fault error) {
	fetches.EachError(func(_ string, p int32, err error) {
		var answer *kerr.Error
		if errors.As(err, &answer) && !answer.Retriable {
			fault = fmt.Errorf("read %s partition %d: %w", topic, p, err)
		}
	})
	return fault
}
