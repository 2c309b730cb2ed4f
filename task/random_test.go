package task

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// TestATaskIsItsNaiveModel lets random things happen to a task and to a naive model of it, and compares the two
// after each step. Every committed cut is compared with what the model was at that cut: so it does not matter at
// which of them a crash comes, and the crashes that do come show that reading on from there works.
func TestATaskIsItsNaiveModel(t *testing.T) {
	// The default of thirty steps hardly fills a queue.
	if f := flag.Lookup("rapid.steps"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("400"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newSchedule(t)
		t.Repeat(map[string]func(*rapid.T){"": s.check, "step": s.step})
		s.finish(t)
	})
}

// step does one thing. What is drawn from a list is more often one of its first.
func (s *schedule) step(t *rapid.T) {
	actions := map[string]func(*rapid.T){
		"read": s.read, "answer": s.answer, "take": s.take, "request": s.request, "cut": s.cut, "committed": s.committed,
		"clock": s.clock, "fire": s.fire, "relief": s.relief, "stored": s.stored, "fail": s.fail, "crash": s.crash,
	}
	names := []string{"read", "answer", "request", "take", "read", "cut", "committed", "fire", "answer", "request", "take",
		"clock", "relief", "stored", "fail", "nothing", "crash", "nothing"}
	if action := actions[rapid.SampledFrom(names).Draw(t, "step")]; action != nil {
		action(t)
	}
}

// schedule is a run of the random test: the task, the naive model, and what is around them.
type schedule struct {
	world
	model          *naive
	cutModel       *naive // as it was at the cut of the transaction that runs
	committedModel *naive
	log            records
	ends           []int64
	inFlight       map[string]*invoked
	texts          int
}

// invoked is a call with what the model knows of it.
type invoked struct {
	*Call
	count   int
	specs   []protocol.StateSpec // registered when the call was made, or made again
	present map[string]bool      // states that the function was sent; nil: it was not sent the request yet
}

var (
	functions = []string{"f", "g"}
	ids       = []string{"a", "b", "c"}
	declared  = map[string][]protocol.StateSpec{
		"f": {
			{Name: "plain", Type: "t/long"},
			{Name: "write", Type: "t/long", Mode: protocol.ExpireAfterWrite, ExpireAfter: 20 * time.Millisecond},
			{Name: "invoke", Type: "t/long", Mode: protocol.ExpireAfterInvoke, ExpireAfter: 10 * time.Millisecond},
		},
		"g": {{Name: "plain", Type: "t/long"}},
	}
)

func newSchedule(t *rapid.T) *schedule {
	s := &schedule{world: *newWorld(), inFlight: map[string]*invoked{}}
	// The task tells this world, not the one that it was copied from.
	s.task = nil
	few := rapid.IntRange(1, 4)
	s.limits = limits{timers: few.Draw(t, "timers"), restored: few.Draw(t, "restored"), restoredBytes: 3000,
		inputs: few.Draw(t, "inputs"), kept: few.Draw(t, "kept"), addresses: few.Draw(t, "addresses"), swept: few.Draw(t, "swept")}
	for _, name := range []string{"in/0", "in/1", "mailbox/0"} {
		if err := s.addSource([]string{name + "@0"}); err != nil {
			t.Fatal(err)
		}
		s.log, s.ends = append(s.log, map[int64][]protocol.Envelope{}), append(s.ends, 0)
	}
	s.model = newNaive(len(s.sources))
	s.committedModel = s.model.clone()
	return s
}

func (s *schedule) text() string { s.texts++; return fmt.Sprint("m", s.texts) }

func drawAddress(t *rapid.T) string {
	return rapid.SampledFrom(functions).Draw(t, "function") + "/" + rapid.SampledFrom(ids).Draw(t, "id")
}

// check compares the task with the model.
func (s *schedule) check(t *rapid.T) {
	if err := invariants(s.task, s.disk, s.held); err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Sorted(maps.Keys(s.model.queues)) {
		if s.task.find(address(a)) == nil {
			t.Fatalf("%s is forgotten with %v", a, s.model.queues[a])
		}
	}
	for m := range s.task.all() {
		a := m.Address()
		var has, want []string
		for _, in := range m.queue(s.disk) {
			has = append(has, textOf(in.invocation))
		}
		for _, in := range s.model.queues[addressText(a)] {
			want = append(want, in.text)
		}
		if !slices.Equal(has, want) {
			t.Fatalf("queue of %s is %v, should be %v", addressText(a), has, want)
		}
	}
	queued := []string{}
	for m := range s.task.all() {
		a := m.Address()
		if m.queued {
			queued = append(queued, addressText(a))
		}
	}
	if ready := slices.Sorted(slices.Values(s.ready)); !slices.Equal(ready, slices.Sorted(slices.Values(queued))) {
		t.Fatalf("told of %v, ready are %v", ready, queued)
	}
	s.checkNext(t)
}

// checkNext sees that the task asks to be woken in time.
func (s *schedule) checkNext(t *rapid.T) {
	due := int64(0)
	earlier := func(at int64) {
		if due == 0 || at < due {
			due = at
		}
	}
	for _, d := range s.model.delays {
		earlier(d.at)
	}
	for m := range s.task.all() {
		if m.retryAt > 0 {
			earlier(m.retryAt)
		}
	}
	if next := s.task.NextMillis(); due > 0 && (next == 0 || next > due) {
		t.Fatalf("wants to be woken at %d, something is due at %d", next, due)
	}
}

// read hands in the next record of a source, a new one when there is none. Between records there are offsets that
// hold nothing, and a record that is done may be compacted away before it is read again.
func (s *schedule) read(t *rapid.T) {
	i := rapid.IntRange(0, len(s.sources)-1).Draw(t, "source")
	source := s.task.sources[i]
	offset := s.nextRecord(t, i, source.Next())
	envelopes := s.log[i][offset]
	fresh := s.model.fresh(i, offset)
	if !fresh && rapid.Bool().Draw(t, "compacted") {
		delete(s.log[i], offset)
	} else {
		if source.Fresh(offset) != fresh {
			t.Fatalf("%s: offset %d is fresh: %v, should be: %v", s.sources[i], offset, !fresh, fresh)
		}
		s.task.Arrive(source, offset, envelopes, s.millis())
	}
	s.model.arrive(i, offset, envelopes)
	end := offset + 1
	for s.log[i][end] == nil && end < s.ends[i] && rapid.Bool().Draw(t, "gap") {
		end++
	}
	source.Pass(end)
	s.model.read[i] = max(s.model.read[i], end)
}

// nextRecord gives the offset of the first record from an offset on, made when there is none.
func (s *schedule) nextRecord(t *rapid.T, i int, from int64) int64 {
	for offset := from; offset < s.ends[i]; offset++ {
		if s.log[i][offset] != nil {
			return offset
		}
	}
	offset := max(from, s.ends[i]) + int64(rapid.IntRange(0, 2).Draw(t, "gap before"))
	s.ends[i] = offset + 1 + int64(rapid.IntRange(0, 2).Draw(t, "gap after"))
	envelopes := []protocol.Envelope{}
	for range rapid.SampledFrom([]int{1, 1, 1, 2, 3, 0}).Draw(t, "targets") {
		envelopes = append(envelopes, message(address(drawAddress(t)), nil, s.text()))
	}
	s.log[i][offset] = envelopes
	return offset
}

// take makes a call of an address that is ready.
func (s *schedule) take(t *rapid.T) {
	if len(s.ready) == 0 {
		return
	}
	name := rapid.SampledFrom(s.ready).Draw(t, "address")
	s.ready = slices.DeleteFunc(s.ready, func(r string) bool { return r == name })
	inputs, bytes := rapid.IntRange(1, 4).Draw(t, "inputs"), rapid.SampledFrom([]int{1, 60, 1000}).Draw(t, "bytes")
	m := s.task.find(address(name))
	c, err := s.task.Take(m, inputs, bytes, s.now)
	if err != nil || c == nil {
		t.Fatalf("take %s: %v, %v", name, c, err)
	}
	size := 0
	for i := range c.Inputs() {
		size += s.model.queues[name][i].bytes
	}
	if n := c.Inputs(); n < 1 || n > inputs || n > 1 && size > bytes {
		t.Fatalf("a call of %d inputs of %d bytes, may have %d of %d", n, size, inputs, bytes)
	}
	s.inFlight[name] = &invoked{Call: c, count: c.Inputs(), specs: s.registry.States(c.Target.Type)}
}

// drawCall picks a call in flight whose request was sent, or was not.
func (s *schedule) drawCall(t *rapid.T, sent bool) *invoked {
	var names []string
	for name, c := range s.inFlight {
		if (c.present != nil) == sent {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return s.inFlight[rapid.SampledFrom(names).Draw(t, "call")]
}

// request reads the states of a call as its goroutine does, and compares what the function is sent. A function that
// misses states asks for some of them.
func (s *schedule) request(t *rapid.T) {
	c := s.drawCall(t, false)
	if c == nil {
		return
	}
	if err := c.Complete(s.disk.Get, s.now); err != nil {
		t.Fatal(err)
	}
	request, err := c.Request(nil, protocol.Generation3)
	if err != nil {
		t.Fatal(err)
	}
	states, inputs, err := parseRequest(request, c.Target)
	if err != nil {
		t.Fatal(err)
	}
	name := addressText(c.Target)
	var wantStates, wantInputs []string
	present := map[string]bool{}
	for _, spec := range c.specs {
		value := " absent"
		if text, is := s.model.visible(name, spec.Name, s.millis()); is {
			value, present[spec.Name] = "="+text, true
		}
		wantStates = append(wantStates, spec.Name+value)
	}
	for _, in := range s.model.queues[name][:c.count] {
		wantInputs = append(wantInputs, in.text)
	}
	if !slices.Equal(states, wantStates) || !slices.Equal(inputs, wantInputs) {
		t.Fatalf("%s is sent %v %v, should be %v %v", name, states, inputs, wantStates, wantInputs)
	}
	all := declared[c.Target.Type.Name]
	if len(c.specs) == len(all) {
		c.present = present
		return
	}
	from := rapid.IntRange(0, len(all)-1).Draw(t, "missing from")
	if _, err := s.registry.Register(c.Target.Type, all[from:]); err != nil {
		t.Fatal(err)
	}
	s.task.Again(c.Call)
	c.specs = s.registry.States(c.Target.Type)
}

// drawEffects draws what a function answers.
func (s *schedule) drawEffects(t *rapid.T, sender protocol.Address) (e Effects) {
	send := func() protocol.Envelope { return message(address(drawAddress(t)), &sender, s.text()) }
	for range rapid.IntRange(0, 2).Draw(t, "mutations") {
		spec := rapid.SampledFrom(declared[sender.Type.Name]).Draw(t, "state")
		m := protocol.Mutation{Name: spec.Name, Delete: rapid.IntRange(0, 3).Draw(t, "delete") == 0}
		if !m.Delete {
			m.Type, m.Value = spec.Type, []byte(s.text())
		}
		e.Mutations = append(e.Mutations, m)
	}
	for range rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "messages") {
		e.Messages = append(e.Messages, send())
	}
	for range rapid.SampledFrom([]int{0, 1, 0, 3}).Draw(t, "delayed") {
		d := Delayed{Token: rapid.SampledFrom([]string{"", "t", "u"}).Draw(t, "token")}
		if d.Token != "" && rapid.Bool().Draw(t, "cancel") {
			d.Cancel = true
		} else {
			d.Delay = time.Duration(rapid.IntRange(0, 30).Draw(t, "delay")) * time.Millisecond
			d.Envelope = protocol.AppendEnvelope(nil, send())
		}
		e.Delayed = append(e.Delayed, d)
	}
	return e
}

// answer applies an answer, or refuses it when it uses a token twice.
func (s *schedule) answer(t *rapid.T) {
	if c := s.drawCall(t, true); c != nil {
		s.apply(t, c, s.drawEffects(t, c.Target))
	}
}

func (s *schedule) apply(t *rapid.T, c *invoked, e Effects) {
	name := addressText(c.Target)
	refusal := s.task.Check(c.Call, &e)
	taken := s.model.delay(c.Target.ID, e.Delayed, s.millis())
	if (refusal == nil) != taken {
		t.Fatalf("delayed messages %+v of %s with %+v are refused: %v", e.Delayed, name, s.model.delays, refusal)
	}
	delete(s.inFlight, name)
	if refusal != nil {
		s.task.Failed(c.Call, s.now.Add(time.Millisecond))
		return
	}
	if err := s.task.Apply(c.Call, &e, s.now); err != nil {
		t.Fatal(err)
	}
	s.model.finish(name, c.count)
	s.model.mutate(name, e.Mutations, c.present, declared[c.Target.Type.Name], s.millis())
	for _, m := range e.Messages {
		s.task.Deliver(m, s.millis())
		s.model.deliver(m)
	}
}

// fail lets a call fail: for now, for its size, or for good.
func (s *schedule) fail(t *rapid.T) {
	c := s.drawCall(t, rapid.Bool().Draw(t, "sent"))
	if c == nil {
		return
	}
	name := addressText(c.Target)
	switch rapid.SampledFrom([]string{"failed", "returned", "too large", "dropped"}).Draw(t, "how") {
	case "failed":
		s.task.Failed(c.Call, s.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "pause"))*time.Millisecond))
	case "returned": // its endpoint is down
		s.task.Return(c.Call)
	case "too large":
		if halved := s.task.Halve(c.Call); halved != (c.count > 1) {
			t.Fatalf("a call of %d inputs can be halved: %v", c.count, halved)
		} else if !halved {
			return
		}
	case "dropped":
		var has, want []string
		for _, e := range s.task.Drop(c.Call) {
			has = append(has, addressText(e.Target)+":"+textOf(e.Invocation))
		}
		for _, in := range s.model.queues[name][:c.count] {
			want = append(want, name+":"+in.text)
		}
		if !slices.Equal(has, want) {
			t.Fatalf("dropped %v, should be %v", has, want)
		}
		s.model.finish(name, c.count)
	}
	delete(s.inFlight, name)
}

func (s *schedule) clock(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "later")) * time.Millisecond)
	s.task.Resume(s.millis())
	for m := range s.task.all() {
		if m.retryAt > 0 && m.retryAt <= s.millis() {
			t.Fatalf("%s stays parked until %d at %d", addressText(m.Address()), m.retryAt, s.millis())
		}
	}
}

func (s *schedule) fire(t *rapid.T) { s.fireUpTo(t, rapid.IntRange(1, 4).Draw(t, "limit")) }

func (s *schedule) fireUpTo(t *rapid.T, limit int) {
	due, err := s.task.Fire(s.millis(), limit)
	if err != nil {
		t.Fatal(err)
	}
	var has, want []string
	for _, e := range due {
		has = append(has, textOf(e.Invocation)+" to "+addressText(e.Target))
		s.task.Deliver(e, s.millis())
		s.model.deliver(e)
	}
	for _, d := range s.model.fire(s.millis(), limit) {
		want = append(want, d.text+" to "+d.target)
	}
	if !slices.Equal(has, want) {
		t.Fatalf("fired are\n%s\nshould be\n%s", strings.Join(has, "\n"), strings.Join(want, "\n"))
	}
}

func (s *schedule) relief(t *rapid.T) {
	switch rapid.SampledFrom([]string{"sweep", "relieve", "records", "age", "hold"}).Draw(t, "what") {
	case "hold":
		names := slices.Sorted(maps.Keys(s.model.queues))
		if len(names) == 0 {
			return
		}
		name := rapid.SampledFrom(names).Draw(t, "held")
		for m := range s.task.all() {
			if addressText(m.Address()) == name {
				s.task.Hold(m)
			}
		}
	case "relieve":
		s.task.Relieve(int64(rapid.IntRange(1, 800).Draw(t, "bytes")))
	case "records":
		s.task.Unblock(rapid.SampledFrom(s.task.sources).Draw(t, "source"), rapid.IntRange(1, 3).Draw(t, "records"), rapid.IntRange(1, 5).Draw(t, "most"), 0)
	case "age":
		age := int64(rapid.IntRange(0, 30).Draw(t, "age"))
		s.task.Unblock(rapid.SampledFrom(s.task.sources).Draw(t, "source"), 0, rapid.IntRange(1, 5).Draw(t, "most"), s.millis()-age)
	case "sweep":
		if _, err := s.task.Sweep(s.now); err != nil {
			t.Fatal(err)
		}
	}
}
