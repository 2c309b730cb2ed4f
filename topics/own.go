package topics

import (
	"slices"
	"strconv"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// ownTopics are the ingress topics that the program fills.
func (p *Plan) ownTopics() (names []string) {
	for _, in := range p.ingresses() {
		for _, t := range in.Topics {
			if t.Own {
				names = append(names, t.Topic)
			}
		}
	}
	return names
}

// findStrays are the topics of the cluster that have the name of one that the program fills and that the module does not
// name: they are shown, so that nobody takes them for nobody's.
func (p *Plan) findStrays(existing map[string]Existing) (names []string) {
	known := p.names()
	for name := range existing {
		if strings.HasPrefix(name, module.OwnTopicPrefix(p.ApplicationID)) && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// layOwn plans the topics that the program fills. One that exists keeps its partition count, as every ingress topic does:
// after a rescale, and for records with a key, another one would change their order.
func (p *Plan) layOwn(c *cluster, largestRecord int64) (problems Errors) {
	for _, name := range p.ownTopics() {
		t := Topic{Name: name, Role: RoleOwn, Partitions: p.Partitions, Replication: p.options.Replication, Configs: map[string]string{
			cleanupPolicy:   "delete",
			retentionMs:     "-1",
			retentionBytes:  "-1",
			maxMessageBytes: strconv.FormatInt(largestRecord, 10),
		}}
		if f, exists := c.topics[name]; exists {
			problems = append(problems, p.check(t, f)...)
			t = f.topic(t)
		} else if p.module.Bare {
			p.deleted = append(p.deleted, name)
			continue
		}
		p.Topics = append(p.Topics, t)
	}
	for _, name := range p.strays {
		if f, exists := c.topics[name]; exists {
			p.Topics = append(p.Topics, f.topic(Topic{Name: name, Role: RoleStray}))
		}
	}
	return problems
}
