package state

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

// inMemory are options for a store on a file system of its own.
func inMemory() Options {
	return Options{Dir: "state", FS: vfs.NewMem(), ApplicationID: "app", CacheBytes: 4 << 20, MemTableBytes: 1 << 20}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func mustApply(t testing.TB, s *Store, changes ...Change) {
	t.Helper()
	if err := s.Apply(changes); err != nil {
		t.Fatal(err)
	}
}

func row(key, value string) Row { return Row{Key: []byte(key), Value: []byte(value)} }

func removed(key string) Row { return Row{Key: []byte(key)} }

func at(offset int64) Position { return Position{Offset: offset, TopicID: topicID, Level: noon} }

// dump returns the rows of a range as "key=value" in the order they are visited.
func dump(t testing.TB, s *Store, p int32, from, to []byte, limit int) []string {
	t.Helper()
	rows := []string{}
	err := s.Scan(p, from, to, limit, func(key, value []byte) error {
		rows = append(rows, string(key)+"="+string(value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestGetReturnsTheLastValueOfItsOwnPartition(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s,
		Change{Partition: 0, Rows: []Row{row("k", "zero"), row("gone", "x"), row("empty", "")}, Position: at(1)},
		Change{Partition: 1, Rows: []Row{row("k", "first"), row("k", "one")}, Position: at(1)})
	mustApply(t, s, Change{Partition: 0, Rows: []Row{removed("gone"), removed("never")}, Position: at(2)})
	for _, c := range []struct {
		p    int32
		key  string
		want []byte
	}{
		{0, "k", []byte("zero")}, {1, "k", []byte("one")}, {2, "k", nil}, {0, "gone", nil}, {0, "empty", []byte{}}, {0, "", nil},
	} {
		if got, err := s.Get(c.p, []byte(c.key)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("partition %d, key %q: got %q, %v, want %q", c.p, c.key, got, err, c.want)
		}
	}
	if got, found, err := s.GetTo([]byte("+"), 1, []byte("k")); err != nil || !found || string(got) != "+one" {
		t.Errorf("GetTo: %q, %v, %v", got, found, err)
	}
	if got, found, err := s.GetTo([]byte("+"), 1, []byte("none")); err != nil || found || string(got) != "+" {
		t.Errorf("GetTo of what is not there: %q, %v, %v", got, found, err)
	}
}

func TestWhatGetReturnsIsTheCallers(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s, Change{Rows: []Row{row("k", "value")}, Position: at(1)})
	got, err := s.Get(0, []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	if again, err := s.Get(0, []byte("k")); err != nil || string(again) != "value" {
		t.Errorf("after the first answer was overwritten: %q, %v", again, err)
	}
}

func TestApplyKeepsNothingOfItsArguments(t *testing.T) {
	s := mustOpen(t, inMemory())
	r := row("k", "value")
	mustApply(t, s, Change{Rows: []Row{r}, Position: at(1)})
	clear(r.Key)
	clear(r.Value)
	if got := dump(t, s, 0, nil, nil, 0); !reflect.DeepEqual(got, []string{"k=value"}) {
		t.Error(got)
	}
}

func TestScan(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s,
		Change{Partition: 1, Rows: []Row{row("x", "other")}, Position: at(1)},
		Change{Partition: 2, Rows: []Row{row("c", "3"), row("a", "1"), row("b", "2"), row("\xff\xff", "4")}, Position: at(1)})
	for fact, c := range map[string]struct {
		from, to string
		limit    int
		want     []string
	}{
		"the whole partition in the order of its keys": {"", "", 0, []string{"a=1", "b=2", "c=3", "\xff\xff=4"}},
		"from belongs to the range and to does not":    {"a", "c", 0, []string{"a=1", "b=2"}},
		"a limit":                                       {"", "", 2, []string{"a=1", "b=2"}},
		"on behind the last key":                        {"b\x00", "", 2, []string{"c=3", "\xff\xff=4"}},
		"an empty range":                                {"d", "e", 0, []string{}},
		"a range that ends before it begins":            {"c", "a", 0, []string{}},
		"from a key that is not there":                  {"aa", "", 1, []string{"b=2"}},
		"up to a key that is not there":                 {"", "bb", 0, []string{"a=1", "b=2"}},
		"a limit above what there is":                   {"c", "", 9, []string{"c=3", "\xff\xff=4"}},
		"from behind everything in the partition":       {"\xff\xff\xff", "", 0, []string{}},
		"the positions are no part of any partition":    {"\xff", "", 0, []string{"\xff\xff=4"}},
		"a limit of one at a key that the range begins": {"b", "", 1, []string{"b=2"}},
	} {
		var to []byte
		if c.to != "" {
			to = []byte(c.to)
		}
		if got := dump(t, s, 2, []byte(c.from), to, c.limit); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", fact, got, c.want)
		}
	}
	if got := dump(t, s, MaxPartition, nil, nil, 0); len(got) > 0 {
		t.Errorf("the last partition has %q", got)
	}
}

func TestScanReturnsTheErrorOfItsVisitor(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s, Change{Rows: []Row{row("a", "1"), row("b", "2")}, Position: at(1)})
	enough, visits := errors.New("enough"), 0
	err := s.Scan(0, nil, nil, 0, func(_, _ []byte) error { visits++; return enough })
	if err != enough || visits != 1 {
		t.Errorf("%v after %d visits", err, visits)
	}
}

func TestAVisitorMayReadAndWrite(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s, Change{Rows: []Row{row("a", "1"), row("b", "2")}, Position: at(1)})
	err := s.Scan(0, nil, nil, 0, func(key, value []byte) error {
		if got, err := s.Get(0, key); err != nil || !bytes.Equal(got, value) {
			return fmt.Errorf("%q: %q, %w", key, got, err)
		}
		return s.Apply([]Change{{Rows: []Row{{Key: key}, row("c", "3")}, Position: at(2)}})
	})
	if err != nil {
		t.Error(err)
	}
	if got := dump(t, s, 0, nil, nil, 0); !reflect.DeepEqual(got, []string{"c=3"}) {
		t.Error(got)
	}
}

func TestPositions(t *testing.T) {
	o := inMemory()
	s := mustOpen(t, o)
	if pos, known, err := s.Position(0); known || err != nil {
		t.Errorf("of a partition that was never written: %+v, %v, %v", pos, known, err)
	}
	mustApply(t, s, Change{Partition: 0, Position: at(10)}, Change{Partition: MaxPartition, Position: at(20)})
	later := noon.Add(time.Hour + 300*time.Microsecond)
	mustApply(t, s, Change{Partition: 0, Position: Position{Offset: 10, TopicID: topicID, Level: later}})
	for range 2 { // as written, and as read back
		if pos, known, err := s.Position(0); err != nil || !known || pos != (Position{10, topicID, noon.Add(time.Hour)}) {
			t.Errorf("of partition 0: %+v, %v, %v", pos, known, err)
		}
		if pos, known, err := s.Position(MaxPartition); err != nil || !known || pos != at(20) {
			t.Errorf("of the last partition: %+v, %v, %v", pos, known, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
	}
}

func TestApplyRefusesAndChangesNothing(t *testing.T) {
	otherTopic := Position{Offset: 11, TopicID: [16]byte{1}, Level: noon}
	for fact, c := range map[string]struct {
		changes []Change
		want    string
	}{
		"a position that goes back":              {[]Change{{Partition: 1, Rows: []Row{row("k", "new")}, Position: at(9)}}, "offset 10"},
		"a position that goes back in the batch": {[]Change{{Partition: 1, Rows: []Row{row("k", "new")}, Position: at(12)}, {Partition: 1, Position: at(11)}}, "offset 12"},
		"another changelog topic":                {[]Change{{Partition: 1, Rows: []Row{row("k", "new")}, Position: otherTopic}}, "wiped first"},
		"a good change with a bad one":           {[]Change{{Partition: 0, Rows: []Row{row("k", "new")}, Position: at(1)}, {Partition: 1, Position: at(1)}}, "offset 10"},
		"a row without a key":                    {[]Change{{Partition: 1, Rows: []Row{row("k", "new"), row("", "x")}, Position: at(11)}}, "without a key"},
		"a negative partition":                   {[]Change{{Partition: -1, Rows: []Row{row("k", "new")}, Position: at(11)}}, "-1"},
		"a partition above the last":             {[]Change{{Partition: MaxPartition + 1, Rows: []Row{row("k", "new")}, Position: at(11)}}, "65535"},
	} {
		t.Run(fact, func(t *testing.T) {
			s := mustOpen(t, inMemory())
			mustApply(t, s, Change{Partition: 1, Rows: []Row{row("k", "old")}, Position: at(10)})
			if err := s.Apply(c.changes); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %q", err, c.want)
			}
			if got := append(dump(t, s, 0, nil, nil, 0), dump(t, s, 1, nil, nil, 0)...); !reflect.DeepEqual(got, []string{"k=old"}) {
				t.Error(got)
			}
			if pos, _, err := s.Position(1); err != nil || pos != at(10) {
				t.Errorf("the position is %+v, %v", pos, err)
			}
		})
	}
}

func TestWipeRemovesOnePartitionWithItsPosition(t *testing.T) {
	o := inMemory()
	s := mustOpen(t, o)
	for p := range int32(3) {
		mustApply(t, s, Change{Partition: p, Rows: []Row{row("\x00", "1"), row("k", "2"), row("\xff\xff\xff", "3")}, Position: at(10)})
	}
	mustApply(t, s, Change{Partition: MaxPartition, Rows: []Row{row("k", "2")}, Position: at(10)})
	for _, p := range []int32{1, MaxPartition} {
		if err := s.Wipe(p); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // at once, and after a restart
		for p, rows := range map[int32]int{0: 3, 1: 0, 2: 3, MaxPartition: 0} {
			_, known, err := s.Position(p)
			if n := len(dump(t, s, p, nil, nil, 0)); n != rows || known != (rows > 0) || err != nil {
				t.Errorf("partition %d has %d rows, a position: %v, %v", p, n, known, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
	}
	mustApply(t, s, Change{Partition: 1, Rows: []Row{row("k", "new")}, Position: Position{Offset: 1, TopicID: [16]byte{1}}})
	if got := dump(t, s, 1, nil, nil, 0); !reflect.DeepEqual(got, []string{"k=new"}) {
		t.Errorf("written after the wipe, with an older position of another topic: %q", got)
	}
}

func TestCloseFlushes(t *testing.T) {
	o := inMemory()
	s := mustOpen(t, o)
	for i := range int64(10) {
		mustApply(t, s, Change{Rows: []Row{row("k", fmt.Sprint(i))}, Position: at(i + 1)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	pos, _, err := s.Position(0)
	if got := dump(t, s, 0, nil, nil, 0); !reflect.DeepEqual(got, []string{"k=9"}) || pos != at(10) || err != nil {
		t.Errorf("after a clean restart: %q at %+v, %v", got, pos, err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := mustOpen(t, inMemory())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get(0, []byte("k"))
	_, _, positionErr := s.Position(0)
	for call, err := range map[string]error{
		"Get": getErr, "Position": positionErr, "Apply": s.Apply(nil), "Wipe": s.Wipe(0), "Close": s.Close(),
		"Scan": s.Scan(0, nil, nil, 0, func(_, _ []byte) error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestCloseWaitsForCallsInProgress(t *testing.T) {
	s := mustOpen(t, inMemory())
	mustApply(t, s, Change{Rows: []Row{row("a", "1"), row("b", "2")}, Position: at(1)})
	var calls sync.WaitGroup
	inside := make(chan struct{})
	for range 8 {
		calls.Go(func() {
			first := true
			err := s.Scan(0, nil, nil, 0, func(_, _ []byte) error {
				if first {
					first = false
					inside <- struct{}{}
					for !s.closed.Load() { // Close has begun and must not have finished
						if _, err := s.Get(0, []byte("a")); err != nil && !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 8 {
		<-inside
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	calls.Wait()
}

func TestABatchLargerThanAMemtableIsOneBatch(t *testing.T) {
	o := inMemory()
	o.MemTableBytes = 64 << 10
	s := mustOpen(t, o)
	big := Change{Position: at(1)}
	for i := range 5000 {
		big.Rows = append(big.Rows, row(fmt.Sprintf("%04d", i), strings.Repeat("v", 100)))
	}
	mustApply(t, s, big)
	mustApply(t, s, Change{Rows: []Row{row("0000", "new")}, Position: at(2)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	if rows := dump(t, s, 0, nil, nil, 0); len(rows) != 5000 || rows[0] != "0000=new" {
		t.Errorf("%d rows, the first is %q", len(rows), rows[0])
	}
}

// The store agrees with maps, whatever is applied, wiped, and closed in between.
func TestStoreAgainstMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := inMemory()
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		model, offsets := map[int32]map[string]string{0: {}, 1: {}, 2: {}}, map[int32]int64{}
		partition := rapid.Int32Range(0, 2)
		keys := rapid.SampledFrom([]string{"\x00", "a", "ab", "b", "\xff", "\xff\xff"})
		t.Repeat(map[string]func(*rapid.T){
			"apply": func(t *rapid.T) {
				p := partition.Draw(t, "partition")
				c := Change{Partition: p}
				for range rapid.IntRange(0, 5).Draw(t, "rows") {
					key, value := keys.Draw(t, "key"), rapid.StringN(0, 3, -1).Draw(t, "value")
					if rapid.Bool().Draw(t, "tombstone") {
						c.Rows = append(c.Rows, removed(key))
						delete(model[p], key)
					} else {
						c.Rows = append(c.Rows, row(key, value))
						model[p][key] = value
					}
				}
				offsets[p] += int64(len(c.Rows))
				c.Position = at(offsets[p])
				if err := s.Apply([]Change{c}); err != nil {
					t.Fatal(err)
				}
			},
			"wipe": func(t *rapid.T) {
				p := partition.Draw(t, "partition")
				model[p] = map[string]string{}
				delete(offsets, p)
				if err := s.Wipe(p); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(o); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for p, want := range model {
					compare(t, s, p, want, offsets)
				}
			},
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func compare(t *rapid.T, s *Store, p int32, want map[string]string, offsets map[int32]int64) {
	got := map[string]string{}
	err := s.Scan(p, nil, nil, 0, func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("partition %d holds %q, %v, want %q", p, got, err, want)
	}
	offset, known := offsets[p]
	if pos, has, err := s.Position(p); err != nil || has != known || pos.Offset != offset {
		t.Fatalf("partition %d stands at %d, %v, %v, want %d, %v", p, pos.Offset, has, err, offset, known)
	}
}

// gather returns the metrics without labels by their names.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return values
}

func TestMetricsFollowTheStore(t *testing.T) {
	o := inMemory()
	registry := prometheus.NewPedanticRegistry()
	o.Registerer = registry
	s := mustOpen(t, o)
	mustApply(t, s, Change{Rows: []Row{row("a", "1"), row("b", "2")}, Position: at(1)})
	before := gather(t, registry)
	if before["statefun_state_unflushed_rows"] != 2 || before["statefun_state_unflushed_bytes"] == 0 || len(before) != 10 {
		t.Errorf("after two rows: %v", before)
	}
	if p := s.Pressure(); p.UnflushedRows != 2 || p.UnflushedBytes == 0 || p.Stalled || p.Err != nil {
		t.Errorf("%+v", p)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	after := gather(t, registry)
	if after["statefun_state_unflushed_rows"] != 0 || after["statefun_state_flushes_total"] != 1 ||
		after["statefun_state_disk_bytes"] <= before["statefun_state_disk_bytes"] {
		t.Errorf("after a flush: %v", after)
	}
	s.metrics.stallBegan()
	if !s.Pressure().Stalled {
		t.Error("a write stall is no pressure")
	}
	s.metrics.stallEnded()
	if m := gather(t, registry); m["statefun_state_write_stalls_total"] != 1 || m["statefun_state_write_stall_seconds_total"] <= 0 {
		t.Errorf("after a stall: %v", m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m := gather(t, registry); len(m) > 0 {
		t.Errorf("a closed store leaves %v", m)
	}
	mustOpen(t, o) // registers the same names again
}
