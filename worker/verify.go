package worker

import (
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// verify holds the progress rows, which are the truth, against the topics and the group as they are. It finds what
// somebody did to them: a topic created anew, an offset changed, records deleted before they were read. All is
// refused together, unless resets are accepted: then it adds rows for sources that are read from elsewhere.
func (t *takeover) verify(rows map[int32][]state.Row) error {
	var problems []error
	for _, id := range t.partitions {
		for _, s := range t.w.sourcesOf(id) {
			progress, known, err := task.Progress(partitionStore{t.w.store, id}, s.topic, s.partition)
			if err != nil {
				return err
			}
			if known {
				problems = append(problems, t.verifySource(s, progress, rows))
			}
		}
	}
	return errors.Join(problems...)
}

func (t *takeover) verifySource(s source, progress state.Progress, rows map[int32][]state.Row) error {
	w := t.w
	if progress.TopicID != w.names.topicIDs[s.topic] {
		return fmt.Errorf("topic %s was deleted and created anew since this application read it, its offsets mean other records now: use another application id, or delete the topics of this one", s.topic)
	}
	if reset, offset := t.reset(s, progress); reset {
		if !w.AcceptOffsetReset {
			return fmt.Errorf("topic %s partition %d: group %s is at offset %d, the application at %d, so somebody has changed the group's offset: put it back, or start with --accept-offset-reset to read from there", s.topic, s.partition, w.ApplicationID, offset, progress.Position)
		}
		w.log.Warn("the group's offset was changed by somebody else and is taken over", "topic", s.topic, "partition", s.partition, "from", progress.Position, "to", offset)
		t.begin(rows, s, offset)
		return nil
	}
	var first int64
	err := t.again("the bounds of a source", func() (done bool, err error) {
		first, _, err = w.lookups.bounds(t.ctx, s.topic, s.partition)
		return err == nil, err
	})
	if err != nil || progress.Position >= first {
		return err
	}
	if !w.AcceptOffsetReset {
		return fmt.Errorf("topic %s partition %d begins at offset %d, the application has read up to %d: %d offsets were deleted unread: restore them, or start with --accept-offset-reset to go on without", s.topic, s.partition, first, progress.Position, first-progress.Position)
	}
	w.log.Warn("records were deleted unread", "topic", s.topic, "partition", s.partition, "offsets", first-progress.Position)
	t.begin(rows, s, first)
	return nil
}

// reset tells whether somebody has changed the group's offset of a source. An offset that is not there has expired;
// one that was written with a barrier is a guess.
func (t *takeover) reset(s source, progress state.Progress) (bool, int64) {
	f := t.offsets[module.TopicPartition{Topic: s.topic, Partition: s.partition}]
	m, ours := parseOffsetMetadata(f.metadata)
	return f.offset >= 0 && !(ours && m.guess) && f.offset != progress.Position, f.offset
}
