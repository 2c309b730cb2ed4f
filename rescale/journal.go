package rescale

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

// entry is a record of the journal; the last one counts. Workers do not read it: they refuse to start while its topic exists.
type entry struct {
	FromGeneration int       `json:"fromGeneration"` // 0: the journal has no entry, nothing was written yet
	ToGeneration   int       `json:"toGeneration"`
	FromPartitions int32     `json:"fromPartitions"`
	ToPartitions   int32     `json:"toPartitions"`
	Switched       bool      `json:"switched"` // the new topics count
	Time           time.Time `json:"time"`
}

func (j *job) entry(switched bool) (*kgo.Record, error) {
	value, err := json.Marshal(entry{
		FromGeneration: j.from.generation, ToGeneration: j.to.generation,
		FromPartitions: j.from.partitions, ToPartitions: j.to.partitions, Switched: switched, Time: time.Now().UTC(),
	})
	if err != nil {
		return nil, fmt.Errorf("write an entry of the journal: %w", err)
	}
	return &kgo.Record{Topic: topics.RescaleJournal(j.ApplicationID), Key: []byte("rescale"), Value: value}, nil
}

// beginJournal keeps workers from starting, and notes which topics are going to be written.
func (j *job) beginJournal(ctx context.Context) error {
	name := topics.RescaleJournal(j.ApplicationID)
	if err := j.createTopic(ctx, name, 1, map[string]*string{"cleanup.policy": text("delete"), "retention.ms": text("-1"), "retention.bytes": text("-1")}); err != nil {
		return err
	}
	if err := j.At("journal/created"); err != nil {
		return err
	}
	record, err := j.entry(false)
	if err != nil {
		return err
	}
	return j.writer.transact(ctx, func() error {
		j.writer.put(ctx, record)
		return nil
	})
}

// readJournal gives the last entry once no transaction is open on the journal. A switch whose markers are still to be
// written must not be taken for one that did not happen.
func (j *job) readJournal(ctx context.Context) (last entry, err error) {
	if err := j.awaitStable(ctx, topics.RescaleJournal(j.ApplicationID)); err != nil {
		return last, err
	}
	return j.lastEntry(ctx)
}

// lastEntry gives the last committed entry.
func (j *job) lastEntry(ctx context.Context) (last entry, err error) {
	name := topics.RescaleJournal(j.ApplicationID)
	spans, err := j.spans(ctx, name, 1, nil)
	if err != nil {
		return last, err
	}
	err = j.read(ctx, name, spans, false, func(_ int32, records []*kgo.Record) error {
		for _, r := range records {
			if err := json.Unmarshal(r.Value, &last); err != nil {
				return fmt.Errorf("read the journal %s offset %d: %w: something else produces to that topic", name, r.Offset, err)
			}
		}
		return nil
	})
	return last, err
}

// resume looks where an earlier run stood. What it has written is thrown away, unless it only lacks its end.
func (j *job) resume(ctx context.Context) error {
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return err
	}
	if !g.Rescaling {
		return j.layOut(g, g.Current)
	}
	last, err := j.readJournal(ctx)
	if err != nil {
		return err
	}
	j.report.Resumed = true
	current := g.Current
	switch {
	case last.Switched:
		if err := j.endJournal(ctx); err != nil {
			return err
		}
		j.report.State = StateComplete // unless this run is to another count
	case last.FromGeneration > 0:
		if err := j.dropIncomplete(ctx, g, last); err != nil {
			return err
		}
		current = last.FromGeneration
	}
	if g, err = topics.FindGenerations(ctx, j.admin, j.ApplicationID); err != nil {
		return err
	}
	if err := j.layOut(g, current); err != nil {
		return err
	}
	if !last.Switched && j.from.partitions == j.Partitions {
		return j.endJournal(ctx) // the incomplete one was to another count, and this one asks for what there is
	}
	return nil
}

// dropIncomplete deletes the topics that an earlier run has begun to write.
func (j *job) dropIncomplete(ctx context.Context, g topics.Generations, last entry) error {
	if last.FromGeneration == 0 {
		return nil
	}
	l := j.layout(last.ToGeneration, last.ToPartitions)
	_, err := j.deleteTopics(ctx, g.Topics, []string{l.mailbox, l.changelog})
	return err
}

// endJournal lets workers start.
func (j *job) endJournal(ctx context.Context) error {
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return err
	}
	_, err = j.deleteTopics(ctx, g.Topics, []string{topics.RescaleJournal(j.ApplicationID)})
	return err
}
