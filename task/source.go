package task

import (
	"time"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// Source is the reading of one topic partition by its task. Only the worker's loop touches it.
//
// Progress is a position, below which everything is done, and the finished offsets above it. Offsets that no
// record has (transaction markers, aborted or compacted records) never enter entries and so count as finished.
type Source struct {
	Topic     string
	Partition int32
	TopicID   [16]byte

	position  int64
	next      int64       // the offset to be read next; everything below it was handed in
	entries   []entry     // records read and not below the position, in offset order
	base      uint64      // number of entries[0]
	open      int         // entries that are not done
	recovered []state.Run // finished before the last take-over and not read again yet: from next on
	moved     bool        // progress has changed since the last cut
	written   int64       // position in the last progress row
	runs      []state.Run // of the last progress row, for its memory: a wide window has tens of thousands

	// shared has the mailboxes of the records with several targets that are not done.
	shared map[uint64][]*Mailbox
}

// entry is one record that was read; left counts its inputs that are not done.
type entry struct {
	offset int64
	left   int32
}

// NewSource gives the reading of a partition that goes on from what a progress row says.
func NewSource(topic string, partition int32, topicID [16]byte, p state.Progress) *Source {
	return &Source{
		Topic: topic, Partition: partition, TopicID: topicID,
		position: p.Position, written: p.Position, next: p.Position, recovered: p.Finished,
		shared: map[uint64][]*Mailbox{},
	}
}

// Next is the offset to read next.
func (s *Source) Next() int64 { return s.next }

// Written is the position in the last progress row, which the group's offset has to equal.
func (s *Source) Written() int64 { return s.written }

// Window is the number of records read above the position.
func (s *Source) Window() int { return len(s.entries) }

// Open is the number of records read that are not done.
func (s *Source) Open() int { return s.open }

// Pass says that the source was read up to, and not including, offset, and that no record lay there.
func (s *Source) Pass(offset int64) {
	if offset <= s.next {
		return
	}
	s.next = offset
	// What is left of a run goes on at next: the part before it is below the position or among the entries now.
	for len(s.recovered) > 0 && s.recovered[0].To < offset {
		s.recovered = s.recovered[1:]
	}
	if len(s.recovered) > 0 {
		s.recovered[0].From = max(s.recovered[0].From, offset)
	}
}

// Fresh tells whether the record at offset would be taken in by Arrive, so that nothing is done twice for a
// record that crosses to another partition.
func (s *Source) Fresh(offset int64) bool {
	if offset < s.next {
		return false
	}
	for _, r := range s.recovered {
		if offset <= r.To {
			return offset < r.From
		}
	}
	return true
}

// read takes in the record at offset with a number of inputs. It reports false for a record that is behind the
// next offset or was finished before the last take-over.
func (s *Source) read(offset int64, inputs int) (number uint64, fresh bool) {
	if offset < s.next {
		return 0, false
	}
	fresh = s.Fresh(offset)
	s.Pass(offset + 1)
	number = s.base + uint64(len(s.entries))
	if !fresh {
		s.entries = append(s.entries, entry{offset, 0})
		return number, false
	}
	s.entries = append(s.entries, entry{offset, int32(inputs)})
	if inputs > 0 {
		s.open++
	} else {
		s.moved = true
	}
	return number, true
}

// Stay takes in a record that can neither be processed nor copied anywhere: the position never passes it.
func (s *Source) Stay(offset int64) { s.read(offset, 1) }

// offset is that of a record that is not done.
func (s *Source) offset(number uint64) int64 { return s.entries[number-s.base].offset }

// finish marks one input of a record done and reports whether others of that record are not.
func (s *Source) finish(number uint64) (partial bool) {
	e := &s.entries[number-s.base]
	e.left--
	if e.left > 0 {
		return true
	}
	s.moved = true
	s.open--
	delete(s.shared, number)
	return false
}

// advance moves the position over finished records.
func (s *Source) advance() {
	n := 0
	for n < len(s.entries) && s.entries[n].left == 0 {
		n++
	}
	s.base += uint64(n)
	s.entries = s.entries[n:]
	if len(s.entries) > 0 {
		s.position = s.entries[0].offset
	} else {
		s.position = s.next
	}
}

// progress is the row that a cut writes for this source; its runs are good until the next.
func (s *Source) progress(transaction string, now time.Time) state.Progress {
	p := state.Progress{TopicID: s.TopicID, Position: s.position, Transaction: transaction, Time: now}
	p.Finished = s.runs[:0]
	open := true
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.left > 0:
			open = true
		case open:
			p.Finished = append(p.Finished, state.Run{From: e.offset, To: e.offset})
			open = false
		default: // the offsets between two finished records hold nothing
			p.Finished[len(p.Finished)-1].To = e.offset
		}
	}
	p.Finished = append(p.Finished, s.recovered...)
	s.runs = p.Finished
	return p
}

// oldest is the number of the first record that is not done.
func (s *Source) oldest() (number uint64, ok bool) {
	for i := range s.entries {
		if s.entries[i].left > 0 {
			return s.base + uint64(i), true
		}
	}
	return 0, false
}
