package worker

import (
	"errors"
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// verify holds the progress rows, which are the truth, against the topics and the group as they are. It finds what
// somebody did to them: a topic created anew, an offset changed, records deleted before they were read. All is
// refused together, unless resets are accepted: then it adds rows for sources that are read from elsewhere.
func (b *beginnings) verify() error {
	var problems []error
	for _, id := range b.partitions {
		for _, s := range b.sources[id] {
			progress, known, err := task.Progress(partitionStore{b.w.store, id}, s.topic, s.partition)
			if err != nil {
				return err
			}
			if known {
				problems = append(problems, b.verifySource(s, progress))
			}
		}
	}
	return errors.Join(problems...)
}

func errRecreated(topic string) error {
	return fmt.Errorf("topic %s was deleted and created anew since this application read it, its offsets mean other records now: use another application id, or delete the topics of this one", topic)
}

func (b *beginnings) verifySource(s source, progress state.Progress) error {
	w := b.w
	if progress.TopicID == [16]byte{} {
		return fmt.Errorf("the application was rescaled since this worker started, and topic %s is one that it has left: restart this worker", s.topic)
	}
	if progress.TopicID != w.topicID(s.topic) {
		return errRecreated(s.topic)
	}
	reset, offset, err := b.reset(s, progress)
	if err != nil {
		return err
	}
	if reset {
		if !w.AcceptOffsetReset {
			return fmt.Errorf("topic %s partition %d: group %s is at offset %d, the application at %d, so somebody has changed the group's offset: put it back, or start with %s to read from there", s.topic, s.partition, w.ApplicationID, offset, progress.Position, naming.AcceptOffsetReset)
		}
		w.log.Warn("the group's offset was changed by somebody else and is taken over", "topic", s.topic, "partition", s.partition, "from", progress.Position, "to", offset)
		b.begin(s, offset)
		return nil
	}
	first, err := b.first(s)
	if err != nil || progress.Position >= first {
		return err
	}
	if !w.AcceptOffsetReset {
		return fmt.Errorf("topic %s partition %d begins at offset %d, the application has read up to %d: %d offsets were deleted unread: restore them, or start with %s to go on without", s.topic, s.partition, first, progress.Position, first-progress.Position, naming.AcceptOffsetReset)
	}
	w.log.Warn("records were deleted unread", "topic", s.topic, "partition", s.partition, "offsets", first-progress.Position)
	b.begin(s, first)
	return nil
}

// reset tells whether somebody has changed the group's offset of a source. An offset that is not there has expired;
// one that was written with a barrier is a guess. What a group has on another cluster is nothing of this application's.
func (b *beginnings) reset(s source, progress state.Progress) (is bool, offset int64, err error) {
	if b.far != nil {
		return false, 0, nil
	}
	f := b.offsets[module.TopicPartition{Topic: s.topic, Partition: s.partition}]
	m, ours, err := parseOffsetMetadata(f.metadata)
	if err != nil {
		return false, 0, fmt.Errorf("the group's offset of topic %s partition %d: %w", s.topic, s.partition, err)
	}
	return f.offset >= 0 && !(ours && m.guess) && f.offset != progress.Position, f.offset, nil
}
