package balance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// worker describes a member in a few words: who it is, what it owns, and how far its disk has come.
type worker struct {
	name      string
	owns      []int32
	at        map[int32]int64
	standbys  int
	claimedIn int32
	silent    bool
}

func members(workers ...worker) []member {
	var ms []member
	for _, w := range workers {
		ms = append(ms, member{name: w.name, id: "id-" + w.name, claims: w.owns, generation: w.claimedIn,
			silent: w.silent, standbys: w.standbys, positions: w.at})
	}
	return ms
}

// said prints a plan: what each member owns and follows, ~p is a warm-up.
func said(ms []member, shares []share) string {
	var lines []string
	for i, s := range shares {
		var words []string
		for _, id := range s.owned {
			words = append(words, fmt.Sprint(id))
		}
		if len(s.follows) > 0 {
			words = append(words, "follows")
		}
		for _, f := range s.follows {
			if f.WarmUp {
				words = append(words, fmt.Sprintf("~%d", f.Partition))
			} else {
				words = append(words, fmt.Sprint(f.Partition))
			}
		}
		lines = append(lines, ms[i].name+":"+strings.Join(words, " "))
	}
	return strings.Join(lines, "; ")
}

const far = 1_000_000

// everywhere is a disk with all partitions up to a position.
func everywhere(partitions int32, at int64) map[int32]int64 {
	positions := map[int32]int64{}
	for id := range partitions {
		positions[id] = at
	}
	return positions
}

// planCase is one round: what the workers say, and the plan.
type planCase struct {
	rule       string
	partitions int32
	workers    []worker
	want       string
}

func check(t *testing.T, cases []planCase) {
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			ms := members(c.workers...)
			if got := said(ms, plan(c.partitions, ms, DefaultAcceptableLag)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhoOwns(t *testing.T) {
	check(t, []planCase{
		{"in a fresh group the partitions are dealt out evenly", 5,
			[]worker{{name: "a"}, {name: "b"}, {name: "c"}},
			"a:0 3; b:1 4; c:2"},
		{"an owner keeps what it owns up to its quota", 4,
			[]worker{{name: "a", owns: []int32{3, 1}}, {name: "b", owns: []int32{0}}},
			"a:1 3; b:0 2"},
		{"who owns most already gets the partition that is left over", 3,
			[]worker{{name: "a", owns: []int32{0}}, {name: "b", owns: []int32{1, 2}}},
			"a:0; b:1 2"},
		{"an orphan goes to the warm member with the smallest lag", 3,
			[]worker{{name: "a", at: map[int32]int64{0: far - 9_000}}, {name: "b", at: map[int32]int64{0: far}}, {name: "c"}},
			"a:1; b:0; c:2"},
		{"an orphan goes to a warm member with room before a nearer one without", 3,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(3, far)}, {name: "b", at: everywhere(3, far-10_000)}},
			"a:0 1; b:2"},
		{"one row behind the acceptable lag is cold, and a warm member without room beats a cold one with room", 4,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(4, far)}, {name: "b", at: everywhere(4, far-10_001)}},
			"a:0 1 2 3; b:follows ~0 ~1"},
		{"a warm member gets at most twice its quota, the rest goes to who has come furthest of those with room", 6,
			[]worker{{name: "a", at: everywhere(6, far)}, {name: "b", at: everywhere(6, 7)}, {name: "c", at: everywhere(6, 9)}},
			"a:0 1 2 3; b:follows ~0 ~1; c:4 5"},
	})
}

func TestPlannedMovesAndWarmUps(t *testing.T) {
	check(t, []planCase{
		{"a partition moves to a warm member below its quota, and is in nobody's assignment until its owner let go", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(2, far)}, {name: "b", at: everywhere(2, far)}},
			"a:1; b:follows ~0"},
		{"a partition does not move to a cold member, which warms up for it", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(2, far)}, {name: "b"}},
			"a:0 1; b:follows ~0"},
		{"warm-ups are those for which the member has come furthest", 4,
			[]worker{{name: "a", owns: []int32{0, 1, 2, 3}, at: everywhere(4, far)}, {name: "b", at: map[int32]int64{1: 5, 3: 7}}},
			"a:0 1 2 3; b:follows ~1 ~3"},
		{"of warm-ups not begun those with the least to read are first", 4,
			[]worker{{name: "a", owns: []int32{0, 1, 2, 3}, at: map[int32]int64{0: 4 * far, 1: 2 * far, 2: far, 3: 3 * far}}, {name: "b"}},
			"a:0 1 2 3; b:follows ~1 ~2"},
		{"a member warms up for two partitions at once", 8,
			[]worker{{name: "a", owns: []int32{0, 1, 2, 3, 4, 5, 6, 7}, at: everywhere(8, far)}, {name: "b"}},
			"a:0 1 2 3 4 5 6 7; b:follows ~0 ~1"},
		{"an owner has no more warm-ups than it has partitions too many", 6,
			[]worker{{name: "a", owns: []int32{0, 1, 2}, at: everywhere(6, far)}, {name: "b", owns: []int32{3, 4, 5}, at: everywhere(6, far)}, {name: "c", at: map[int32]int64{0: 9, 1: 8}}},
			"a:0 1 2; b:3 4 5; c:follows ~0 ~3"},
		{"an orphan that somebody just got stays there for this round", 4,
			[]worker{{name: "a", at: map[int32]int64{0: far, 1: far}}, {name: "b", owns: []int32{3}, at: map[int32]int64{2: far, 3: far}}, {name: "c", at: map[int32]int64{2: far - 5}}},
			"a:0 1; b:2 3; c:follows ~2"},
		{"a small partition makes everybody warm", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(2, 10_000)}, {name: "b"}},
			"a:1; b:follows ~0"},
		{"a member whose data nobody can read is cold", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, at: everywhere(2, far)}, {name: "b", silent: true}},
			"a:0 1; b:follows ~0"},
		{"nothing moves away from an owner whose data nobody can read", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, silent: true}, {name: "b", at: everywhere(2, far)}},
			"a:0 1; b:follows ~0"},
	})
}

func TestClaims(t *testing.T) {
	check(t, []planCase{
		{"of two claims the one of the higher generation counts", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, claimedIn: 3}, {name: "b", owns: []int32{1}, claimedIn: 4}},
			"a:0; b:1"},
		{"of two claims of one generation neither counts, and both let go first", 3,
			[]worker{{name: "a", owns: []int32{0, 1}, claimedIn: 4}, {name: "b", owns: []int32{1}, claimedIn: 4}, {name: "c", owns: []int32{1}, claimedIn: 3}},
			"a:0; b:2; c:"},
		{"claims of partitions that do not exist are ignored", 1,
			[]worker{{name: "a", owns: []int32{0, 7, -1}}},
			"a:0"},
	})
}

func TestStandbys(t *testing.T) {
	check(t, []planCase{
		{"there are none if nobody asks for one", 2,
			[]worker{{name: "a", owns: []int32{0}}, {name: "b", owns: []int32{1}}},
			"a:0; b:1"},
		{"the member that asks for most decides, and they are even by count", 3,
			[]worker{{name: "a", owns: []int32{0}, standbys: 1}, {name: "b", owns: []int32{1}}, {name: "c", owns: []int32{2}}},
			"a:0 follows 2; b:1 follows 0; c:2 follows 1"},
		{"there are at most as many as there are other members", 2,
			[]worker{{name: "a", owns: []int32{0}, standbys: 5}, {name: "b", owns: []int32{1}}},
			"a:0 follows 1; b:1 follows 0"},
		{"who has come furthest stays the standby", 3,
			[]worker{{name: "a", owns: []int32{0}, standbys: 1, at: everywhere(3, far)}, {name: "b", owns: []int32{1}, at: map[int32]int64{2: 8}}, {name: "c", owns: []int32{2}, at: map[int32]int64{0: 9}}},
			"a:0 follows 1 2; b:1; c:2 follows 0"},
		{"a warm-up counts as a standby", 2,
			[]worker{{name: "a", owns: []int32{0, 1}, standbys: 1, at: everywhere(2, far)}, {name: "b"}},
			"a:0 1; b:follows ~0 1"},
		{"when an owner leaves, its standby has the partition at once", 3,
			[]worker{{name: "b", owns: []int32{1}, at: map[int32]int64{1: far}, standbys: 1}, {name: "c", owns: []int32{2}, at: map[int32]int64{2: far, 0: far - 5}}},
			"b:1 follows 0 2; c:0 2 follows 1"},
	})
}

func TestAMovingPartitionReachesTheMemberItWasMeantForInTheNextRound(t *testing.T) {
	g := newSim(6, members(
		worker{name: "a", owns: []int32{0, 1, 2, 3, 4, 5}, at: everywhere(6, far)},
		worker{name: "b", at: everywhere(6, far-1)},
		worker{name: "c", at: map[int32]int64{0: far, 1: far, 2: far}}))
	first := g.round()
	if want := "a:2 5; b:follows ~3 ~4; c:follows ~0 ~1"; said(g.members, first) != want {
		t.Fatalf("first round: got %s\nwant %s", said(g.members, first), want)
	}
	second := g.round()
	if want := "a:2 5; b:3 4; c:0 1"; said(g.members, second) != want {
		t.Fatalf("second round: got %s\nwant %s", said(g.members, second), want)
	}
}

func TestNobodyInTheGroupMakesAnEmptyPlan(t *testing.T) {
	if shares := plan(4, nil, DefaultAcceptableLag); shares != nil {
		t.Errorf("got %v", shares)
	}
}

func TestMoreMembersThanPartitionsLeaveSomeWithoutOneButAWarmOneServes(t *testing.T) {
	ms := members(worker{name: "a"}, worker{name: "b"}, worker{name: "z", at: everywhere(1, far)})
	shares := plan(1, ms, DefaultAcceptableLag)
	if !slices.Equal(shares[2].owned, []int32{0}) {
		t.Errorf("the warm member has no quota and should serve all the same: %s", said(ms, shares))
	}
}
