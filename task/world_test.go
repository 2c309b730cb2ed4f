package task

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// world is what a script acts on: one task with its committed rows, and the part of the worker that the script plays.
type world struct {
	disk     *disk
	registry *Registry
	task     *Task
	limits   limits
	now      time.Time
	held     int64
	sources  []string // as topic/partition
	ready    []string
	calls    map[string]*Call
	unserved string // a function that no endpoint serves
	running  []state.Row
	cutting  bool
	cuts     int
	out      strings.Builder
}

func newWorld() *world {
	w := &world{disk: newDisk(), registry: NewRegistry(), limits: defaultLimits, now: time.UnixMilli(1000)}
	if err := w.start(); err != nil {
		panic(err)
	}
	return w
}

func (w *world) printf(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

// start gives the partition a task made of the committed rows.
func (w *world) start() error {
	if w.task != nil {
		w.task.Abandon()
		if w.held != 0 {
			return fmt.Errorf("the abandoned task keeps %d bytes", w.held)
		}
	}
	w.calls, w.ready, w.running, w.cutting = map[string]*Call{}, nil, nil, false
	w.task = New(Config{Partition: 0, Store: w.disk, Registry: w.registry, Ready: w.onReady, Held: func(n int64) { w.held += n }})
	w.task.limits = w.limits
	if err := w.task.Restore(w.disk.end); err != nil {
		return err
	}
	for _, name := range w.sources {
		topic, partition := sourceName(name)
		p, known, err := Progress(w.disk, topic, partition)
		if err != nil || !known {
			return fmt.Errorf("progress of %s: known %v, %w", name, known, err)
		}
		w.task.AddSource(NewSource(topic, partition, [16]byte{1}, p))
		w.printf("%s goes on at %s", name, progressText(p))
	}
	return nil
}

func (w *world) onReady(m *Mailbox) {
	if m.Target.Type.Name == w.unserved {
		m.Task.Shelve(m)
		w.printf("shelved %s", addressText(m.Address()))
		return
	}
	w.ready = append(w.ready, addressText(m.Address()))
	w.printf("ready %s", addressText(m.Address()))
}

func sourceName(name string) (topic string, partition int32) {
	topic, number, _ := strings.Cut(name, "/")
	return topic, int32(must(strconv.Atoi(number)))
}

func (w *world) source(name string) *Source {
	topic, partition := sourceName(name)
	i := slices.IndexFunc(w.task.sources, func(s *Source) bool { return s.Topic == topic && s.Partition == partition })
	if i < 0 {
		panic("no source " + name)
	}
	return w.task.sources[i]
}

func (w *world) call(name string) *Call {
	c := w.calls[name]
	if c == nil {
		panic("no call of " + name)
	}
	if !w.task.Current(c) {
		panic("the call of " + name + " is not the current one")
	}
	return c
}

// show prints the task: queues, sources, counts.
func (w *world) show() {
	mailboxes := slices.SortedFunc(w.task.all(), func(a, b *Mailbox) int {
		return cmp.Compare(addressText(a.Address()), addressText(b.Address()))
	})
	for _, m := range mailboxes {
		w.printf("%s:%s", addressText(m.Address()), m.text())
	}
	for _, s := range w.task.sources {
		w.printf("%s/%d at %d, next %d, window %d, open %d", s.Topic, s.Partition, s.position, s.next, s.Window(), s.Open())
	}
	r := w.task.Rows()
	w.printf("pending %d, only in the store %d, %d bytes", r.Pending, r.Stored, r.Bytes)
}

// text shows a queue: what is taken in brackets, rows with their numbers.
func (m *Mailbox) text() string {
	s := strings.Builder{}
	for i := range m.memory() + 1 {
		if i == len(m.head) && m.stored > 0 {
			fmt.Fprintf(&s, " (%d stored)", m.stored)
		}
		if i == m.memory() {
			break
		}
		text := textOf(m.at(i).invocation)
		if seq := m.at(i).seq; seq != 0 {
			text += fmt.Sprintf("#%d", seq)
		}
		if i < m.taken() {
			text = "[" + text + "]"
		}
		s.WriteString(" " + text)
	}
	if m.attempts > 0 {
		fmt.Fprintf(&s, ", failed %d times", m.attempts)
	}
	switch {
	case m.retryAt == never:
		s.WriteString(", shelved")
	case m.retryAt > 0:
		fmt.Fprintf(&s, ", parked until %d", m.retryAt)
	}
	return s.String()
}

// request completes a call and prints what its function is sent, as parsed from the request's bytes.
func (w *world) request(c *Call) error {
	if err := c.Complete(w.disk.Get, w.now); err != nil {
		return err
	}
	request, err := c.Request(nil, protocol.Generation3)
	if err != nil {
		return err
	}
	states, inputs, err := parseRequest(request, c.Target)
	if err != nil {
		return err
	}
	w.printf("call %s (%s): %s", addressText(c.Target), strings.Join(states, ", "), strings.Join(inputs, " "))
	return nil
}

// parseRequest shows the states and the inputs of a ToFunction, and checks its target.
func parseRequest(request []byte, target protocol.Address) (states, inputs []string, err error) {
	batch, err := nested(request)
	if err != nil || len(batch) != 1 || batch[0].n != 100 {
		return nil, nil, fmt.Errorf("request %x: %w", request, err)
	}
	parts, err := nested(batch[0].value)
	for _, p := range parts {
		switch p.n {
		case 1:
			if a, err := protocol.ParseAddress(p.value); err != nil || a != target {
				return nil, nil, fmt.Errorf("target is %v, %w", a, err)
			}
		case 2:
			states = append(states, stateText(p.value))
		case 3:
			inputs = append(inputs, textOf(p.value))
		}
	}
	return states, inputs, err
}

// stateText shows a PersistedValue: its name, and the value when there is one.
func stateText(b []byte) string {
	name, value := "", " absent"
	for _, f := range must(nested(b)) {
		if f.n == 1 {
			name = string(f.value)
			continue
		}
		_, has, content, err := protocol.ParseTypedValue(f.value)
		if err != nil || !has {
			panic(fmt.Sprintf("state value %x: %v", f.value, err))
		}
		value = "=" + string(content)
	}
	return name + value
}

// part is a length-delimited field.
type part struct {
	n     protowire.Number
	value []byte
}

func nested(b []byte) (parts []part, err error) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 || kind != protowire.BytesType {
			return nil, fmt.Errorf("field %d of kind %d: %w", n, kind, protowire.ParseError(size))
		}
		value, length := protowire.ConsumeBytes(b[size:])
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		parts, b = append(parts, part{n, value}), b[size+length:]
	}
	return parts, nil
}
