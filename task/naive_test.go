package task

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// naive is what a partition is for its functions, without rows, overlays or limits: for each address a queue, its
// state, and one list of delayed messages. It goes back to what it was at a cut when later work is aborted.
type naive struct {
	queues map[string][]item // unfinished inputs by address, in order
	values map[string]lasting
	delays []delayed
	order  int              // of the next delayed message
	read   []int64          // by source: below it everything was handed in, but for
	again  []map[int64]bool // what has to be read again since the last crash
	born   map[string]int   // messages of functions, by text
	done   map[string]int   // finished inputs, by text
}

type item struct {
	text   string // with its caller, of no other input
	bytes  int
	source int // -1: born inside
	offset int64
}

type lasting struct {
	text  string
	until int64 // 0: for ever
}

type delayed struct {
	at        int64
	order     int
	id, token string // of the sender
	target    string
	text      string
}

func newNaive(sources int) *naive {
	n := &naive{queues: map[string][]item{}, values: map[string]lasting{}, read: make([]int64, sources),
		born: map[string]int{}, done: map[string]int{}}
	for range sources {
		n.again = append(n.again, map[int64]bool{})
	}
	return n
}

func (n *naive) clone() *naive {
	c := *n
	c.queues = map[string][]item{}
	for a, q := range n.queues {
		c.queues[a] = slices.Clone(q)
	}
	c.values, c.born, c.done = maps.Clone(n.values), maps.Clone(n.born), maps.Clone(n.done)
	c.delays, c.read, c.again = slices.Clone(n.delays), slices.Clone(n.read), slices.Clone(n.again)
	for i := range c.again {
		c.again[i] = maps.Clone(c.again[i])
	}
	return &c
}

func (n *naive) push(target string, in item) { n.queues[target] = append(n.queues[target], in) }

// deliver takes in a message of a function.
func (n *naive) deliver(e protocol.Envelope) {
	text := textOf(e.Invocation)
	n.born[text]++
	n.push(addressText(e.Target), item{text: text, bytes: len(e.Invocation), source: -1})
}

// finish ends the first inputs of a queue.
func (n *naive) finish(target string, count int) {
	for _, in := range n.queues[target][:count] {
		n.done[in.text]++
	}
	if n.queues[target] = n.queues[target][count:]; len(n.queues[target]) == 0 {
		delete(n.queues, target)
	}
}

// fresh tells whether a record that is read now is neither done nor taken in already.
func (n *naive) fresh(source int, offset int64) bool {
	return offset >= n.read[source] || n.again[source][offset]
}

// arrive takes in the record at an offset, if it is fresh.
func (n *naive) arrive(source int, offset int64, envelopes []protocol.Envelope) {
	if !n.fresh(source, offset) {
		return
	}
	for _, e := range envelopes {
		n.push(addressText(e.Target), item{text: textOf(e.Invocation), bytes: len(e.Invocation), source: source, offset: offset})
	}
	delete(n.again[source], offset)
}

// crash goes on from a cut with what of it is rows; the rest has to be read again.
func (n *naive) crash(rows map[string]int) *naive {
	c := n.clone()
	for i, offsets := range n.open(rows) {
		for offset := range offsets {
			c.again[i][offset] = true
		}
	}
	for a, q := range c.queues {
		if c.queues[a] = q[:rows[a]]; rows[a] == 0 {
			delete(c.queues, a)
		}
	}
	return c
}

// visible is a state as a function is sent it.
func (n *naive) visible(target, name string, now int64) (text string, present bool) {
	v, is := n.values[target+" "+name]
	return v.text, is && (v.until == 0 || now < v.until)
}

func untilOf(spec *protocol.StateSpec, now int64) int64 {
	if spec.Mode == protocol.ExpireNone {
		return 0
	}
	return now + spec.ExpireAfter.Milliseconds()
}

// mutate takes the mutations of an answer to a call that was sent the present states.
func (n *naive) mutate(target string, mutations []protocol.Mutation, present map[string]bool, specs []protocol.StateSpec, now int64) {
	written := map[string]bool{}
	for _, m := range mutations {
		i := slices.IndexFunc(specs, func(s protocol.StateSpec) bool { return s.Name == m.Name })
		written[m.Name] = true
		if m.Delete {
			delete(n.values, target+" "+m.Name)
			continue
		}
		n.values[target+" "+m.Name] = lasting{string(m.Value), untilOf(&specs[i], now)}
	}
	for i := range specs {
		if s := &specs[i]; s.Mode == protocol.ExpireAfterInvoke && present[s.Name] && !written[s.Name] {
			v := n.values[target+" "+s.Name]
			n.values[target+" "+s.Name] = lasting{v.text, untilOf(s, now)}
		}
	}
}

// delay takes the delayed messages and cancellations of an answer. It reports false, and changes nothing, when a
// token is in use.
func (n *naive) delay(id string, list []Delayed, now int64) bool {
	delays, order := slices.Clone(n.delays), n.order
	for _, d := range list {
		live := slices.IndexFunc(delays, func(t delayed) bool { return d.Token != "" && t.id == id && t.token == d.Token })
		switch {
		case d.Cancel && live >= 0:
			delays = slices.Delete(delays, live, live+1)
		case d.Cancel:
		case live >= 0:
			return false
		default:
			e := must(protocol.ParseEnvelope(d.Envelope))
			delays = append(delays, delayed{at: now + d.Delay.Milliseconds(), order: order, id: id, token: d.Token,
				target: addressText(e.Target), text: textOf(e.Invocation)})
			order++
		}
	}
	n.delays, n.order = delays, order
	return true
}

// fire takes out at most limit delayed messages that are due, in order.
func (n *naive) fire(now int64, limit int) (due []delayed) {
	slices.SortFunc(n.delays, func(a, b delayed) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	i := 0
	for i < len(n.delays) && i < limit && n.delays[i].at <= now {
		i++
	}
	due = slices.Clone(n.delays[:i])
	n.delays = n.delays[i:]
	return due
}

// open gives, by source, the offsets of which inputs are unfinished and no rows, given how many rows each queue has,
// and the number of these inputs.
func (n *naive) open(rows map[string]int) []map[int64]int {
	open := make([]map[int64]int, len(n.read))
	for i := range open {
		open[i] = map[int64]int{}
	}
	for a, q := range n.queues {
		for _, in := range q[rows[a]:] {
			if in.source >= 0 {
				open[in.source][in.offset]++
			}
		}
	}
	return open
}

// records is what the sources hold.
type records []map[int64][]protocol.Envelope

// same compares what a cut left with the rows that are committed with it, and gives the number of rows of each
// queue. Whoever begins from these rows has the naive model's unfinished inputs, each once, and in order.
func (n *naive) same(d *disk, sources []string, all records, now int64) (rows map[string]int, err error) {
	rows = map[string]int{}
	for _, r := range d.kind(state.KindPending) {
		a, _, err := state.ParsePendingKey(r.Key)
		target := addressText(must(a, err))
		in := must(decodePending(r.Key, r.Value))
		q := n.queues[target]
		if i := rows[target]; i >= len(q) || q[i].text != textOf(in.invocation) {
			return nil, fmt.Errorf("row %d of %s is %s, which is not in this place of the queue %v (H3)", i, target, textOf(in.invocation), q)
		}
		rows[target]++
	}
	open := n.open(rows)
	for a, q := range n.queues {
		for _, in := range q[rows[a]:] {
			if in.source < 0 {
				return nil, fmt.Errorf("%s of %s was born inside and has no row", in.text, a)
			}
			if all, has := len(all[in.source][in.offset]), open[in.source][in.offset]; has != all {
				return nil, fmt.Errorf("offset %d of source %d is done in part: %d of %d inputs are to be read again", in.offset, in.source, has, all)
			}
		}
	}
	for i, name := range sources {
		if err := n.sameProgress(d, i, name, all[i], open[i]); err != nil {
			return nil, err
		}
	}
	if err := n.sameValues(d, now); err != nil {
		return nil, err
	}
	return rows, n.sameDelays(d)
}

func (n *naive) sameProgress(d *disk, i int, name string, all map[int64][]protocol.Envelope, open map[int64]int) error {
	topic, partition := sourceName(name)
	p, known, err := Progress(d, topic, partition)
	if err != nil || !known {
		return fmt.Errorf("progress of %s: %v, %w", name, known, err)
	}
	for offset := range all {
		again := offset >= p.Position && !slices.ContainsFunc(p.Finished, func(r state.Run) bool { return r.From <= offset && offset <= r.To })
		if due := n.fresh(i, offset) || open[offset] > 0; again != due {
			return fmt.Errorf("%s at %s: offset %d is read again: %v, and should be: %v", name, progressText(p), offset, again, due)
		}
	}
	return nil
}

func (n *naive) sameValues(d *disk, now int64) error {
	stored := map[string]bool{}
	for _, r := range d.kind(state.KindValue) {
		a, name, err := state.ParseValueKey(r.Key)
		key := addressText(must(a, err)) + " " + name
		stored[key] = true
		v, is := n.values[key]
		if text := string(must(state.ParseValue(r.Value)).Bytes); !is || v.text != text {
			return fmt.Errorf("state %s is %q, should be %q, %v", key, text, v.text, is)
		}
		stamp := must(d.Get(state.ExpiryKey(a, name)))
		if (stamp != nil) != (v.until > 0) || stamp != nil && must(state.ParseExpiry(stamp)).At.UnixMilli() != v.until {
			return fmt.Errorf("state %s expires at %x, should at %d", key, stamp, v.until)
		}
	}
	for key, v := range n.values {
		if !stored[key] && (v.until == 0 || now < v.until) {
			return fmt.Errorf("state %s is lost", key)
		}
	}
	if x, v := len(d.kind(state.KindExpiry)), len(stored); x > v {
		return fmt.Errorf("%d stamps for %d values", x, v)
	}
	return nil
}

func (n *naive) sameDelays(d *disk) error {
	var has, tokens, want, wantTokens []string
	for _, r := range d.kind(state.KindTimer) {
		at, _, err := state.ParseTimerKey(r.Key)
		has = append(has, fmt.Sprint(must(at, err), " ", envelopeText(must(state.ParseTimer(r.Value)).Envelope)))
	}
	for _, r := range d.kind(state.KindToken) {
		id, token, err := state.ParseTokenKey(r.Key)
		ref := must(state.ParseToken(r.Value))
		timer := must(state.ParseTimer(d.rows[string(state.TimerKey(ref.FireAtMs, ref.Seq))]))
		tokens = append(tokens, fmt.Sprint(must(id, err), " ", token, " ", envelopeText(timer.Envelope)))
	}
	for _, t := range n.delays {
		text := t.text + " to " + t.target
		want = append(want, fmt.Sprint(t.at, " ", text))
		if t.token != "" {
			wantTokens = append(wantTokens, fmt.Sprint(t.id, " ", t.token, " ", text))
		}
	}
	slices.Sort(want)
	slices.Sort(has)
	slices.Sort(tokens)
	slices.Sort(wantTokens)
	if !slices.Equal(has, want) || !slices.Equal(tokens, wantTokens) {
		return fmt.Errorf("delayed messages are\n%s\n%s\nshould be\n%s\n%s",
			strings.Join(has, "\n"), strings.Join(tokens, "\n"), strings.Join(want, "\n"), strings.Join(wantTokens, "\n"))
	}
	return nil
}
