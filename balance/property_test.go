package balance

import (
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyGroup draws a group after some history.
func anyGroup(t *rapid.T) *sim {
	g := newSim(rapid.SampledFrom([]int32{1, 2, 3, 5, 8, 12, 17, 24}).Draw(t, "partitions"), nil)
	g.join(0)
	g.history(t, rapid.SampledFrom([]int{0, 3, 10, 30, 100}).Draw(t, "events"))
	return g
}

// history plays random events, with checked rounds between them.
func (g *sim) history(t *rapid.T, events int) {
	for range events {
		i := rapid.IntRange(0, len(g.members)-1).Draw(t, "who")
		event := rapid.SampledFrom([]string{"round", "join", "write", "read", "part", "leave", "wipe", "silent", "write", "round", "join"}).Draw(t, "event")
		g.quiet = g.quiet && event == "round"
		g.happen(t, event, i)
	}
}

func (g *sim) happen(t *rapid.T, event string, i int) {
	switch m := &g.members[i]; event {
	case "join":
		if len(g.members) < 7 {
			g.join(rapid.IntRange(0, 2).Draw(t, "standbys"))
		}
	case "leave":
		if len(g.members) > 1 {
			g.leave(i)
		}
	case "wipe":
		m.positions, m.silent = nil, false
	case "silent":
		m.positions, m.silent = nil, true
	case "write":
		for _, id := range m.claims {
			g.reach(i, id, g.end(id)+rapid.SampledFrom([]int64{0, 3_000, 200_000}).Draw(t, "rows"))
		}
	case "read":
		g.follow()
	case "part":
		for _, f := range g.last[i].follows {
			g.reach(i, f.Partition, (m.positions[f.Partition]+g.end(f.Partition))/2)
		}
	case "round":
		g.checkedRound(t)
	}
}

func (g *sim) everybodyWarm() {
	g.quiet = false
	for i := range g.members {
		g.members[i].silent = false
		for id := range g.partitions {
			g.reach(i, id, g.end(id))
		}
	}
}

func TestThePlanSettlesWheneverNothingChanges(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		most = max(most, g.settle(t))
		before := said(g.members, g.last)
		g.checkedRound(t)
		if after := said(g.members, g.last); before != after {
			t.Fatalf("nothing changed, but\n%s\nbecame\n%s", before, after)
		}
	})
	t.Logf("it took at most %d rounds", most)
}

func TestWithEverybodyWarmItIsBalancedWithinTwoRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		g.everybodyWarm()
		g.checkedRound(t)
		g.checkedRound(t)
		if slices.Contains(g.owners(), "") || g.imbalance() > 1 {
			t.Fatalf("not balanced: %s", said(g.members, g.last))
		}
	})
}

func TestNewColdMembersHaveTheirShareOnceTheyHaveRead(t *testing.T) {
	most := 0
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		g.everybodyWarm()
		g.settle(t)
		for i, m := range g.members {
			for _, id := range m.claims {
				g.reach(i, id, g.end(id)+far)
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "new members") {
			g.join(rapid.IntRange(0, 1).Draw(t, "standbys"))
		}
		times := 0
		for g.settle(t); g.imbalance() > 1; g.settle(t) {
			if times++; times > int(g.partitions) {
				t.Fatalf("not balanced after %d times: %s", times, said(g.members, g.last))
			}
			g.follow()
		}
		most = max(most, times)
	})
	t.Logf("it took at most %d times of warming up", most)
}

func TestStandbysOfAFreshGroupAreEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newSim(rapid.Int32Range(1, 64).Draw(t, "partitions"), nil)
		standbys := rapid.IntRange(1, 3).Draw(t, "standbys")
		for range rapid.IntRange(2, 8).Draw(t, "members") {
			g.join(standbys)
		}
		g.settle(t)
		low, high := int(g.partitions), 0
		for _, s := range g.last {
			low, high = min(low, len(s.follows)), max(high, len(s.follows))
		}
		if high-low > 2 {
			t.Fatalf("from %d to %d: %s", low, high, said(g.members, g.last))
		}
	})
}

func TestANewMemberMovesNoMoreThanItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		g.everybodyWarm()
		g.settle(t)
		before := g.owners()
		g.join(0)
		g.everybodyWarm()
		g.settle(t)
		moved, n := 0, len(g.members)
		for id, owner := range g.owners() {
			if owner != before[id] {
				moved++
			}
		}
		if share := (int(g.partitions) + n - 1) / n; moved > share {
			t.Fatalf("%d of %d partitions moved for member %d, at most %d should: %s", moved, g.partitions, n, share, said(g.members, g.last))
		}
	})
}

func TestWhenAMemberLeavesTheOthersKeepWhatTheyHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		g.join(0)
		g.everybodyWarm()
		g.settle(t)
		gone := rapid.IntRange(0, len(g.members)-1).Draw(t, "gone")
		before, name := g.owners(), g.members[gone].name
		g.leave(gone)
		g.checkedRound(t)
		for id, owner := range g.owners() {
			if owner == "" || before[id] != name && owner != before[id] {
				t.Fatalf("partition %d of %s is now of %q, %s left: %s", id, before[id], owner, name, said(g.members, g.last))
			}
		}
	})
}

func TestThePlanDoesNotDependOnTheOrderOfTheMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		if rapid.Bool().Draw(t, "double claims") {
			for i := range g.members {
				g.members[i].generation = rapid.Int32Range(0, 2).Draw(t, "generation")
				g.members[i].claims = rapid.SliceOfN(rapid.Int32Range(0, g.partitions-1), 0, 6).Draw(t, "claims")
			}
		}
		want := plan(g.partitions, g.members, DefaultAcceptableLag)
		order := rand.New(rand.NewSource(rapid.Int64().Draw(t, "order"))).Perm(len(g.members))
		mixed := make([]member, len(order))
		for to, from := range order {
			mixed[to] = g.members[from]
		}
		got := plan(g.partitions, mixed, DefaultAcceptableLag)
		for to, from := range order {
			if !slices.Equal(got[to].owned, want[from].owned) || !slices.Equal(got[to].follows, want[from].follows) {
				t.Fatalf("%s\nbecame\n%s", said(g.members, want), said(mixed, got))
			}
		}
	})
}

// A worker that missed rounds comes back with old claims. They give it nothing that a live owner has, and after two
// more rounds nothing is left of the mess.
func TestOldAndDoubleClaimsAreSettled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t)
		g.checkedRound(t)
		live := g.owners()
		g.join(0)
		ghost := &g.members[len(g.members)-1]
		ghost.claims = rapid.SliceOfNDistinct(rapid.Int32Range(0, g.partitions-1), 0, int(g.partitions), rapid.ID).Draw(t, "claims")
		ghost.generation = rapid.Int32Range(g.generation-1, g.generation).Draw(t, "generation")
		old, double := ghost.generation < g.generation, slices.Clone(ghost.claims)
		for i, s := range g.round() {
			for _, id := range s.owned {
				name := g.members[i].name
				if live[id] != "" && live[id] != name && (old || !slices.Contains(double, id)) {
					t.Fatalf("partition %d of %s went to %s: %s", id, live[id], name, said(g.members, g.last))
				}
				if live[id] != "" && !old && slices.Contains(double, id) {
					t.Fatalf("partition %d is claimed twice and went to %s: %s", id, name, said(g.members, g.last))
				}
			}
		}
		g.quiet = false
		g.settle(t)
	})
}
