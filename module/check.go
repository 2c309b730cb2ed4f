package module

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/naming"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// where returns file:line, to name a place inside a message.
func (p Position) where() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// check looks at what only the documents of all files together can show.
func (r *reader) check() {
	whole := r.whole()
	clean := len(r.problems) == 0
	if len(r.module.Ingresses) == 0 && !r.lostIngresses {
		r.report(whole, "no ingress is declared: nothing would ever be read", r.add("an ingress", kindIngress))
	}
	if len(r.module.Endpoints) == 0 && !r.lostEndpoints {
		r.report(whole, "no endpoint is declared: there is no function to call", r.add("a function", kindEndpointV2))
	}
	if clean {
		r.bindRouters()
	}
	r.identify()
	r.clusters()
	r.nameOwnTopics()
	r.checkTopics()
	if len(r.module.Endpoints) > 0 && !r.lostEndpoints { // else a target may be that of one that is wrong
		r.checkTargets()
	}
}

// add says where a missing part can be added.
func (r *reader) add(part, kind string) string {
	if len(r.loaded) == 0 {
		return "declare " + part + " in the program, or load a module with a document of kind " + kind
	}
	return "add a document of kind " + kind
}

// whole is the position of what is missing: the first file, or the program.
func (r *reader) whole() Position {
	if len(r.loaded) == 0 {
		return r.at
	}
	return Position{File: r.loaded[0]}
}

// identify settles the application id: the option, the document, or the group that all ingresses share.
func (r *reader) identify() {
	a := &r.module.Application
	if !r.explicit {
		a.Limits, a.GroupProtocol = defaultLimits, GroupClassic
	}
	if r.opt.ApplicationID != "" {
		if _, err := parseApplicationID(r.opt.ApplicationID); err != nil {
			r.report(Position{}, err.Error(), "")
		}
		a.ID = r.opt.ApplicationID
	}
	if a.ID == "" {
		a.ID = r.sharedGroup()
	}
	if a.ID == "" && r.parts && len(r.problems) == 0 { // of a file each ingress must have a group
		r.report(r.whole(), "the application has no id: its topics are named after it", "give it one in the program")
	}
	if a.DeadLetter.Topic == "" && a.ID != "" {
		a.DeadLetter.Topic = a.ID + deadLetterEnd
	}
}

var giveID = "give an id in a document of kind " + kindApplication + " or with " + naming.ApplicationID.String()

// sharedGroup returns the consumer group of all ingresses, "" with a problem when there is not one.
func (r *reader) sharedGroup() string {
	shared := ""
	var first Ingress
	for _, in := range r.module.Ingresses {
		switch {
		case in.ConsumerGroupID == "":
		case shared == "":
			shared, first = in.ConsumerGroupID, in
		case in.ConsumerGroupID != shared:
			r.report(in.Position, fmt.Sprintf("consumerGroupId %q differs from %q of %s: the application id cannot be taken from them",
				in.ConsumerGroupID, shared, first.where()), giveID)
			return ""
		}
	}
	if shared == "" {
		return ""
	}
	id, err := parseApplicationID(shared)
	if err != nil {
		r.report(first.Position, "consumerGroupId: "+err.Error(), giveID)
	}
	return id
}

// checkTopics refuses topics that are read twice, and our own topics as ingress topics.
func (r *reader) checkTopics() {
	a := r.module.Application
	read := map[string]Position{} // by cluster and topic
	for _, in := range r.module.Ingresses {
		for _, t := range in.Topics {
			name := strings.Join(in.Elsewhere, ",") + " " + t.Topic
			if other, ok := read[name]; ok {
				r.report(t.Position, fmt.Sprintf("topic %s is read by two ingresses, first at %s: this is not supported in this version", t.Topic, other.where()),
					"give all its targets in one place")
			}
			read[name] = t.Position
			if in.Elsewhere != nil {
				continue
			}
			if a.ID != "" && slices.Contains(a.internal(), t.Topic) {
				r.report(t.Position, fmt.Sprintf("topic %s belongs to the worker itself", t.Topic), "name another topic, or give another application id")
			}
			if t.Topic == a.DeadLetter.Topic && t.Invalid.Type == InvalidDeadLetter {
				r.report(t.Position, fmt.Sprintf("topic %s is the dead-letter topic: its bad records would come back to it for ever", t.Topic),
					"set invalidRecordHandling of this topic to skip or fail")
			}
		}
	}
	if a.ID != "" && slices.Contains(a.internal(), a.DeadLetter.Topic) {
		r.report(a.Position, fmt.Sprintf("deadLetter.topic %s belongs to the worker itself", a.DeadLetter.Topic), "name another topic")
	}
}

// checkTargets warns of targets that no endpoint serves.
func (r *reader) checkTargets() {
	var patterns []string
	for _, e := range r.module.Endpoints {
		patterns = append(patterns, e.Functions.String())
	}
	for _, in := range r.module.Ingresses {
		for _, t := range in.Topics {
			r.checkTopicTargets(t, patterns)
		}
		r.checkRoutesTo(in)
		if len(in.Topics) > 0 { // all topics of an ingress have the same routes
			r.checkRoutes(in, in.Topics[0], patterns)
		}
	}
}

// checkRoutesTo refuses what checkTopicTargets warns of: a program is held to more than a module of StateFun's.
func (r *reader) checkRoutesTo(in Ingress) {
	var known []string
	for _, e := range r.module.Endpoints {
		known = append(known, e.Functions.String())
	}
	for _, fn := range in.RoutesTo {
		if r.serves(fn) {
			continue
		}
		hint := didYouMean(fn.String(), known)
		if hint == "" {
			hint = "the functions are " + strings.Join(known, ", ")
		}
		r.report(in.Position, fmt.Sprintf("ingress %s sends to %s, which no function of the application serves", in.ID, fn), hint)
	}
}

func (r *reader) checkTopicTargets(t IngressTopic, patterns []string) {
	for i, fn := range t.Targets {
		if r.serves(fn) {
			continue
		}
		at := t.Position
		if inFile := r.targetsAt[t.Position]; i < len(inFile) {
			at = inFile[i]
		}
		r.warn(at, fmt.Sprintf("no endpoint serves target %s of topic %s: its records go by invalidRecordHandling (%s)",
			fn, t.Topic, t.Invalid.Type), didYouMean(fn.String(), patterns))
	}
}

func (r *reader) checkRoutes(in Ingress, t IngressTopic, patterns []string) {
	for i := range t.Routes {
		namespace, name, ok := t.Routes[i].Target()
		fn := protocol.TypeName{Namespace: namespace, Name: name}
		if ok && !r.serves(fn) {
			r.warn(t.Routes[i].Position, fmt.Sprintf("no endpoint serves target %s of ingress %s: its records go by invalidRecordHandling (%s)", fn, in.ID, t.Invalid.Type),
				didYouMean(fn.String(), patterns))
		}
	}
}

func (r *reader) serves(fn protocol.TypeName) bool {
	return slices.ContainsFunc(r.module.Endpoints, func(e Endpoint) bool { return e.Functions.Matches(fn) })
}
