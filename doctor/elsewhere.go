package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// Elsewhere is an ingress or egress of another cluster than the application's.
type Elsewhere struct {
	// Name says which, as "ingress a/b".
	Name    string
	Brokers []string
	// Error is why nothing could be asked there.
	Error string
	// ClusterID is what the cluster calls itself.
	ClusterID string
	// Topics are those that could be asked for; Missing those of them that are not there, with why.
	Topics  int
	Missing []string
}

// elsewhere asks the other clusters of the module. A module does not name the topics of an egress.
func (g *gathering) elsewhere(ctx context.Context) {
	m := g.settings.Module
	var steps []func()
	add := func(name string, brokers []string, list []module.IngressTopic, settings kafka.Settings, err error) {
		g.facts.Elsewhere = append(g.facts.Elsewhere, Elsewhere{Name: name, Brokers: brokers, Topics: len(list)})
		at := len(g.facts.Elsewhere) - 1
		steps = append(steps, func() {
			if err == nil {
				err = askElsewhere(ctx, settings, list, &g.facts.Elsewhere[at])
			}
			if err != nil {
				g.facts.Elsewhere[at].Error = err.Error()
			}
		})
	}
	for i := range m.Ingresses {
		if in := &m.Ingresses[i]; in.Elsewhere != nil {
			settings, err := kafka.ForIngress(in)
			add("ingress "+in.ID.String(), in.Elsewhere, in.Topics, settings, err)
		}
	}
	for i := range m.Egresses {
		if e := &m.Egresses[i]; e.Elsewhere != nil {
			settings, err := kafka.ForEgress(e)
			add("egress "+e.ID.String(), e.Elsewhere, nil, settings, err)
		}
	}
	together(steps...)
}

func askElsewhere(ctx context.Context, settings kafka.Settings, list []module.IngressTopic, found *Elsewhere) error {
	client, err := settings.Open(append(patience(), readOnly(asking...))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{} // none, not all
	for i := range list {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &list[i].Topic
		r.Topics = append(r.Topics, t)
	}
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("read the topics: %w", err)
	}
	if answer.ClusterID != nil {
		found.ClusterID = *answer.ClusterID
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && t.Topic != nil {
			found.Missing = append(found.Missing, fmt.Sprintf("%s (%v)", *t.Topic, err))
		}
	}
	return nil
}

// otherClusters tells whether what the module has elsewhere is there. Only it waits when it is not.
func otherClusters(f *Facts) []verdict {
	if f.Bare {
		return []verdict{unknown("", "not known without a module")}
	}
	if len(f.Elsewhere) == 0 {
		return []verdict{ok("every ingress and egress is on the application's cluster")}
	}
	var list []verdict
	for _, e := range f.Elsewhere {
		at := strings.Join(e.Brokers, ",")
		switch {
		case e.Error != "":
			list = append(list, warning("start the cluster, or correct the address and the client properties in the module; until then only this one waits",
				"its cluster %s cannot be asked: %s", at, e.Error).of(e.Name))
		case len(e.Missing) > 0:
			list = append(list, warning("create them there; until then only this one waits", "topics are missing on %s: %s", at, strings.Join(e.Missing, ", ")).of(e.Name))
		case e.ClusterID != "" && e.ClusterID == f.ClusterID:
			list = append(list, warning("give it the same address as the application's brokers", "%s is the application's own cluster under another address, and is treated as another one", at).of(e.Name))
		case strings.HasPrefix(e.Name, "egress"):
			list = append(list, ok("%s answers; records go there at least once", at).of(e.Name))
		default:
			list = append(list, ok("%s answers and has %s", at, plural(e.Topics, "topic", "topics")).of(e.Name))
		}
	}
	return list
}
