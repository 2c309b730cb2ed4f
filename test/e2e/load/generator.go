package load

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/test/e2e/history"
)

// The delays of the load. A cancellation that another input brings must be processed long before its message is due,
// kills in between included, or nothing can be said about it; so these messages wait far longer than the others.
const (
	maxDelay       = 3 * time.Second
	cancelledDelay = 1500 * time.Millisecond
	lateDelay      = 25 * time.Second
)

// wideOneIn is the share of commands that fan out, where commands do.
const wideOneIn = 80

// Ingress is one topic that the load comes in by.
type Ingress struct {
	Topic      string
	Partitions int32
	// Targets are the types that get each of its records.
	Targets []string
	// Keyed puts each record on the partition of its key, as Kafka's default partitioner does. Without it a key stays on
	// one partition too, but not on the one that its id belongs to in the application: such records cross.
	Keyed bool
}

func (in Ingress) partition(key string) int32 {
	if in.Keyed {
		return router.Partition(key, in.Partitions)
	}
	return int32(len(key)*7+int(key[len(key)-1])) % in.Partitions
}

// Root is a command as it enters by an ingress record.
type Root struct {
	Ingress   Ingress
	Partition int32
	Key       string
	Command   Command
}

// Generator makes random roots and knows every input that they lead to. The same seed gives the same roots.
type Generator struct {
	// Inputs are all inputs that the roots so far lead to.
	Inputs []history.Input
	// Fan is how many messages the widest commands send; 0: no command is wide. Set it before the first root.
	Fan int
	// Late is the delay of the messages that another input cancels; set it before the first root. It is 25 s at first.
	Late time.Duration
	// Prefix begins the ids of all inputs, so that several generators can fill one application; set it before the first root.
	Prefix string

	random    *rand.Rand
	ingresses []Ingress
	ids       int
	made      int
	placed    map[string]int64 // how many roots each ingress partition and key got
	queued    []Root           // roots that must follow the last one
}

// NewGenerator makes a generator for ids keys over the given ingresses.
func NewGenerator(seed uint64, ingresses []Ingress, ids int) *Generator {
	return &Generator{
		random:    rand.New(rand.NewPCG(seed, 0x5f3759df)),
		ingresses: ingresses,
		ids:       ids,
		placed:    map[string]int64{},
		Late:      lateDelay,
	}
}

// Next is the next root.
func (g *Generator) Next() Root {
	if len(g.queued) > 0 {
		r := g.queued[0]
		g.queued = g.queued[1:]
		return g.place(r)
	}
	in := g.ingresses[g.random.IntN(len(g.ingresses))]
	r := Root{Ingress: in, Key: g.id()}
	r.Partition = in.partition(r.Key)
	r.Command = g.command("")
	if len(in.Targets) == 1 {
		self := in.Targets[0] + "/" + r.Key
		g.expect(history.Input{ID: r.Command.ID, Address: self, Note: noteOf(r.Command)})
		g.grow(&r.Command, self, 3)
		if g.random.IntN(12) == 0 {
			g.cancelByNextRoot(&r, self)
		}
	} else {
		for _, target := range in.Targets {
			g.expect(history.Input{ID: r.Command.ID, Address: target + "/" + r.Key, Note: noteOf(r.Command)})
		}
	}
	return g.place(r)
}

// Owes says that the last root needs the next one: the load must not end between them.
func (g *Generator) Owes() bool { return len(g.queued) > 0 }

// Probe is a bare command for one key of one ingress, to see what its addresses hold.
func (g *Generator) Probe(in Ingress, key string) Root {
	r := Root{Ingress: in, Key: key, Command: g.command("probe-")}
	r.Command.Note, r.Command.SlowMs = "", 0
	r.Partition = in.partition(key)
	for _, target := range in.Targets {
		g.expect(history.Input{ID: r.Command.ID, Address: target + "/" + key})
	}
	return g.place(r)
}

// Keys are all keys of the load.
func (g *Generator) Keys() []string {
	keys := make([]string, g.ids)
	for i := range keys {
		keys[i] = key(i)
	}
	return keys
}

func key(i int) string { return fmt.Sprintf("k%03d", i) }

func (g *Generator) id() string { return key(g.random.IntN(g.ids)) }

func (g *Generator) address() string {
	return Types[g.random.IntN(len(Types))] + "/" + g.id()
}

func (g *Generator) expect(in history.Input) { g.Inputs = append(g.Inputs, in) }

// place stamps a root as the next of its ingress partition and key.
func (g *Generator) place(r Root) Root {
	r.Command.Sender = fmt.Sprintf("%s/%d/%s", r.Ingress.Topic, r.Partition, r.Key)
	g.placed[r.Command.Sender]++
	r.Command.SenderSeq = g.placed[r.Command.Sender]
	return r
}

// command is a command without steps.
func (g *Generator) command(prefix string) Command {
	g.made++
	c := Command{ID: fmt.Sprintf("%s%s%d", g.Prefix, prefix, g.made)}
	switch n := g.random.IntN(100); {
	case n < 2:
		c.SlowMs = 100 + g.random.IntN(300)
	case n < 20:
		c.SlowMs = 1 + g.random.IntN(5)
	}
	switch g.random.IntN(4) {
	case 0:
		c.Note = "set"
	case 1:
		c.Note = "delete"
	}
	if g.random.IntN(10) == 0 {
		c.Pad = strings.Repeat("x", g.random.IntN(5000))
	}
	return c
}

func noteOf(c Command) history.NoteChange {
	switch c.Note {
	case "set":
		return history.NoteSet
	case "delete":
		return history.NoteDeleted
	default:
		return history.NoteKept
	}
}

// grow gives a command that self will process some steps, nested at most depth deep.
func (g *Generator) grow(c *Command, self string, depth int) {
	if depth == 0 {
		return
	}
	if g.Fan > 0 && g.random.IntN(wideOneIn) == 0 {
		for range 1 + g.random.IntN(g.Fan) {
			g.send(c, self, 1)
		}
		return
	}
	for range g.random.IntN(3) {
		switch n := g.random.IntN(100); {
		case n < 55:
			g.send(c, self, depth)
		case n < 80:
			g.after(c, depth)
		case n < 87:
			g.cancelAtOnce(c)
		case n < 94:
			g.cancelByMessage(c, self)
		default: // a token that nobody ever used
			c.Steps = append(c.Steps, Step{Op: OpCancel, Token: fmt.Sprintf("unused-%s%d", g.Prefix, g.made)})
		}
	}
}

// target is where a message goes: to its sender itself, to another type of the same id, or anywhere.
func (g *Generator) target(self string) string {
	switch g.random.IntN(4) {
	case 0:
		return self
	case 1:
		_, id, _ := strings.Cut(self, "/")
		return Types[g.random.IntN(len(Types))] + "/" + id
	default:
		return g.address()
	}
}

func (g *Generator) send(c *Command, self string, depth int) {
	next, target := g.command(""), g.target(self)
	g.expect(history.Input{ID: next.ID, Address: target, Parent: c.ID, Note: noteOf(next)})
	g.grow(&next, target, depth-1)
	c.Steps = append(c.Steps, Step{Op: OpSend, Target: target, Then: &next})
}

func (g *Generator) after(c *Command, depth int) {
	next, target := g.command(""), g.address()
	delay := time.Duration(g.random.Int64N(int64(maxDelay))).Truncate(time.Millisecond)
	if g.random.IntN(5) == 0 {
		delay = 0
	}
	step := Step{Op: OpAfter, Target: target, DelayMs: delay.Milliseconds(), Then: &next}
	if g.random.IntN(3) == 0 {
		step.Token = "t" + next.ID
	}
	g.expect(history.Input{ID: next.ID, Address: target, Parent: c.ID, Delay: delay, Note: noteOf(next)})
	g.grow(&next, target, depth-1)
	c.Steps = append(c.Steps, step)
}

// cancelAtOnce schedules a message and cancels it in the same answer, and half of the times uses its token again.
func (g *Generator) cancelAtOnce(c *Command) {
	gone, target := g.command(""), g.address()
	token := "t" + gone.ID
	g.expect(history.Input{ID: gone.ID, Address: target, Parent: c.ID, Delay: cancelledDelay, Never: true})
	c.Steps = append(c.Steps,
		Step{Op: OpAfter, Target: target, DelayMs: cancelledDelay.Milliseconds(), Token: token, Then: &gone},
		Step{Op: OpCancel, Token: token})
	if g.random.IntN(2) == 0 {
		return
	}
	again := g.command("")
	g.expect(history.Input{ID: again.ID, Address: target, Parent: c.ID, Delay: cancelledDelay, Note: noteOf(again)})
	c.Steps = append(c.Steps,
		Step{Op: OpAfter, Target: target, DelayMs: cancelledDelay.Milliseconds(), Token: token, Then: &again})
}

// late adds a message that is due so late that a cancellation sent after it comes in time.
func (g *Generator) late(c *Command, canceller string) (token string) {
	gone, target := g.command(""), g.address()
	token = "t" + gone.ID
	g.expect(history.Input{ID: gone.ID, Address: target, Parent: c.ID, Delay: g.Late, Canceller: canceller, Note: noteOf(gone)})
	c.Steps = append(c.Steps, Step{Op: OpAfter, Target: target, DelayMs: g.Late.Milliseconds(), Token: token, Then: &gone})
	return token
}

// cancelByMessage schedules a late message and sends its cancellation to a function of the same id: tokens belong to
// the id of the sender, whatever its type.
func (g *Generator) cancelByMessage(c *Command, self string) {
	_, id, _ := strings.Cut(self, "/")
	messenger, target := g.command(""), Types[g.random.IntN(len(Types))]+"/"+id
	token := g.late(c, messenger.ID)
	g.expect(history.Input{ID: messenger.ID, Address: target, Parent: c.ID, Note: noteOf(messenger)})
	messenger.Steps = append(messenger.Steps, Step{Op: OpCancel, Token: token})
	c.Steps = append(c.Steps, Step{Op: OpSend, Target: target, Then: &messenger})
}

// cancelByNextRoot schedules a late message and cancels it by the next record of the same key.
func (g *Generator) cancelByNextRoot(r *Root, self string) {
	next := *r
	next.Command = g.command("")
	token := g.late(&r.Command, next.Command.ID)
	g.expect(history.Input{ID: next.Command.ID, Address: self, Note: noteOf(next.Command)})
	next.Command.Steps = append(next.Command.Steps, Step{Op: OpCancel, Token: token})
	g.queued = append(g.queued, next)
}
