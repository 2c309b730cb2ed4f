package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// Discover gives a bare module with the ingress topics of the application as its consumer group tells them: a worker commits
// an offset of each source partition before it reads on. Topics of other clusters, and such that were never read, are not
// among them.
func Discover(ctx context.Context, cl *kgo.Client, m *module.Module) (*module.Module, error) {
	offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, m.Application.ID)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // some brokers know no group that has no offsets
		return nil, fmt.Errorf("read the offsets of group %s, which tell the ingress topics: %w", m.Application.ID, err)
	}
	found := *m
	found.Ingresses = nil
	form := generationForm(m.Application.ID)
	for _, name := range slices.Sorted(maps.Keys(offsets)) {
		if form.MatchString(name) {
			continue
		}
		t := module.DefaultIngressTopic()
		t.Topic, t.Own = name, strings.HasPrefix(name, module.OwnTopicPrefix(m.Application.ID))
		in := module.Ingress{Topics: []module.IngressTopic{t}}
		in.ID.Namespace, in.ID.Name = m.Application.ID, name
		found.Ingresses = append(found.Ingresses, in)
	}
	return &found, nil
}

// NotChecked says what a look at the cluster alone leaves out of a plan; empty when there is a module.
func (p *Plan) NotChecked() string {
	if !p.module.Bare {
		return ""
	}
	return fmt.Sprintf("without a module, ingress topics are those that group %s has offsets of; not checked are topics that were never read, egress topics that are not named, other clusters, and what the program asks for (Options.Partitions, limits, another dead-letter topic)", p.ApplicationID)
}

// begun tells whether the application has its topics.
func (p *Plan) begun(c *cluster) bool {
	_, mailbox := c.topics[p.MailboxName()]
	_, changelog := c.topics[p.ChangelogName()]
	return mailbox || changelog
}

// noApplication is the problem of a bare module whose application is not on the cluster.
func (p *Plan) noApplication() Problem {
	return Problem{
		Setting: "application " + p.ApplicationID, Found: "not on this cluster", Wanted: "its topics " + p.MailboxName() + " and " + p.ChangelogName(),
		Mend: "another --application-id or --brokers; or, to create its topics before its first start, topics --create --partitions N",
	}
}

// gone warns of an ingress topic that the group has read and that is not there any more: the program may have done with it.
func (p *Plan) gone() (list []string) {
	for _, name := range p.deleted {
		list = append(list, fmt.Sprintf("group %s has offsets of topic %s, which does not exist: if the program still reads it, it has lost what it had not read", p.ApplicationID, name))
	}
	return list
}
