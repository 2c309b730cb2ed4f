package audit

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
)

func encode(t *testing.T, as statefun.SimpleType, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := as.Serialize(&b, value); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func address(name, id string) protocol.Address {
	return protocol.Address{Type: protocol.TypeName{Namespace: "e2e.load", Name: name}, ID: id}
}

func valueRow(p int32, offset int64, a protocol.Address, name string, value []byte) Row {
	return Row{p, offset, state.ValueKey(a, name), state.AppendValue(nil, state.Value{Bytes: value})}
}

func progressRow(p int32, offset int64, topic string, partition int32, position int64, finished ...state.Run) Row {
	return Row{p, offset, state.ProgressKey(topic, partition), state.AppendProgress(nil, state.Progress{Position: position, Finished: finished})}
}

// The synthetic application has two partitions; ids that begin with "e" are of partition 0.
func owner(id string) int32 {
	if strings.HasPrefix(id, "e") {
		return 0
	}
	return 1
}

// sound is what an application left behind in which nothing went wrong: a/even remembers three inputs, b/odd one. One
// worker's disk is level, the other's is behind.
func sound(t *testing.T) Evidence {
	even, odd := address("a", "even"), address("b", "odd")
	count := func(n int64) []byte { return encode(t, statefun.Int64Type, n) }
	log := []Row{
		{0, 0, state.BarrierKey(), []byte("w1")},
		progressRow(0, 1, "in", 0, 0),
		valueRow(0, 2, even, "count", count(2)),
		valueRow(0, 3, even, "note", encode(t, statefun.StringType, "x")),
		{0, 4, state.TimerKey(1000, 4), []byte("message")},
		progressRow(0, 5, "in", 0, 2),
		valueRow(0, 7, even, "count", count(3)),
		{0, 8, state.ValueKey(even, "note"), nil},
		{0, 9, state.TimerKey(1000, 4), nil},
		progressRow(0, 10, "in", 0, 3),
		valueRow(1, 0, odd, "count", count(1)),
		progressRow(1, 1, "mailbox", 1, 1, state.Run{From: 3, To: 4}),
	}
	return Evidence{
		Partitions: 2, Owner: owner, Changelog: log,
		Last: map[string]load.Memory{"a/even": {Count: 3}, "b/odd": {Count: 1}},
		Stores: []Store{
			{"w1", 0, 12, fold(log, 0, 12)}, // one marker behind the last row
			{"w1", 1, 3, fold(log, 1, 3)},
			{"w2", 0, 7, fold(log, 0, 7)},
		},
		Sources: []Source{
			{Topic: "in", Partition: 0, Records: []int64{0, 1, 2}, Committed: 3},
			{Topic: "mailbox", Partition: 1, Records: []int64{3, 4}, Committed: 1},
		},
		Transactions:     map[string]string{"app-w1-0": "CompleteCommit", "app-w1-1": "CompleteAbort", "app-w2-0": "Empty"},
		MostTransactions: 3,
	}
}

func fold(log []Row, partition int32, below int64) map[string][]byte {
	all := rows{}
	for _, row := range log {
		if row.Partition == partition && row.Offset < below {
			all.apply(row)
		}
	}
	return all
}

func TestASoundApplicationPasses(t *testing.T) {
	r := Check(sound(t))
	if len(r.Violations) > 0 {
		t.Fatalf("violations: %v", r.Violations)
	}
	if r.Rows != 12 || r.States != 2 || r.Stores != 3 || r.Level != 2 || r.StoredRows == 0 {
		t.Errorf("figures: %+v", r)
	}
}

// breaches plant one fault each into the sound application.
var breaches = []struct {
	name  string
	plant func(*testing.T, *Evidence)
	want  Rule
}{
	{"a function that said more than the changelog has", func(_ *testing.T, e *Evidence) {
		e.Last["a/even"] = load.Memory{Count: 4}
	}, RuleState},
	{"a deleted state that is back in the changelog", func(t *testing.T, e *Evidence) {
		e.Changelog = slices.DeleteFunc(e.Changelog, func(r Row) bool { return r.Offset == 8 })
		e.Stores = nil
	}, RuleState},
	{"a second state that lags behind the first", func(_ *testing.T, e *Evidence) {
		e.Last["a/even"] = load.Memory{Count: 3, Chain: 7}
	}, RuleState},
	{"a state that was lost as a whole", func(_ *testing.T, e *Evidence) {
		e.Changelog = slices.DeleteFunc(e.Changelog, func(r Row) bool { return r.Partition == 1 && r.Offset == 0 })
		e.Stores = e.Stores[:1]
	}, RuleState},
	{"a state of an address that never said anything", func(t *testing.T, e *Evidence) {
		e.Changelog = append(e.Changelog, valueRow(1, 9, address("c", "odd"), "count", encode(t, statefun.Int64Type, int64(1))))
	}, RuleState},
	{"a state that cannot be read", func(_ *testing.T, e *Evidence) {
		e.Changelog = append(e.Changelog, Row{1, 9, state.ValueKey(address("b", "odd"), "count"), []byte{99}})
	}, RuleState},
	{"a state in the wrong partition", func(t *testing.T, e *Evidence) {
		e.Changelog = append(e.Changelog, valueRow(1, 9, address("a", "even"), "count", encode(t, statefun.Int64Type, int64(3))))
	}, RulePlace},
	{"a disk with another value", func(t *testing.T, e *Evidence) {
		key := string(state.ValueKey(address("a", "even"), "count"))
		e.Stores[2].Rows[key] = state.AppendValue(nil, state.Value{Bytes: encode(t, statefun.Int64Type, int64(9))})
	}, RuleStore},
	{"a disk that lacks a row", func(_ *testing.T, e *Evidence) {
		delete(e.Stores[1].Rows, string(state.ValueKey(address("b", "odd"), "count")))
	}, RuleStore},
	{"a disk with a row too many", func(_ *testing.T, e *Evidence) {
		e.Stores[0].Rows[string(state.TimerKey(1000, 4))] = []byte("message")
	}, RuleStore},
	{"a disk that is ahead of its position", func(_ *testing.T, e *Evidence) {
		e.Stores[2].Rows = maps.Clone(e.Stores[0].Rows)
	}, RuleStore},
	{"a disk that is behind its position", func(_ *testing.T, e *Evidence) { e.Stores[2].Position = 12 }, RuleStore},
	{"a pending row that is left", func(_ *testing.T, e *Evidence) {
		e.Changelog = append(e.Changelog, Row{0, 20, state.PendingKey(address("a", "even"), 20), []byte("x")})
	}, RuleLeftover},
	{"a delayed message that is left", func(_ *testing.T, e *Evidence) {
		e.Changelog = slices.DeleteFunc(e.Changelog, func(r Row) bool { return r.Offset == 9 })
		e.Stores = nil
	}, RuleLeftover},
	{"a token that is left", func(_ *testing.T, e *Evidence) {
		e.Changelog = append(e.Changelog, Row{0, 20, state.TokenKey("even", "t"), []byte("x")})
	}, RuleLeftover},
	{"a record that was never done", func(_ *testing.T, e *Evidence) {
		e.Sources[0].Records = append(e.Sources[0].Records, 3)
	}, RuleProgress},
	{"a record between finished ones that was never done", func(_ *testing.T, e *Evidence) {
		e.Sources[1].Records = []int64{2, 3, 4}
	}, RuleProgress},
	{"a source without a progress row", func(_ *testing.T, e *Evidence) {
		e.Sources = append(e.Sources, Source{Topic: "side", Partition: 1})
	}, RuleProgress},
	{"a group offset that is behind", func(_ *testing.T, e *Evidence) { e.Sources[0].Committed = 2 }, RuleOffsets},
	{"a group offset that is missing", func(_ *testing.T, e *Evidence) { e.Sources[1].Committed = -1 }, RuleOffsets},
	{"an open transaction by its id", func(_ *testing.T, e *Evidence) { e.Transactions["app-w2-0"] = "Ongoing" }, RuleTransaction},
	{"a transaction that does not end", func(_ *testing.T, e *Evidence) { e.Transactions["app-w2-0"] = "PrepareCommit" }, RuleTransaction},
	{"an open transaction by its records", func(_ *testing.T, e *Evidence) { e.Open = []string{"out/0"} }, RuleTransaction},
	{"transactional ids that grow", func(_ *testing.T, e *Evidence) { e.Transactions["app-w2-1"] = "Empty" }, RuleTransaction},
	{"an input that was given up", func(_ *testing.T, e *Evidence) { e.DeadLetters = 1 }, RuleDeadLetter},
}

func TestCheckCatches(t *testing.T) {
	for _, test := range breaches {
		t.Run(test.name, func(t *testing.T) {
			e := sound(t)
			test.plant(t, &e)
			r := Check(e)
			if len(r.Violations) == 0 {
				t.Fatal("no violation")
			}
			for _, v := range r.Violations {
				if v.Rule != test.want {
					t.Errorf("rule %s is broken too: %s", v.Rule, v.Text)
				}
			}
		})
	}
}
