package rescale

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/changelog"
	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// source is what an application has, in a store of its own: rows and unread messages.
type source struct {
	layout
	store   rowStore
	tally   *tally
	sources []progress
	invalid []*kgo.Record // messages that are none
	// retired is the mailbox progress of each partition as a switch writes it: under no topic id.
	retired map[int32]state.Row
}

// progress is a progress row of an ingress partition.
type progress struct {
	topic     string
	partition int32
	position  int64
}

// mostInvalid bounds what is kept in memory of a mailbox that something else produces to.
const mostInvalid = 10_000

// barriers puts a row behind all that is committed in the old changelog. Its end cannot be told by offsets alone, since the
// last ones may be markers that Kafka has removed.
func (j *job) barriers(ctx context.Context) error {
	j.writer.watch(j.from.changelog)
	return j.writer.transact(ctx, func() error {
		for p := range j.from.partitions {
			row := state.Row{Key: state.BarrierKey(), Value: state.AppendBarrier(nil, state.Barrier{Owner: "rescale", Transaction: j.transactionalID(), Time: time.Now()})}
			j.writer.put(ctx, changelog.Encode(j.from.changelog, p, row))
		}
		return nil
	})
}

// load reads what the application has and refuses what cannot be carried over.
func (j *job) load(ctx context.Context) error {
	spans, err := j.spans(ctx, j.from.changelog, j.from.partitions, nil)
	if err != nil {
		return err
	}
	for p, at := range j.writer.acked {
		spans[p] = span{spans[p].from, at}
	}
	if j.source, err = j.loadFrom(ctx, j.from, spans, true); err != nil {
		return err
	}
	if err := j.survey(j.source, j.to.partitions); err != nil {
		return err
	}
	j.report.source(j.source.tally)
	return j.checkOffsets(ctx, j.source)
}

// loadFrom reads the changelog and the unread mailbox of a generation into a new store.
func (j *job) loadFrom(ctx context.Context, l layout, spans map[int32]span, exact bool) (*source, error) {
	store, err := j.openStore("from")
	if err != nil {
		return nil, err
	}
	if err := j.replay(ctx, store, l.changelog, "read "+l.changelog, spans, exact); err != nil {
		return nil, err
	}
	s := &source{layout: l, store: store, retired: map[int32]state.Row{}}
	if err := j.loadMailbox(ctx, s, store, exact); err != nil {
		return nil, err
	}
	return s, nil
}

// replay reads a changelog into a store.
func (j *job) replay(ctx context.Context, store *state.Store, topic, phase string, spans map[int32]span, exact bool) error {
	replays, total := map[int32]*changelog.Replay{}, int64(0)
	for p, s := range spans {
		replays[p] = changelog.NewReplay(store, p, [16]byte{}, s.from, math.MaxInt64)
		total += max(s.last-s.from+1, 0)
	}
	j.meter.phase(phase, total)
	defer j.meter.say()
	return j.read(ctx, topic, spans, exact, func(p int32, records []*kgo.Record) error {
		_, err := replays[p].Records(records, time.Now())
		return err
	})
}

// loadMailbox puts the unread messages behind the pending rows of their addresses.
func (j *job) loadMailbox(ctx context.Context, s *source, store *state.Store, exact bool) error {
	from, finished := map[int32]int64{}, map[int32][]state.Run{}
	for p := range s.partitions {
		key := state.ProgressKey(s.mailbox, p)
		var done state.Progress
		row, err := store.Get(p, key)
		if err == nil && row != nil {
			done, err = state.ParseProgress(row)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
		if id := j.existing[s.mailbox].ID; row != nil && done.TopicID != id && done.TopicID != [16]byte{} {
			return refuse("topic %s was deleted and created anew since the application read it: what was in it is lost, and no rescale can mend that", s.mailbox)
		}
		from[p], finished[p] = done.Position, done.Finished
		done.TopicID = [16]byte{}
		s.retired[p] = state.Row{Key: key, Value: state.AppendProgress(nil, done)}
	}
	spans, err := j.spans(ctx, s.mailbox, s.partitions, from)
	if err != nil {
		return err
	}
	total := int64(0)
	for p, span := range spans {
		if span.from > from[p] && from[p] > 0 {
			return refuse("topic %s partition %d begins at offset %d, the application has read up to %d: messages were deleted unread", s.mailbox, p, span.from, from[p])
		}
		total += max(span.last-span.from+1, 0)
	}
	j.meter.phase("read "+s.mailbox, total)
	defer j.meter.say()
	return j.read(ctx, s.mailbox, spans, exact, func(p int32, records []*kgo.Record) error {
		rows, err := s.unread(records, finished[p])
		if err != nil || len(rows) == 0 {
			return err
		}
		at, _, err := store.Position(p)
		if err != nil {
			return err
		}
		return store.Apply([]state.Change{{Partition: p, Rows: rows, Position: at}})
	})
}

// unread turns messages that are not finished into rows.
func (s *source) unread(records []*kgo.Record, finished []state.Run) (rows []state.Row, err error) {
	for _, r := range records {
		if isFinished(finished, r.Offset) {
			continue
		}
		e, err := router.Decode(r.Value)
		switch {
		case errors.Is(err, protocol.ErrNewer):
			return nil, fmt.Errorf("message %s partition %d offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		case err != nil && len(s.invalid) >= mostInvalid:
			return nil, fmt.Errorf("topic %s has more than %d messages that no worker wrote: find out what else produces to it: %w", r.Topic, mostInvalid, err)
		case err != nil:
			s.invalid = append(s.invalid, r)
			continue
		}
		pending := state.AppendPending(nil, state.Pending{Arrived: r.Timestamp, Envelope: r.Value})
		rows = append(rows, state.Row{Key: state.PendingKey(e.Target, unreadSeq|uint64(r.Offset)), Value: pending})
	}
	return rows, nil
}

func isFinished(runs []state.Run, offset int64) bool {
	lo, hi := 0, len(runs)
	for lo < hi {
		mid := (lo + hi) / 2
		if runs[mid].To < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(runs) && runs[lo].From <= offset
}

// survey counts what the source has and where it belongs among n partitions.
func (j *job) survey(s *source, n int32) error {
	s.tally, s.sources = newTally(s.partitions, n), nil
	j.meter.phase("survey", 0)
	leftOut, err := s.each(func(p int32, c *carried) error {
		j.meter.add(1)
		if c.kind != state.KindProgress {
			return s.tally.take(p, c)
		}
		topic, partition, err := state.ParseProgressKey(c.row.Key)
		if err != nil {
			return err
		}
		done, err := state.ParseProgress(c.row.Value)
		if err != nil {
			return fmt.Errorf("progress of %s partition %d: %w", topic, partition, err)
		}
		s.sources = append(s.sources, progress{topic, partition, done.Position})
		return s.tally.take(p, c)
	})
	if err != nil {
		return err
	}
	s.tally.leftOut = leftOut
	for _, r := range s.invalid {
		s.tally.count(kindInvalid, invalidSame(r), int64(len(r.Key)+len(r.Value)))
	}
	return s.tally.spread()
}

func invalidSame(r *kgo.Record) []byte { return append(append([]byte{}, r.Key...), r.Value...) }

// each visits all rows that are carried, and counts the tokens that are not.
func (s *source) each(visit func(p int32, c *carried) error) (leftOut int64, err error) {
	for p := range s.partitions {
		w := &walker{store: s.store, partition: p, mailbox: s.mailbox, visit: func(c *carried) error { return visit(p, c) }}
		if err := w.walk(); err != nil {
			return 0, err
		}
		leftOut += w.leftOut
	}
	return leftOut, nil
}

// checkOffsets refuses when somebody has changed the group's offsets: to write them would undo it without a word.
func (j *job) checkOffsets(ctx context.Context, s *source) error {
	offsets, err := j.adm.FetchOffsets(kadm.RequireStable(ctx), j.ApplicationID)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil // nobody was ever a member, or all offsets have expired
	}
	if err != nil {
		return fmt.Errorf("fetch the offsets of group %s: %w", j.ApplicationID, err)
	}
	for _, p := range s.sources {
		o, is := offsets.Lookup(p.topic, p.partition)
		if !is || o.Err != nil || o.At < 0 || o.At == p.position {
			continue
		}
		words := strings.Fields(o.Metadata)
		if len(words) == 4 && words[0] == metadataVersion && words[3] == "guess" {
			continue // written with a barrier, before the rows were known
		}
		return refuse("topic %s partition %d: group %s is at offset %d, the application at %d, so somebody has changed the group's offset: put it back, or start the application once with %s", p.topic, p.partition, j.ApplicationID, o.At, p.position, naming.AcceptOffsetReset)
	}
	return nil
}
