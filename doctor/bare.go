package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// discover finds out what the cluster knows of an application without a module. It asks for no group where no group has its
// topic yet: that would make a broker create it.
func (g *gathering) discover(ctx context.Context) {
	if !g.module.Bare {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := metadata(ctx, g.client, []string{offsetsTopic})
	if err != nil {
		return // the next question says so
	}
	kinds, _ := g.groupKinds(ctx) // who may not list groups has the topic to go by
	var offsets *Topic
	for i := range answer.Topics {
		offsets = newTopic(&answer.Topics[i])
	}
	if why := noOffsets(offsets, g.facts.Application); why != "" && len(kinds) == 0 {
		g.facts.IngressesError = why
		return
	}
	found, err := topics.Discover(ctx, g.client, g.module)
	if err != nil {
		g.facts.IngressesError = err.Error()
		return
	}
	g.module, g.facts.Ingresses = found, ingressesHere(found)
}

// noOffsets says why a group must not be asked for, by the topic that all groups have their offsets in; empty: it may be.
func noOffsets(topic *Topic, group string) string {
	switch {
	case topic != nil && topic.Exists:
		return ""
	case topic != nil && topic.Error != "": // a user who may not see it is told the same whether it is there or not
		return fmt.Sprintf("this user sees no group, and may not see %s (%s): allow Describe on group %s", offsetsTopic, topic.Error, group)
	}
	return "no group has committed an offset on this cluster"
}

// protocolThatRuns takes the group's protocol for the one that is meant, where no module says.
func (f *Facts) protocolThatRuns() {
	if f.Bare && (f.Group.Kind == module.GroupClassic || f.Group.Kind == module.GroupConsumer) {
		f.Protocol = f.Group.Kind
	}
}

// moduleKnown says what cannot be checked without a module.
func moduleKnown(f *Facts) []verdict {
	const rest = "; not checked are endpoints, egress topics that are not named with --topic, other clusters, and what the program asks for (Options)"
	switch {
	case !f.Bare:
		return []verdict{ok("the cluster is held against it")}
	case f.IngressesError != "":
		return []verdict{unknown("", "none is given, and the ingress topics are not known: %s%s", f.IngressesError, rest)}
	case len(f.Ingresses) == 0:
		return []verdict{unknown("", "none is given, and group %s has no offsets, so the ingress topics are not known%s", f.Application, rest)}
	}
	return []verdict{unknown("", "none is given: the ingress topics are those that group %s has offsets of (%s); one that was never read is not among them%s", f.Application, strings.Join(f.Ingresses, ", "), rest)}
}
