package worker

import (
	"strconv"
	"strings"
	"sync"
	"time"
)

// arrivals are what has come to a target of the outbox, copies and all. It may come more than once. But a copy has the id
// of the first, no other message has it, and what is left without copies is in order and is what was committed.
type arrivals struct {
	s      *sim
	target string

	mu     sync.Mutex
	values map[string]string // by their ids
	ids    map[string]string // by their values
	last   map[string]uint64 // number of the last row of a lane, at each place of the target where order is kept
	places map[string]int    // of the last input of an address
	copies int
}

func newArrivals(s *sim, target string) *arrivals {
	return &arrivals{s: s, target: target, values: map[string]string{}, ids: map[string]string{}, last: map[string]uint64{}, places: map[string]int{}}
}

// came checks one delivery: to a place of the target, of a message from an address.
func (a *arrivals) came(place, id, address, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before, is := a.values[id]; is {
		a.copies++
		if before != value {
			a.s.t.Errorf("%s got %s under the id %s, which %s has", a.target, value, id, before)
		}
		return
	}
	if other, is := a.ids[value]; is {
		a.s.t.Errorf("%s got %s under the id %s and under %s", a.target, value, other, id)
	}
	a.values[id], a.ids[value] = value, id
	lane, number := a.row(id)
	if last := a.last[place+" "+lane]; number <= last {
		a.s.t.Errorf("%s got row %d of lane %s behind row %d", a.target, number, lane, last)
	}
	a.last[place+" "+lane] = number
	input, n, _ := parseOutput(value)
	if want := a.places[address] + 1; n != want {
		a.s.t.Errorf("%s got %s of %s, which is number %d, as number %d", a.target, input, address, n, want)
	}
	a.places[address] = n
}

// row takes an id apart: the row's number is its end.
func (a *arrivals) row(id string) (lane string, number uint64) {
	i := strings.LastIndexByte(id, '/')
	number, err := strconv.ParseUint(id[i+1:], 10, 64)
	if i < 0 || err != nil {
		a.s.t.Errorf("%s got something under the id %q, which is none", a.target, id)
	}
	return id[:max(i, 0)], number
}

// parseOutput takes what the function tells of an input apart.
func parseOutput(value string) (id string, place int, attempt string) {
	id, rest, _ := strings.Cut(value, "@")
	at, attempt, _ := strings.Cut(rest, "#")
	place, _ = strconv.Atoi(at)
	return id, place, attempt
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ids)
}

// check holds what came against the committed egress records, which have the same values.
func (a *arrivals) check() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, value := range a.s.committed {
		if _, is := a.ids[value]; !is {
			a.s.t.Errorf("%s never got %s of input %s", a.target, value, id)
		}
	}
	for value := range a.ids {
		if id, _, _ := parseOutput(value); a.s.committed[id] != value {
			a.s.t.Errorf("%s got %s, committed is %q", a.target, value, a.s.committed[id])
		}
	}
	a.s.tally[a.target+": messages"] += len(a.ids)
	a.s.tally[a.target+": copies"] += a.copies
	a.copies = 0
}

// arrivals are those of all targets.
func (s *sim) arrivals() (all []*arrivals) {
	if s.sink != nil {
		all = append(all, s.sink.arrivals)
	}
	if s.shape.far {
		all = append(all, s.far.arrivals)
	}
	return all
}

// delivered reports whether nothing waits for a target any more.
func (s *sim) delivered() bool {
	all := s.arrivals()
	for _, a := range all {
		if a.count() < len(s.want) {
			return false
		}
	}
	if len(all) == 0 {
		return true
	}
	for _, p := range s.processes {
		if !p.asked(func(w *Worker) bool { return w.sends.held.rows == 0 && len(w.sends.settled) == 0 }) {
			return false
		}
	}
	return true
}

// asked puts a question to the loop of the process; one that does not turn has answered no.
func (p *process) asked(question func(*Worker) bool) bool {
	answer := make(chan bool, 1)
	worker := p.worker
	worker.post(func() { answer <- question(worker) })
	select {
	case is := <-answer:
		return is
	case <-time.After(50 * time.Millisecond):
		return false
	}
}
