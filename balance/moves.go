package balance

import (
	"cmp"
	"slices"
)

// maxWarmUps is how many partitions a member restores at once before it takes them over. Each is a whole replay that
// shares the disk and the network with the partitions that the member serves; with two, one can finish and be handed
// over while the other goes on.
const maxWarmUps = 2

// maxOverQuota bounds how many times its quota a member may own because it alone is warm. Serving at once matters more
// than balance, but one worker must not be buried under a whole group.
const maxOverQuota = 2

// placeOrphans gives every partition without an owner to somebody. It tells which partitions had an owner already.
func (p *planner) placeOrphans(ids []int) (owned []int) {
	for _, id := range ids {
		switch {
		case p.owner[id] != none:
			owned = append(owned, id)
		case !p.held[id]:
			m := p.heir(id)
			p.owner[id] = m
			p.count[m]++
		}
	}
	return owned
}

// heir is who gets a partition without an owner: a warm member with room, or else any warm one, or else the one with
// room that has come furthest. The quotas sum up to the partitions, so while one is not placed somebody has room.
func (p *planner) heir(id int) int {
	if m := p.nearestWarm(id, p.belowQuota); m != none {
		return m
	}
	bearable := func(m int) bool { return p.count[m] < maxOverQuota*max(p.quota[m], 1) }
	if m := p.nearestWarm(id, bearable); m != none {
		return m
	}
	return p.nearest(id, p.belowQuota)
}

func (p *planner) nearestWarm(id int, may func(m int) bool) int {
	return p.nearest(id, func(m int) bool { return p.warm(m, id) && may(m) })
}

// nearest is the member with the smallest lag among those that may; then the one with the fewest partitions, then by
// name.
func (p *planner) nearest(id int, may func(m int) bool) int {
	best := none
	for m := range p.members {
		if !may(m) {
			continue
		}
		if best == none || cmp.Or(cmp.Compare(p.lag(m, id), p.lag(best, id)), cmp.Compare(p.count[m], p.count[best])) < 0 {
			best = m
		}
	}
	return best
}

// move takes partitions from members above their quota for warm members below it. Nobody gets them in this round; the
// new owner follows meanwhile, so that it does not drop what it has. It is given only what had an owner before this
// round: an orphan that has just been placed would be without an owner for one round more.
func (p *planner) move(owned []int) {
	for _, id := range owned {
		from := p.owner[id]
		if p.count[from] <= p.quota[from] {
			continue
		}
		to := p.nearestWarm(id, p.belowQuota)
		if to == none {
			continue
		}
		p.owner[id], p.held[id], p.next[id] = none, true, to
		p.count[from]--
		p.count[to]++
	}
}

// warmUp lets members that still have room follow partitions that are still too many where they are. The one that has
// come furthest is chosen, so a warm-up that has begun goes on in the next round.
func (p *planner) warmUp() {
	type pair struct{ id, to int }
	var pairs []pair
	for id, from := range p.owner {
		for to := range p.members {
			if from != none && p.count[from] > p.quota[from] && p.belowQuota(to) {
				pairs = append(pairs, pair{id, to})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(p.position(b.to, b.id), p.position(a.to, a.id)), cmp.Compare(p.lag(a.to, a.id), p.lag(b.to, b.id)))
	})

	leaving, coming := make([]int, len(p.members)), make([]int, len(p.members))
	for _, c := range pairs {
		from := p.owner[c.id]
		room := min(maxWarmUps, p.quota[c.to]-p.count[c.to])
		if p.next[c.id] == none && leaving[from] < p.count[from]-p.quota[from] && coming[c.to] < room {
			p.next[c.id] = c.to
			leaving[from]++
			coming[c.to]++
		}
	}
}

// followers lists for each partition who follows it: the one that is to own it, and standbys up to the number that
// the modules ask for.
func (p *planner) followers() [][]int {
	wanted := 0
	for _, m := range p.members {
		wanted = max(wanted, m.standbys)
	}
	wanted = min(wanted, len(p.members)-1)

	load := make([]int, len(p.members))
	followers := make([][]int, p.partitions)
	for id := range followers {
		if m := p.next[id]; m != none {
			followers[id] = append(followers[id], m)
			load[m]++
		}
	}
	for id := range followers {
		most := wanted // beside a warm-up, which is of no use while it is cold
		if p.next[id] != none {
			most = min(wanted+1, len(p.members)-1)
		}
		for len(followers[id]) < most {
			m := p.standby(id, followers[id], load)
			followers[id] = append(followers[id], m)
			load[m]++
		}
	}
	return followers
}

// standby chooses one more follower: who is warm, and of cold ones who has come furthest, so that a standby stays one
// until it is level; then who follows least; then the next one after the owner, for the last members would follow
// nothing if it were always the first.
func (p *planner) standby(id int, already, load []int) int {
	best := none
	for i := range p.members {
		m := (p.owner[id] + 1 + i) % len(p.members)
		if m == p.owner[id] || slices.Contains(already, m) {
			continue
		}
		if best == none || cmp.Or(cmp.Compare(p.nearness(best, id), p.nearness(m, id)), cmp.Compare(load[m], load[best])) < 0 {
			best = m
		}
	}
	return best
}
