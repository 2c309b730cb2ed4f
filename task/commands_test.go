package task

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// commands are what scripts may say. Addresses are type/id, sources topic/partition, offsets follow an @; an
// input is address:text, or address:caller>text.
var commands map[string]func(w *world, args []string) error

func init() {
	commands = map[string]func(w *world, args []string) error{
		"source":    (*world).addSource,  // in/0@5 [done 7-9,11]: read a topic partition from there
		"arrive":    (*world).arrive,     // in/0@5 f/a:m1 f/b:m1: a record with its inputs, none for a dropped one
		"pass":      (*world).pass,       // in/0@9: the source was read up to there
		"deliver":   (*world).deliver,    // f/a:g/b>m1: a message that was born inside
		"take":      (*world).take,       // f/a [inputs=2] [bytes=100] [later]: a call
		"request":   (*world).later,      // f/a: what the function is sent, for a call that was taken "later"
		"missing":   (*world).missing,    // f/a count [type=t/long] [write=5s] [invoke=5s], ...: the answer asks for states
		"answer":    (*world).answer,     // f/a set n=v; delete n; send g/b:m; delay 5s g/b:m token=t; cancel t
		"fail":      (*world).fail,       // f/a 5s: the call failed, again after that
		"drop":      (*world).drop,       // f/a: the call failed for good
		"return":    (*world).giveBack,   // f/a: the call failed because the endpoint is down
		"hold":      (*world).hold,       // f/a: the endpoint is down
		"toolarge":  (*world).toolarge,   // f/a: the function refused the body for its size
		"clock":     (*world).clock,      // 5s: that much later
		"resume":    (*world).resume,     // parked addresses whose time has come
		"fire":      (*world).fire,       // [limit]: delayed messages whose time has come
		"next":      (*world).next,       // when the task has something to do by itself
		"cut":       (*world).cut,        // the rows of the next transaction
		"stored":    (*world).stored,     // that transaction is committed and in the store; the task is not told
		"committed": (*world).committed,  // the same, and the task is told
		"commit":    (*world).commit,     // cut and committed
		"restore":   (*world).restore,    // [fresh]: a new task made of the store, perhaps in a new process
		"relieve":   (*world).relieve,    // bytes
		"unblock":   (*world).unblock,    // in/0 records=4 age=5s
		"sweep":     (*world).sweep,      // expired state
		"unserved":  (*world).isUnserved, // f: no endpoint serves this function; without f: all are served
		"limits":    (*world).setLimits,  // timers=4 restored=2 bytes=1000 inputs=4 kept=2 addresses=9 swept=3: for the next restore
		"show":      func(w *world, _ []string) error { w.show(); return nil },
	}
}

// named takes the arguments of the form name=value out of the others.
func named(args []string) (plain []string, values map[string]string) {
	values = map[string]string{}
	for _, a := range args {
		if name, value, is := strings.Cut(a, "="); is {
			values[name] = value
			continue
		}
		plain = append(plain, a)
	}
	return plain, values
}

func number(s string, otherwise int) int {
	if s == "" {
		return otherwise
	}
	return must(strconv.Atoi(s))
}

func at(s string) (source string, offset int64) {
	source, number, _ := strings.Cut(s, "@")
	return source, int64(must(strconv.Atoi(number)))
}

func inputOf(s string) protocol.Envelope {
	target, text, _ := strings.Cut(s, ":")
	caller, rest, is := strings.Cut(text, ">")
	if !is {
		return message(address(target), nil, text)
	}
	a := address(caller)
	return message(address(target), &a, rest)
}

func (w *world) millis() int64 { return w.now.UnixMilli() }

func (w *world) addSource(args []string) error {
	name, offset := at(args[0])
	p := state.Progress{TopicID: [16]byte{1}, Position: offset, Time: w.now}
	if len(args) > 2 {
		for run := range strings.SplitSeq(args[2], ",") {
			from, to, is := strings.Cut(run, "-")
			if !is {
				to = from
			}
			p.Finished = append(p.Finished, state.Run{From: int64(must(strconv.Atoi(from))), To: int64(must(strconv.Atoi(to)))})
		}
	}
	topic, partition := sourceName(name)
	w.disk.put(state.ProgressKey(topic, partition), state.AppendProgress(nil, p))
	w.sources = append(w.sources, name)
	return w.start()
}

func (w *world) arrive(args []string) error {
	name, offset := at(args[0])
	s := w.source(name)
	var envelopes []protocol.Envelope
	for _, a := range args[1:] {
		envelopes = append(envelopes, inputOf(a))
	}
	fresh := s.Fresh(offset)
	if !fresh {
		w.printf("is done already")
	}
	entries := s.Window()
	w.task.Arrive(s, offset, envelopes, w.millis())
	if taken := s.Window() > entries && s.entries[len(s.entries)-1].left > 0; taken != (fresh && len(envelopes) > 0) {
		return fmt.Errorf("fresh: %v, taken in: %v", fresh, taken)
	}
	return nil
}

func (w *world) pass(args []string) error {
	name, offset := at(args[0])
	w.source(name).Pass(offset)
	return nil
}

func (w *world) deliver(args []string) error {
	for _, a := range args {
		w.task.Deliver(inputOf(a), w.millis())
	}
	return nil
}

func (w *world) take(args []string) error {
	plain, values := named(args)
	name := plain[0]
	i := slices.Index(w.ready, name)
	if i < 0 {
		return fmt.Errorf("%s is not ready", name)
	}
	w.ready = slices.Delete(w.ready, i, i+1)
	m := w.task.find(address(name))
	c, err := w.task.Take(m, number(values["inputs"], 100), number(values["bytes"], 1<<20), w.now)
	if err != nil || c == nil {
		return errors.Join(err, errors.New("nothing waits"))
	}
	w.calls[name] = c
	if slices.Contains(plain, "later") {
		return nil
	}
	return w.request(c)
}

func (w *world) later(args []string) error { return w.request(w.call(args[0])) }

func (w *world) missing(args []string) error {
	c := w.call(args[0])
	var specs []protocol.StateSpec
	for list := range strings.SplitSeq(strings.Join(args[1:], " "), ",") {
		plain, values := named(strings.Fields(list))
		if len(plain) == 0 {
			continue
		}
		spec := protocol.StateSpec{Name: plain[0], Type: "t/long"}
		if values["type"] != "" {
			spec.Type = values["type"]
		}
		if d := values["write"]; d != "" {
			spec.Mode, spec.ExpireAfter = protocol.ExpireAfterWrite, must(time.ParseDuration(d))
		}
		if d := values["invoke"]; d != "" {
			spec.Mode, spec.ExpireAfter = protocol.ExpireAfterInvoke, must(time.ParseDuration(d))
		}
		specs = append(specs, spec)
	}
	n, err := w.registry.Register(c.Target.Type, specs)
	if err != nil {
		return err
	}
	w.printf("%d new", n)
	w.task.Again(c)
	return w.request(c)
}

// effects reads what an answer asks for.
func effectsOf(sender protocol.Address, text string) (e Effects) {
	for part := range strings.SplitSeq(text, ";") {
		args, values := named(strings.Fields(part))
		if len(args) == 0 {
			continue
		}
		switch args[0] {
		case "set":
			typename := "t/long"
			if len(args) > 1 {
				typename = args[1]
			}
			for name, value := range values {
				e.Mutations = append(e.Mutations, protocol.Mutation{Name: name, Type: typename, Value: []byte(value)})
			}
		case "delete":
			e.Mutations = append(e.Mutations, protocol.Mutation{Name: args[1], Delete: true})
		case "send":
			m := inputOf(args[1])
			m.Invocation = message(m.Target, &sender, textOf(m.Invocation)).Invocation
			e.Messages = append(e.Messages, m)
		case "delay":
			m := inputOf(args[2])
			m.Invocation = message(m.Target, &sender, textOf(m.Invocation)).Invocation
			e.Delayed = append(e.Delayed, Delayed{
				Delay: must(time.ParseDuration(args[1])), Token: values["token"], Envelope: protocol.AppendEnvelope(nil, m),
			})
		case "cancel":
			e.Delayed = append(e.Delayed, Delayed{Cancel: true, Token: args[1]})
		default:
			panic("no effect " + args[0])
		}
	}
	return e
}

func (w *world) answer(args []string) error {
	c := w.call(args[0])
	e := effectsOf(c.Target, strings.Join(args[1:], " "))
	if err := w.task.Check(c, &e); err != nil {
		return err
	}
	if err := w.task.Apply(c, &e, w.now); err != nil {
		return err
	}
	for _, m := range e.Messages {
		w.task.Deliver(m, w.millis())
	}
	return nil
}
