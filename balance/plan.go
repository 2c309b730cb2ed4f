package balance

import (
	"cmp"
	"math"
	"slices"
)

// member is what the plan knows of one worker.
type member struct {
	name       string // instance id, or member id without one; orders what nothing else orders
	id         string // member id
	claims     []int32
	generation int32 // in which it got what it claims
	silent     bool  // nothing is known of its disk
	standbys   int
	positions  map[int32]int64
}

// share is one member's part of a plan.
type share struct {
	owned   []int32
	follows []Follow
}

// none stands for no member.
const none = -1

// planner holds one plan while it is made. Members are known by their index.
type planner struct {
	members       []member // by name
	partitions    int32
	acceptableLag int64

	furthest []int64 // of a partition: the furthest position that a member reports
	owner    []int   // of a partition: who has it, and at the end of the plan who is to have it
	held     []bool  // a partition that nobody gets in this round, because somebody has to let go of it first
	next     []int   // of a partition: who is to become its owner and follows it until then

	quota []int // of a member: how many partitions it should own
	count []int // of a member: how many it owns, with those on their way to it and without those on their way from it
}

// plan distributes the partitions. The result has the order of the members; it does not depend on that order.
func plan(partitions int32, members []member, acceptableLag int64) []share {
	if len(members) == 0 {
		return nil
	}
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(members[a].name, members[b].name), cmp.Compare(members[a].id, members[b].id))
	})
	p := &planner{partitions: partitions, acceptableLag: acceptableLag}
	for _, i := range order {
		p.members = append(p.members, members[i])
	}

	p.readClaims()
	p.measure()
	p.setQuotas()
	owned := p.placeOrphans(p.byChoice())
	p.setQuotas() // again, as what is left over stays where an orphan brought it
	p.move(owned)
	p.warmUp()
	byName := p.shares()

	shares := make([]share, len(members))
	for place, i := range order {
		shares[i] = byName[place]
	}
	return shares
}

// readClaims finds the owners. A worker that missed a round still claims what it had, so the higher generation counts.
// Of two with the same generation neither can be believed: both let go before anybody gets the partition.
func (p *planner) readClaims() {
	n := int(p.partitions)
	p.owner, p.next, p.held = make([]int, n), make([]int, n), make([]bool, n)
	for id := range n {
		p.owner[id], p.next[id] = none, none
	}
	for m, said := range p.members {
		for _, id := range said.claims {
			if id < 0 || id >= p.partitions || p.owner[id] == m {
				continue
			}
			was := p.owner[id]
			if was == none || said.generation > p.members[was].generation {
				p.owner[id], p.held[id] = m, false
			} else if said.generation == p.members[was].generation {
				p.held[id] = true
			}
		}
	}
	p.count = make([]int, len(p.members))
	for id, m := range p.owner {
		if p.held[id] {
			p.owner[id] = none
		} else if m != none {
			p.count[m]++
		}
	}
}

// measure finds how far a disk would have to be. Where the owner says nothing of its disk nobody can be said to be
// near it.
func (p *planner) measure() {
	p.furthest = make([]int64, p.partitions)
	for id := range p.furthest {
		if o := p.owner[id]; o != none && p.members[o].silent {
			p.furthest[id] = math.MaxInt64
			continue
		}
		for m := range p.members {
			p.furthest[id] = max(p.furthest[id], p.position(m, id))
		}
	}
}

func (p *planner) position(m, id int) int64 { return p.members[m].positions[int32(id)] }

func (p *planner) lag(m, id int) int64 { return p.furthest[id] - p.position(m, id) }

// warm says that member m could serve the partition almost at once. In a fresh application everybody is warm.
func (p *planner) warm(m, id int) bool { return p.lag(m, id) <= p.acceptableLag }

// nearness orders members by what they would have to replay; all warm ones are as good as each other.
func (p *planner) nearness(m, id int) int64 {
	if p.warm(m, id) {
		return math.MaxInt64
	}
	return p.position(m, id)
}

func (p *planner) belowQuota(m int) bool { return p.count[m] < p.quota[m] }

// setQuotas gives every member the same number of partitions, and what is left over to those that own most already.
//
// A member that gives partitions away ends with its quota, so it has the same quota in the next round, and what it
// gave away does not come back.
func (p *planner) setQuotas() {
	each, rest := int(p.partitions)/len(p.members), int(p.partitions)%len(p.members)
	p.quota = make([]int, len(p.members))
	order := make([]int, len(p.members))
	for m := range order {
		order[m], p.quota[m] = m, each
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.count[b], p.count[a]) })
	for _, m := range order[:rest] {
		p.quota[m]++
	}
}

// byChoice lists the partitions, those with the fewest warm members first: who is warm for many partitions should not
// be filled up before the partition for which nobody else is. Orphans and moves use the same order, so that
// a moving partition meets in the next round the choice that was made for it in this one.
func (p *planner) byChoice() []int {
	warm := make([]int, p.partitions)
	ids := make([]int, p.partitions)
	for id := range ids {
		ids[id] = id
		for m := range p.members {
			if p.warm(m, id) {
				warm[id]++
			}
		}
	}
	slices.SortStableFunc(ids, func(a, b int) int { return cmp.Compare(warm[a], warm[b]) })
	return ids
}

// shares reads the finished plan, and adds the followers.
func (p *planner) shares() []share {
	shares := make([]share, len(p.members))
	for id, m := range p.owner {
		if m != none {
			shares[m].owned = append(shares[m].owned, int32(id))
		}
	}
	for id, followers := range p.followers() {
		for _, m := range followers {
			shares[m].follows = append(shares[m].follows, Follow{Partition: int32(id), WarmUp: m == p.next[id]})
		}
	}
	return shares
}
