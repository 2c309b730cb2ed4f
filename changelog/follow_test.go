package changelog

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

func TestFollow(t *testing.T) {
	for fact, c := range map[string]struct {
		fetches []fetch
		rows    map[string]string
		offset  int64
		level   time.Time
		lag     int64
	}{
		"is level when all that is committed is applied": {
			[]fetch{{[]*kgo.Record{record(10, "a", "1"), tombstone(11, "old")}, 12}},
			map[string]string{"a": "1"}, 12, noon, 0},
		"is behind while committed records are still to come": {
			[]fetch{{[]*kgo.Record{record(10, "a", "1")}, 15}},
			map[string]string{"old": "0", "a": "1"}, 11, earlier, 4},
		"catches up with a later fetch": {
			[]fetch{{[]*kgo.Record{record(10, "a", "1")}, 15}, {[]*kgo.Record{record(12, "a", "2"), record(14, "b", "3")}, 15}},
			map[string]string{"old": "0", "a": "2", "b": "3"}, 15, noon, 0},
		"skips what it has": {
			[]fetch{{[]*kgo.Record{record(8, "x", "1"), record(9, "old", "1"), record(10, "a", "1")}, 11}},
			map[string]string{"old": "0", "a": "1"}, 11, noon, 0},
		"does nothing with nothing": {
			[]fetch{{nil, 20}}, map[string]string{"old": "0"}, 10, earlier, 10},
	} {
		t.Run(fact, func(t *testing.T) {
			s := holding(t, 10)
			f, err := NewFollow(s, partition, topicID, 10, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, fetch := range c.fetches {
				if err := f.Records(fetch.records, fetch.stable, noon); err != nil {
					t.Fatal(err)
				}
			}
			if got := contents(t, s); !maps.Equal(got, c.rows) {
				t.Errorf("rows %v", got)
			}
			want := state.Position{Offset: c.offset, TopicID: topicID, Level: c.level}
			if pos, _, err := s.Position(partition); err != nil || pos != want {
				t.Errorf("position %+v, %v", pos, err)
			}
			if lag, known := f.Lag(); !known || lag != c.lag || f.Next() != c.offset {
				t.Errorf("lag %d, %v, next %d", lag, known, f.Next())
			}
		})
	}
}

type fetch struct {
	records []*kgo.Record
	stable  int64
}

func TestAFollowerWhoseTombstonesMayBeGoneIsTooOld(t *testing.T) {
	s := holding(t, 10)
	f, err := NewFollow(s, partition, topicID, 10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return earlier.Add(time.Hour) }
	if err := f.Records([]*kgo.Record{record(10, "a", "1")}, 20, noon); err != nil {
		t.Errorf("on the way: %v", err)
	}
	if err := f.Records([]*kgo.Record{record(19, "a", "2")}, 20, noon); !errors.Is(err, ErrTooOld) {
		t.Errorf("at the end: %v", err)
	}
	if pos, _, _ := s.Position(partition); !pos.Level.Equal(earlier) {
		t.Errorf("the level is %v", pos.Level)
	}
}
