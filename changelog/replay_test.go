package changelog

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/state"
)

var (
	topicID = [16]byte{1}
	noon    = time.UnixMilli(1_700_000_000_000).UTC()
	earlier = noon.Add(-time.Hour)
)

const partition = 3

func open(t testing.TB, fs vfs.FS, dir string) *state.Store {
	t.Helper()
	s, err := state.Open(state.Options{Dir: dir, FS: fs, ApplicationID: "app"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, state.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// row is one of a kind and version that replay lets pass; contents takes both off again.
func row(key, value string) state.Row {
	if key != "" {
		key = string(state.KindValue) + key
	}
	return state.Row{Key: []byte(key), Value: []byte("\x01" + value)}
}

func record(offset int64, key, value string) *kgo.Record {
	r := Encode("app-changelog", partition, row(key, value))
	r.Offset = offset
	return r
}

func tombstone(offset int64, key string) *kgo.Record {
	r := record(offset, key, "")
	r.Value = nil
	return r
}

func contents(t testing.TB, s *state.Store) map[string]string {
	t.Helper()
	rows := map[string]string{}
	err := s.Scan(partition, nil, nil, 0, func(key, value []byte) error {
		rows[string(key[1:])] = string(value[1:])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// holding returns a store that stands at a position with one row.
func holding(t testing.TB, offset int64) *state.Store {
	t.Helper()
	s := open(t, vfs.NewMem(), "state")
	err := s.Apply([]state.Change{{Partition: partition, Rows: []state.Row{row("old", "0")},
		Position: state.Position{Offset: offset, TopicID: topicID, Level: earlier}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReplay(t *testing.T) {
	recs := []*kgo.Record{record(10, "a", "1"), tombstone(11, "old"), record(13, "a", "2"), record(15, "b", "3"), record(16, "c", "4")}
	for fact, c := range map[string]struct {
		from, barrier int64
		fetches       [][]*kgo.Record
		done          []bool // after each fetch
		rows          map[string]string
		offset        int64
		level         time.Time
	}{
		"ends with the record at the barrier": {10, 15, [][]*kgo.Record{recs}, []bool{true},
			map[string]string{"a": "2", "b": "3"}, 16, noon},
		"ends with the first record above a barrier that was compacted away": {10, 14, [][]*kgo.Record{recs}, []bool{true},
			map[string]string{"a": "2", "b": "3"}, 16, noon},
		"goes on while the barrier is not there": {10, 16, [][]*kgo.Record{recs[:2], recs[2:4]}, []bool{false, false},
			map[string]string{"a": "2", "b": "3"}, 16, earlier},
		"may end with a later fetch": {10, 16, [][]*kgo.Record{recs[:2], {}, recs[2:]}, []bool{false, false, true},
			map[string]string{"a": "2", "b": "3", "c": "4"}, 17, noon},
		"skips what the store has": {8, 13, [][]*kgo.Record{{record(8, "x", "1"), record(9, "old", "1")}, recs[:3]}, []bool{false, true},
			map[string]string{"a": "2"}, 14, noon},
		"skips what it has seen": {10, 13, [][]*kgo.Record{recs[:2], recs[:3]}, []bool{false, true},
			map[string]string{"a": "2"}, 14, noon},
		"leaves alone what comes after its end": {10, 11, [][]*kgo.Record{recs[:3], recs[3:]}, []bool{true, true},
			map[string]string{"a": "1"}, 12, noon},
		"has nothing to do behind the barrier": {10, 9, [][]*kgo.Record{nil, recs}, []bool{true, true},
			map[string]string{"old": "0"}, 10, earlier},
	} {
		t.Run(fact, func(t *testing.T) {
			s := holding(t, 10)
			r := NewReplay(s, partition, topicID, c.from, c.barrier)
			for i, fetch := range c.fetches {
				if done, err := r.Records(fetch, noon); err != nil || done != c.done[i] {
					t.Errorf("fetch %d: %v, %v", i, done, err)
				}
			}
			if got := contents(t, s); !maps.Equal(got, c.rows) {
				t.Errorf("rows %v", got)
			}
			want := state.Position{Offset: c.offset, TopicID: topicID, Level: c.level}
			if pos, _, err := s.Position(partition); err != nil || pos != want {
				t.Errorf("position %+v, %v", pos, err)
			}
		})
	}
}

func TestARestoreFromNothingIsLevelFromItsBeginning(t *testing.T) {
	s := open(t, vfs.NewMem(), "state")
	r := NewReplay(s, partition, topicID, 0, 100)
	r.KeepsTombstones(time.Nanosecond)
	for _, rec := range []*kgo.Record{record(0, "a", "1"), record(100, "b", "2")} {
		if _, err := r.Records([]*kgo.Record{rec}, earlier); err != nil {
			t.Fatal(err)
		}
		want := state.Position{Offset: rec.Offset + 1, TopicID: topicID, Level: earlier}
		if pos, _, err := s.Position(partition); err != nil || pos != want {
			t.Errorf("position %+v, %v", pos, err)
		}
	}
}

func TestAReplayThatOutlastsTheTombstonesIsNotBelieved(t *testing.T) {
	s := holding(t, 10)
	r := NewReplay(s, partition, topicID, 10, 11)
	r.KeepsTombstones(2 * time.Hour)
	r.now = func() time.Time { return noon }
	if _, err := r.Records([]*kgo.Record{record(10, "a", "1")}, noon); err != nil {
		t.Fatal(err)
	}
	r.now = func() time.Time { return noon.Add(time.Hour) }
	done, err := r.Records([]*kgo.Record{record(11, "b", "2")}, noon)
	if done || !errors.Is(err, ErrTooOld) {
		t.Errorf("%v, %v", done, err)
	}
	if pos, _, err := s.Position(partition); err != nil || pos.Offset != 11 || pos.Level != earlier {
		t.Errorf("it stands at %+v, %v", pos, err)
	}
}

func TestReplayRefuses(t *testing.T) {
	foreign := record(11, "a", "1")
	foreign.Partition = partition + 1
	for fact, c := range map[string]struct {
		from  int64
		topic [16]byte
		rec   *kgo.Record
		want  string
	}{
		"records that begin above the position": {11, topicID, record(11, "a", "1"), "stands at offset 10"},
		"a record of another partition":         {10, topicID, foreign, "partition 4"},
		"a record without a key":                {10, topicID, record(11, "", "1"), "offset 11"},
		"the changelog of another topic":        {10, [16]byte{2}, record(11, "a", "1"), "wiped first"},
	} {
		t.Run(fact, func(t *testing.T) {
			s := holding(t, 10)
			done, err := NewReplay(s, partition, c.topic, c.from, 20).Records([]*kgo.Record{c.rec}, noon)
			if done || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "changelog of partition 3") {
				t.Errorf("%v, %v", done, err)
			}
			if got := contents(t, s); !maps.Equal(got, map[string]string{"old": "0"}) {
				t.Errorf("rows %v", got)
			}
		})
	}
}

func TestAFetchOfManyBatchesIsAppliedWhole(t *testing.T) {
	s := open(t, vfs.NewMem(), "state")
	recs, want := make([]*kgo.Record, 0, 2*batchRows+5), map[string]string{}
	for i := range int64(2*batchRows + 4) {
		key := fmt.Sprint(i)
		want[key] = "v"
		recs = append(recs, record(i, key, "v"))
	}
	want["big"] = strings.Repeat("v", batchBytes)
	recs = append(recs, record(2*batchRows+4, "big", want["big"]))
	done, err := NewReplay(s, partition, topicID, 0, 2*batchRows+4).Records(recs, noon)
	if err != nil || !done {
		t.Fatal(done, err)
	}
	if got := contents(t, s); !maps.Equal(got, want) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// A replay that is cut off by crashes anywhere ends where one does that is not.
func TestAReplayThroughCrashesEndsTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var recs []*kgo.Record
	want, offset := map[string]string{}, int64(0)
	for range 2000 {
		offset += 1 + int64(rng.IntN(3))
		key, value := fmt.Sprint(rng.IntN(50)), fmt.Sprint(offset)
		if rng.IntN(4) == 0 {
			delete(want, key)
			recs = append(recs, tombstone(offset, key))
			continue
		}
		want[key] = value
		recs = append(recs, record(offset, key, value))
	}
	mem := vfs.NewCrashableMem()
	for done, crashes := false, 0; !done; crashes++ {
		if crashes > 1000 {
			t.Fatal("the barrier is never reached")
		}
		s := open(t, mem, "state")
		pos, _, err := s.Position(partition)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReplay(s, partition, topicID, pos.Offset, offset)
		at := rng.IntN(20) // a fetch may begin below the position
		for fetches := 1 + rng.IntN(1+crashes); fetches > 0 && !done && at < len(recs); fetches-- {
			n := min(len(recs)-at, 1+rng.IntN(300))
			if done, err = r.Records(recs[at:at+n], noon); err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if done {
			if got := contents(t, s); !maps.Equal(got, want) {
				t.Fatalf("after %d crashes: %v, want %v", crashes, got, want)
			}
		}
		mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	}
}

func TestReport(t *testing.T) {
	s := holding(t, 10)
	r := NewReplay(s, partition, topicID, 10, 49)
	clock := noon
	r.now = func() time.Time { return clock }
	if left, known := r.Report().Remaining(); known {
		t.Errorf("before it began it takes %v", left)
	}
	if _, err := r.Records(nil, noon); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(2 * time.Second)
	if _, err := r.Records([]*kgo.Record{record(12, "a", "12"), record(19, "bb", "3")}, noon); err != nil {
		t.Fatal(err)
	}
	p := r.Report()
	if want := (Report{Rows: 2, Bytes: 10, From: 10, Next: 20, Barrier: 49, Elapsed: 2 * time.Second}); p != want {
		t.Errorf("%+v", p)
	}
	if left, known := p.Remaining(); !known || left != 6*time.Second || p.RowsPerSecond() != 1 {
		t.Errorf("it takes %v, %v at %v rows/s", left, known, p.RowsPerSecond())
	}
	text := strings.Builder{}
	slog.New(slog.NewTextHandler(&text, nil)).Info("restoring", "replay", p)
	if !strings.Contains(text.String(), "replay.rows=2 replay.bytes=10 replay.rowsPerSecond=1 replay.offset=20 replay.barrier=49 replay.elapsed=2s replay.remaining=6s") {
		t.Error(text.String())
	}
	if _, err := r.Records([]*kgo.Record{record(49, "c", "1")}, noon); err != nil {
		t.Fatal(err)
	}
	if left, known := r.Report().Remaining(); !known || left != 0 || !r.Report().Done {
		t.Errorf("at the end: %v, %v", left, known)
	}
}

func TestALogTellsWhatIsStale(t *testing.T) {
	log := Log{TopicID: topicID, Start: 10, End: 20, TombstoneRetention: time.Hour}
	for fact, c := range map[string]struct {
		pos  state.Position
		want string
	}{
		"within the log":             {state.Position{Offset: 15, TopicID: topicID, Level: noon}, ""},
		"at its start":               {state.Position{Offset: 10, TopicID: topicID, Level: noon}, ""},
		"at its end":                 {state.Position{Offset: 20, TopicID: topicID, Level: noon}, ""},
		"level just long enough ago": {state.Position{Offset: 15, TopicID: topicID, Level: earlier.Add(time.Millisecond)}, ""},
		"of another topic":           {state.Position{Offset: 15, TopicID: [16]byte{2}, Level: noon}, "created anew"},
		"below the start":            {state.Position{Offset: 9, TopicID: topicID, Level: noon}, "begins at offset 10"},
		"above the end":              {state.Position{Offset: 21, TopicID: topicID, Level: noon}, "ends before offset 20"},
		"level longer ago":           {state.Position{Offset: 15, TopicID: topicID, Level: earlier}, "tombstones"},
		"never level":                {state.Position{Offset: 15, TopicID: topicID}, "tombstones"},
	} {
		got := log.Stale(c.pos, noon)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", fact, got)
		}
	}
	log.TombstoneRetention = 0
	if got := log.Stale(state.Position{Offset: 15, TopicID: topicID}, noon); got != "" {
		t.Errorf("with an unknown retention: %q", got)
	}
}

// The goal is 200,000 rows a second from a wiped disk.
func BenchmarkReplay(b *testing.B) {
	const rows, fetch = 1_000_000, 20_000
	recs := make([]*kgo.Record, rows)
	value := append([]byte{1}, make([]byte, 99)...)
	for i, id := range rand.Perm(rows) {
		recs[i] = Encode("app-changelog", partition, state.Row{Key: fmt.Appendf(nil, "s%010d", id), Value: value})
		recs[i].Offset = int64(i)
	}
	for b.Loop() {
		s := open(b, nil, b.TempDir())
		r := NewReplay(s, partition, topicID, 0, rows-1)
		for at := 0; at < rows; at += fetch {
			if _, err := r.Records(recs[at:at+fetch], noon); err != nil {
				b.Fatal(err)
			}
		}
		if !r.Report().Done {
			b.Fatal("not done")
		}
		b.ReportMetric(r.Report().RowsPerSecond(), "rows/s")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
