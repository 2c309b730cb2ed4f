package balance

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// sim plays the group: in a round every member joins with what it owns, and takes what the plan gives it.
type sim struct {
	partitions int32
	members    []member
	generation int32
	born       int
	last       []share // what the last round gave, by member
	quiet      bool    // nothing but rounds since then
}

func newSim(partitions int32, ms []member) *sim { return &sim{partitions: partitions, members: ms} }

func (g *sim) round() []share {
	g.generation++
	g.last, g.quiet = plan(g.partitions, g.members, DefaultAcceptableLag), true
	for i := range g.members {
		g.members[i].claims, g.members[i].generation = g.last[i].owned, g.generation
	}
	return g.last
}

// owners tells by name who has each partition, "" where nobody has it.
func (g *sim) owners() []string {
	owners := make([]string, g.partitions)
	for _, m := range g.members {
		for _, id := range m.claims {
			owners[id] = m.name
		}
	}
	return owners
}

// settle plays rounds until one changes nothing, and tells how many changed something.
func (g *sim) settle(t *rapid.T) int {
	for rounds := range 4*int(g.partitions) + 4 {
		before := g.owners()
		g.checkedRound(t)
		if slices.Equal(before, g.owners()) && !slices.Contains(before, "") {
			return rounds
		}
	}
	t.Fatalf("the plan does not settle: %s", said(g.members, g.last))
	return 0
}

// checkedRound plays a round and checks what must hold in each.
func (g *sim) checkedRound(t *rapid.T) {
	before, planned := g.owners(), g.comingOwners()
	warm, quiet := g.warmness(), g.quiet
	g.round()
	after := make([]string, g.partitions)
	for i, s := range g.last {
		for _, id := range s.owned {
			if after[id] != "" {
				t.Fatalf("partition %d is owned twice: %s", id, said(g.members, g.last))
			}
			after[id] = g.members[i].name
		}
	}
	for id := range after {
		switch was, is := before[id], after[id]; {
		case was == "" && is == "":
			t.Fatalf("partition %d has no owner for a second round: %s", id, said(g.members, g.last))
		case was != "" && is != "" && was != is:
			t.Fatalf("partition %d goes from %s to %s without being let go: %s", id, was, is, said(g.members, g.last))
		case was != "" && is == "" && !warm[g.comingOwners()[id]][id]:
			t.Fatalf("partition %d is taken from %s for nobody who is warm: %s", id, was, said(g.members, g.last))
		case quiet && planned[id] != "" && was == "" && is != planned[id]:
			t.Fatalf("partition %d was meant for %s and went to %s: %s", id, planned[id], is, said(g.members, g.last))
		}
	}
	g.checkFollowers(t, after, warm)
}

// comingOwners tells by partition who follows it as a warm-up.
func (g *sim) comingOwners() []string {
	coming := make([]string, g.partitions)
	for i, s := range g.last {
		for _, f := range s.follows {
			if f.WarmUp {
				coming[f.Partition] = g.members[i].name
			}
		}
	}
	return coming
}

// warmness is the rule once more, written down naively.
func (g *sim) warmness() map[string][]bool {
	warm := map[string][]bool{}
	for id := range g.partitions {
		furthest, known := int64(0), true
		for _, m := range g.members {
			furthest = max(furthest, m.positions[id])
			known = known && !(m.silent && slices.Contains(m.claims, id))
		}
		for _, m := range g.members {
			warm[m.name] = append(warm[m.name], known && m.positions[id]+DefaultAcceptableLag >= furthest)
		}
	}
	return warm
}

func (g *sim) checkFollowers(t *rapid.T, owners []string, warm map[string][]bool) {
	wanted := 0
	for _, m := range g.members {
		wanted = max(wanted, m.standbys)
	}
	wanted = min(wanted, len(g.members)-1)
	standbys, warmUps := make([]int, g.partitions), make([]int, g.partitions)
	for i, s := range g.last {
		cold := 0
		for _, f := range s.follows {
			name := g.members[i].name
			if owners[f.Partition] == name {
				t.Fatalf("%s follows partition %d, which it owns: %s", name, f.Partition, said(g.members, g.last))
			}
			standbys[f.Partition]++
			if f.WarmUp {
				warmUps[f.Partition]++
			}
			if f.WarmUp && !warm[name][f.Partition] {
				cold++
			}
		}
		if cold > maxWarmUps {
			t.Fatalf("%s warms up for %d partitions: %s", g.members[i].name, cold, said(g.members, g.last))
		}
	}
	for id := range standbys {
		if warmUps[id] > 1 || standbys[id] != min(wanted+warmUps[id], len(g.members)-1) {
			t.Fatalf("partition %d has %d followers, %d of them warm-ups, of %d: %s", id, standbys[id], warmUps[id], wanted, said(g.members, g.last))
		}
	}
}

// imbalance is how many partitions the fullest member has more than the emptiest.
func (g *sim) imbalance() int {
	low, high := int(g.partitions), 0
	for _, m := range g.members {
		low, high = min(low, len(m.claims)), max(high, len(m.claims))
	}
	return high - low
}

// follow lets every member read to the end of what it owns and follows.
func (g *sim) follow() {
	g.quiet = false
	for i, s := range g.last {
		for _, f := range s.follows {
			g.reach(i, f.Partition, g.end(f.Partition))
		}
		for _, id := range s.owned {
			g.reach(i, id, g.end(id))
		}
	}
}

func (g *sim) end(id int32) int64 {
	end := int64(0)
	for _, m := range g.members {
		end = max(end, m.positions[id])
	}
	return end
}

// reach brings a disk up to a position; what a silent member has nobody knows.
func (g *sim) reach(i int, id int32, at int64) {
	if g.members[i].silent {
		return
	}
	if g.members[i].positions == nil {
		g.members[i].positions = map[int32]int64{}
	}
	g.members[i].positions[id] = at
}

// join adds a member with an empty disk.
func (g *sim) join(standbys int) {
	g.quiet = false
	g.born++
	name := fmt.Sprintf("w%02d", g.born*7%100) // names do not come in the order of joining
	g.members = append(g.members, member{name: name, id: name, generation: -1, standbys: standbys})
	g.last = append(g.last, share{})
}

func (g *sim) leave(i int) {
	g.quiet = false
	g.members = slices.Delete(g.members, i, i+1)
	g.last = slices.Delete(g.last, i, i+1)
}
