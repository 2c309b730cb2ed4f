package rescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/changelog"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// filling spreads the rows over transactions of a bounded size.
type filling struct {
	j     *job
	ctx   context.Context
	rows  int
	bytes int
	ended int // transactions
	most  int // rows of one
}

func (f *filling) put(p int32, row state.Row) error {
	f.j.writer.put(f.ctx, changelog.Encode(f.j.to.changelog, p, row))
	f.rows++
	f.bytes += len(row.Key) + len(row.Value)
	f.j.meter.add(1)
	if f.rows < f.most && f.bytes < transactionBytes {
		return nil
	}
	if err := f.end(); err != nil {
		return err
	}
	return f.j.writer.begin()
}

func (f *filling) end() error {
	if err := f.j.At(fmt.Sprintf("write/%d", f.ended)); err != nil {
		return err
	}
	f.rows, f.bytes = 0, 0
	f.ended++
	return f.j.writer.end(f.ctx)
}

// write puts the rows where they belong. The progress of the new mailbox comes last in each partition, so that there is a
// record at the end of each.
func (j *job) write(ctx context.Context) error {
	total := int64(0)
	for _, k := range kindNames {
		total += j.source.tally.kinds[k.kind].Rows
	}
	j.meter.phase("write "+j.to.changelog, total)
	defer j.meter.say()
	j.writer.watch(j.to.changelog)
	f := &filling{j: j, ctx: ctx, most: j.RowsAtOnce}
	if err := j.writer.begin(); err != nil {
		return err
	}
	m := newMover(j.to.partitions, f.put)
	_, err := j.source.each(func(_ int32, c *carried) error {
		if c.kind == state.KindIngress {
			return nil // of all partitions together, below
		}
		return m.move(c)
	})
	if err != nil {
		return err
	}
	for _, ingress := range j.source.tally.ingress {
		if err := m.move(&carried{kind: state.KindIngress, row: ingress.row}); err != nil {
			return err
		}
	}
	for _, r := range j.source.invalid {
		to := router.Partition(string(r.Key), j.to.partitions)
		j.writer.put(ctx, &kgo.Record{Topic: j.to.mailbox, Partition: to, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp})
	}
	for p := range j.to.partitions {
		done := state.Progress{TopicID: j.existing[j.to.mailbox].ID, Transaction: j.transactionalID(), Time: time.Now()}
		row := state.Row{Key: state.ProgressKey(j.to.mailbox, p), Value: state.AppendProgress(nil, done)}
		j.writer.put(ctx, changelog.Encode(j.to.changelog, p, row))
	}
	return f.end()
}

// verifyWritten reads the new topics back.
func (j *job) verifyWritten(ctx context.Context) error {
	spans := map[int32]span{}
	for p := range j.to.partitions {
		spans[p] = span{0, j.writer.acked[p]}
	}
	written, err := j.readBack(ctx, spans, true)
	if err != nil {
		return err
	}
	if j.report.Differences = j.source.tally.differences(written); len(j.report.Differences) > 0 {
		return fmt.Errorf("what was written is not what was read, nothing was switched: %v: run it again, and report it when it happens again", j.report.Differences)
	}
	j.report.written(written)
	return nil
}

// readBack counts what is in the new topics.
func (j *job) readBack(ctx context.Context, spans map[int32]span, exact bool) (*tally, error) {
	store, err := j.openStore("to")
	if err != nil {
		return nil, err
	}
	phase := "verify " + j.to.changelog
	if err := j.replay(ctx, store, j.to.changelog, phase, spans, exact); err != nil {
		return nil, err
	}
	read := j.meter.now.Done
	s := &source{layout: j.to, store: store, tally: newTally(j.to.partitions, j.to.partitions)}
	s.tally.readBack = true
	for p := range j.to.partitions {
		if err := j.checkMailbox(store, p); err != nil {
			return nil, err
		}
	}
	rows := int64(0)
	s.tally.leftOut, err = s.each(func(p int32, c *carried) error {
		rows++
		return s.tally.take(p, c)
	})
	if err != nil {
		return nil, err
	}
	if rows += int64(j.to.partitions) + s.tally.leftOut; rows != read {
		return nil, fmt.Errorf("topic %s has %d records for %d rows: something was written twice", j.to.changelog, read, rows)
	}
	if err := j.awaitStable(ctx, j.to.mailbox); err != nil {
		return nil, err
	}
	invalid, err := j.spans(ctx, j.to.mailbox, j.to.partitions, nil)
	if err != nil {
		return nil, err
	}
	return s.tally, j.read(ctx, j.to.mailbox, invalid, exact, func(_ int32, records []*kgo.Record) error {
		for _, r := range records {
			s.tally.count(kindInvalid, invalidSame(r), int64(len(r.Key)+len(r.Value)))
		}
		return nil
	})
}

// checkMailbox holds the progress of a new mailbox partition against the topic.
func (j *job) checkMailbox(store rowStore, p int32) error {
	if row, err := store.Get(p, state.BarrierKey()); err != nil || row != nil {
		return errors.Join(err, refuse("topic %s has rows of a worker: the application has run since the rescale, so there is nothing to compare any more", j.to.changelog))
	}
	row, err := store.Get(p, state.ProgressKey(j.to.mailbox, p))
	if err != nil {
		return err
	}
	if row == nil {
		return fmt.Errorf("topic %s partition %d lacks the progress of its mailbox", j.to.changelog, p)
	}
	done, err := state.ParseProgress(row)
	if err == nil && (done.Position != 0 || done.TopicID != j.existing[j.to.mailbox].ID) {
		err = fmt.Errorf("topic %s partition %d: the progress of the mailbox does not begin it: the application has run since, or the topic is another one", j.to.changelog, p)
	}
	return err
}

// change lets the new topics count: all of it in one transaction, or nothing.
//
//	offsets  of the group: the positions of the ingresses, under our metadata, and the beginning of the new mailbox
//	retired  the progress of the old mailbox under no topic id: a worker that was started before the rescale, and joins the
//	         group after it, finds that and refuses
//	journal  the word that there is nothing left to do but to delete it
func (j *job) change(ctx context.Context) error {
	done, err := j.entry(true)
	if err != nil {
		return err
	}
	err = j.writer.transact(ctx, func() error {
		for p := range j.from.partitions {
			j.writer.put(ctx, changelog.Encode(j.from.changelog, p, j.source.retired[p]))
		}
		j.writer.put(ctx, done)
		if err := j.writer.flush(ctx); err != nil {
			return err
		}
		if err := j.commitOffsets(ctx, fmt.Sprintf("rescale/%d", j.to.generation), j.offsets()); err != nil {
			return err
		}
		return j.At("switch/end")
	})
	if err != nil {
		return fmt.Errorf("%w: run it again, which finds out how far it came", err)
	}
	if err := j.At("switch/ended"); err != nil {
		return err
	}
	last, err := j.readJournal(ctx)
	if err == nil && !last.Switched {
		err = errors.New("the broker has aborted it, nothing was switched: run it again")
	}
	return err
}

// offsets are the group's offsets on the new topics. A topic that is gone has none.
func (j *job) offsets() []offset {
	var list []offset
	for _, s := range j.source.sources {
		if t, is := j.existing[s.topic]; is && s.partition < t.Partitions {
			list = append(list, offset{s.topic, t.ID, s.partition, s.position})
		}
	}
	for p := range j.to.partitions {
		list = append(list, offset{j.to.mailbox, j.existing[j.to.mailbox].ID, p, 0})
	}
	return list
}

// DryRun tells what a run would do and what stands in its way. It writes nothing.
func DryRun(ctx context.Context, c Config) (*Report, error) {
	if err := c.checkPartitions(); err != nil {
		return nil, err
	}
	j, err := c.open("dry-run")
	if err != nil {
		return nil, err
	}
	defer j.close()
	return j.report.ended(j.dryRun(ctx))
}

func (j *job) dryRun(ctx context.Context) error {
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return err
	}
	current := g.Current
	if g.Rescaling {
		last, err := j.lastEntry(ctx)
		if err != nil {
			return err
		}
		j.report.Resumed = true
		if !last.Switched && last.FromGeneration > 0 {
			current = last.FromGeneration
		}
	}
	if err := j.layOut(g, current); err != nil {
		return err
	}
	if j.from.partitions == j.Partitions {
		j.report.State = StateNothing
		return nil
	}
	workers, _, err := j.members(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		j.obstacle("a worker runs: " + w)
	}
	_, open, err := j.producers(ctx)
	if err != nil {
		return err
	}
	for _, id := range open {
		j.obstacle("a transaction is open: " + id)
	}
	spans, err := j.spans(ctx, j.from.changelog, j.from.partitions, nil)
	if err != nil {
		return err
	}
	s, err := j.loadFrom(ctx, j.from, spans, false)
	if err == nil {
		err = j.survey(s, j.to.partitions)
	}
	if err != nil {
		return err
	}
	j.report.source(s.tally)
	if err := j.checkOffsets(ctx, s); err != nil {
		j.obstacle(err.Error())
	}
	j.report.State = StateDryRun
	return nil
}

func (j *job) obstacle(what string) { j.report.Obstacles = append(j.report.Obstacles, what) }

// Verify compares the topics that count with those of the generation before, as long as the application has not run on them.
func Verify(ctx context.Context, c Config) (*Report, error) {
	j, err := c.open("verify-only")
	if err != nil {
		return nil, err
	}
	defer j.close()
	return j.report.ended(j.verify(ctx))
}

func (j *job) verify(ctx context.Context) error {
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return err
	}
	if g.Rescaling {
		return refuse("the rescale of application %s is incomplete: run statefun-kafka rescale --partitions N again", j.ApplicationID)
	}
	if g.Current < 2 {
		return refuse("application %s was never rescaled", j.ApplicationID)
	}
	if _, is := g.Topics[topics.ChangelogOf(j.ApplicationID, g.Current-1)]; !is {
		return refuse("the old topics of application %s were deleted: there is nothing to compare with", j.ApplicationID)
	}
	j.Partitions = g.Topics[topics.ChangelogOf(j.ApplicationID, g.Current)].Partitions
	if err := j.layOut(g, g.Current-1); err != nil {
		return err
	}
	old, err := j.spans(ctx, j.from.changelog, j.from.partitions, nil)
	if err != nil {
		return err
	}
	s, err := j.loadFrom(ctx, j.from, old, false)
	if err == nil {
		err = j.survey(s, j.to.partitions)
	}
	if err != nil {
		return err
	}
	now, err := j.spans(ctx, j.to.changelog, j.to.partitions, nil)
	if err != nil {
		return err
	}
	written, err := j.readBack(ctx, now, false)
	if err != nil {
		return err
	}
	j.report.source(s.tally)
	j.report.written(written)
	j.report.State = StateVerified
	if j.report.Differences = s.tally.differences(written); len(j.report.Differences) > 0 {
		j.report.State = StateDiffers
	}
	return nil
}
