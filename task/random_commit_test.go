package task

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// cut begins a transaction, when something was decided.
func (s *schedule) cut(t *rapid.T) {
	if s.cutting || !s.task.Touched() {
		return
	}
	if err := s.world.cut(nil); err != nil {
		t.Fatal(err)
	}
	if len(s.running) == 0 {
		t.Fatal("a cut without any row")
	}
	s.cutModel = s.model.clone()
	for m := range s.task.all() {
		a := m.Address()
		if m.attempts > 0 && m.flight == nil && int(m.rows) != len(s.model.queues[addressText(a)]) {
			t.Fatalf("%s is parked, and of %d inputs %d are rows", addressText(a), len(s.model.queues[addressText(a)]), m.rows)
		}
	}
	for i, source := range s.task.sources {
		want := source.Next()
		for _, in := range slices.Concat(slices.Collect(maps.Values(s.model.queues))...) {
			if in.source == i && in.offset < want && source.holds(in.offset) {
				want = in.offset
			}
		}
		if source.position != want {
			t.Fatalf("%s is at %d, should be at %d", s.sources[i], source.position, want)
		}
	}
}

// holds tells whether the record at an offset has inputs that are neither done nor rows.
func (s *Source) holds(offset int64) bool {
	return slices.ContainsFunc(s.entries, func(e entry) bool { return e.offset == offset && e.left > 0 })
}

// stored commits the transaction that runs and puts its rows into the store, without telling the task.
func (s *schedule) stored(t *rapid.T) {
	if s.running == nil {
		return
	}
	if err := s.world.stored(nil); err != nil {
		t.Fatal(err)
	}
	s.committedModel = s.cutModel
	if _, err := s.committedModel.same(s.disk, s.sources, s.log, s.millis()); err != nil {
		t.Fatal(err)
	}
	for i, source := range s.task.sources {
		if p, _, err := Progress(s.disk, source.Topic, source.Partition); err != nil || p.Position != source.Written() {
			t.Fatalf("%s: the row is at %d, %v, the group's offset at %d", s.sources[i], p.Position, err, source.Written())
		}
	}
}

func (s *schedule) committed(t *rapid.T) {
	if !s.cutting {
		return
	}
	s.stored(t)
	if err := s.world.committed(nil); err != nil {
		t.Fatal(err)
	}
}

// crash loses what is not committed. The model goes back to the last committed cut and to what of it is rows; the
// rest has to be read again.
func (s *schedule) crash(t *rapid.T) {
	rows, err := s.committedModel.same(s.disk, s.sources, s.log, s.millis())
	if err != nil {
		t.Fatal(err)
	}
	s.model = s.committedModel.crash(rows)
	// What a crash before the next commit goes back to is the same.
	s.committedModel = s.model.clone()
	s.inFlight = map[string]*invoked{}
	args := []string{}
	if rapid.Bool().Draw(t, "new process") {
		args = append(args, "fresh")
	}
	if err := s.restore(args); err != nil {
		t.Fatal(err)
	}
	for m := range s.task.all() {
		a := m.Address()
		if m.memory() > s.limits.restored {
			t.Fatalf("a restore reads %d inputs of %s, may read %d", m.memory(), addressText(a), s.limits.restored)
		}
	}
}

// finish lets everything come to its end without further effects: then each input was done once, and nothing is left.
func (s *schedule) finish(t *rapid.T) {
	for rounds := 0; ; rounds++ {
		s.committed(t)
		s.now = s.now.Add(1e9)
		s.task.Resume(s.millis())
		s.fireUpTo(t, 1000)
		again := s.readRest()
		for len(s.ready) > 0 || len(s.inFlight) > 0 {
			s.take(t)
			for s.drawCall(t, false) != nil {
				s.request(t)
			}
			if c := s.drawCall(t, true); c != nil {
				s.apply(t, c, Effects{})
			}
			s.check(t)
		}
		s.cut(t)
		s.committed(t)
		s.check(t)
		if !again && len(s.model.queues) == 0 && len(s.model.delays) == 0 && !s.task.Touched() {
			break
		}
		if rounds > 100 {
			t.Fatal("it comes to no end")
		}
	}
	s.checkEnd(t)
}

// readRest hands in what lies in the sources.
func (s *schedule) readRest() (found bool) {
	for i, source := range s.task.sources {
		for offset := source.Next(); offset < s.ends[i]; offset++ {
			envelopes := s.log[i][offset]
			if envelopes == nil {
				continue
			}
			found = true
			s.task.Arrive(source, offset, envelopes, s.millis())
			s.model.arrive(i, offset, envelopes)
		}
		source.Pass(s.ends[i])
		s.model.read[i] = s.ends[i]
	}
	return found
}

func (s *schedule) checkEnd(t *rapid.T) {
	if s.held != 0 || s.task.Addresses() > 0 || s.task.Rows() != (Rows{}) {
		t.Fatalf("left are %d bytes, %d mailboxes, rows %+v", s.held, s.task.Addresses(), s.task.Rows())
	}
	for _, kind := range []byte{state.KindPending, state.KindTimer, state.KindToken} {
		for _, r := range s.disk.kind(kind) {
			t.Fatalf("left is %s", rowText(r.Key, r.Value))
		}
	}
	for i, source := range s.task.sources {
		if source.Open() != 0 || source.position != s.ends[i] && len(s.log[i]) > 0 && source.Window() > 0 {
			t.Fatalf("%s is at %d of %d, %d are open", s.sources[i], source.position, s.ends[i], source.Open())
		}
	}
	inputs := map[string]int{}
	for text, n := range s.model.born {
		inputs[text] += n
	}
	for _, log := range s.log {
		for _, envelopes := range log {
			for _, e := range envelopes {
				inputs[textOf(e.Invocation)]++
			}
		}
	}
	var wrong []string
	for text, n := range inputs {
		if n != 1 || s.model.done[text] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s came %d times and was done %d times", text, n, s.model.done[text]))
		}
	}
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
}
