package main

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// target is a topic on a cluster, with the settings of the ingress that reads it.
type target struct {
	brokers    []string
	properties []module.Property
	topic      string // empty: the cluster as a whole
	valueType  string
}

// open opens a client with the module's connection settings.
func (t target) open(p *program, opts ...kgo.Opt) (*kgo.Client, error) {
	settings, err := kafka.NewSettings(t.brokers, t.properties)
	if err != nil {
		return nil, fmt.Errorf("the settings of the Kafka client are not valid:\n%w", err)
	}
	for _, w := range settings.Warnings() {
		p.log.Debug("kafka client", "warning", w)
	}
	return settings.Open(opts...)
}

// clusterOf is the module's cluster, with the settings of its ingresses.
func clusterOf(m *module.Module) target {
	t := target{brokers: m.Brokers}
	for _, in := range m.Ingresses {
		t.properties = append(t.properties, in.Properties...)
	}
	return t
}

// checkClients tries the client properties of every ingress and egress; nothing is opened.
func checkClients(m *module.Module) (problems module.Errors, warnings []module.Problem) {
	var all [][]module.Property
	for _, in := range m.Ingresses {
		all = append(all, in.Properties)
	}
	for _, out := range m.Egresses {
		all = append(all, out.Properties)
	}
	for _, properties := range all {
		settings, err := kafka.NewSettings(m.Brokers, properties)
		var found module.Errors
		if errors.As(err, &found) {
			problems = append(problems, found...)
			continue
		}
		for _, w := range settings.Warnings() {
			warnings = append(warnings, module.Problem{Message: w})
		}
	}
	return problems, warnings
}
