package module

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

func (r *reader) takeIngress(in Ingress) {
	if !r.named(in.Position, "ingress", in.ID) {
		return
	}
	blame := func(err error) { r.blame(in.Position, "ingress "+in.ID.String(), err) }
	blame(checkAddress(in.Address))
	in.AutoOffsetReset = cmp.Or(in.AutoOffsetReset, "latest")
	blame(oneOf("where to begin without an offset", in.AutoOffsetReset, "earliest", "latest"))
	in.Startup.Kind = cmp.Or(in.Startup.Kind, StartLatest)
	blame(r.checkStartup(in.Startup))
	if len(in.Topics) == 0 {
		blame(errors.New("reads no topic: name at least one"))
	}
	in.Topics = slices.Clone(in.Topics) // own ones get their name
	for i := range in.Topics {
		r.takeIngressTopic(&in, &in.Topics[i])
	}
	r.declareIngress(in)
}

func (r *reader) checkStartup(s Startup) error {
	switch s.Kind {
	case StartGroupOffsets, StartEarliest, StartLatest:
		return nil
	case StartSpecificOffsets:
		if len(s.Offsets) == 0 {
			return errors.New("begins at given offsets, and none is given")
		}
		for tp, offset := range s.Offsets {
			if offset < 0 {
				return fmt.Errorf("begins %s at %d, which is no offset", tp, offset)
			}
		}
		return nil
	case StartDate:
		if s.Date.IsZero() || s.Date.After(r.opt.Now()) {
			return fmt.Errorf("begins at the date %v, which lies in the future or is none", s.Date)
		}
		return nil
	}
	return oneOf("where to begin", string(s.Kind), string(StartGroupOffsets), string(StartEarliest), string(StartLatest), string(StartSpecificOffsets), string(StartDate))
}

func (r *reader) takeIngressTopic(in *Ingress, t *IngressTopic) {
	blame := func(err error) { r.blame(t.Position, "ingress "+in.ID.String(), err) }
	if t.Topic != "" || !t.Own { // the application's id names an own topic later
		_, err := parseTopic(t.Topic)
		blame(err)
	}
	if t.Own { // what was appended before the first start counts
		in.Startup, in.AutoOffsetReset = Startup{Kind: StartEarliest}, "earliest"
	}
	if t.Own && in.Address != "" {
		blame(fmt.Errorf("is filled by the program and has the address %s: such a topic lies on the application's cluster", in.Address))
	}
	blame(oneOf("what happens to invalid records", t.Invalid.Type, InvalidFail, InvalidSkip, InvalidDeadLetter))
	for _, fn := range t.Targets {
		r.named(t.Position, "ingress "+in.ID.String()+": target", fn)
	}
	switch {
	case in.Routed && len(t.Targets)+len(t.Routes) > 0:
		blame(fmt.Errorf("topic %s has targets, and the program routes its records too: take one of both away", t.Topic))
	case in.Routed || len(t.Routes) > 0:
	case len(t.Targets) == 0:
		r.warn(t.Position, fmt.Sprintf("topic %s has no targets: its records are read and dropped", t.Topic), "")
	case t.ValueType == "":
		blame(fmt.Errorf("topic %s has targets and no type of its values", t.Topic))
	}
}

// nameOwnTopics names the topics that the program itself produces to. They lie on the application's cluster, where the
// worker creates them and deletes from them.
func (r *reader) nameOwnTopics() {
	for i := range r.module.Ingresses {
		in := &r.module.Ingresses[i]
		for j := range in.Topics {
			t := &in.Topics[j]
			if !t.Own {
				continue
			}
			name := OwnTopic(r.module.Application.ID, in.ID)
			_, wrong := parseTopic(name)
			if _, err := parseApplicationID(r.module.Application.ID); err != nil {
				wrong = nil // its problem is noted
			}
			switch {
			case wrong != nil:
				r.report(t.Position, fmt.Sprintf("ingress %s cannot have a topic of its own: %v", in.ID, wrong), "give it another name")
			case t.Topic != "" && t.Topic != name:
				r.report(t.Position, fmt.Sprintf("ingress %s is filled by the program in topic %s, which has to be %s", in.ID, t.Topic, name), "leave the name of the topic away")
			}
			t.Topic = name
		}
	}
}
