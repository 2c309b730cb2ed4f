package main

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// target is a cluster, and mostly a topic on it.
type target struct {
	brokers   []string
	module    *module.Module // whose client settings are used; nil: none
	topic     string
	valueType string
}

// reader opens a client with the settings of the module's ingresses.
func (t target) reader(p *program, opts ...kgo.Opt) (*kgo.Client, error) {
	reads, _, err := t.settings(p)
	if err != nil {
		return nil, err
	}
	return reads.Open(opts...)
}

// writer opens a client with the settings of the module's egresses; how the cluster is connected to is the same in both.
func (t target) writer(p *program, opts ...kgo.Opt) (*kgo.Client, error) {
	_, writes, err := t.settings(p)
	if err != nil {
		return nil, err
	}
	return writes.Open(opts...)
}

func (t target) settings(p *program) (reads, writes kafka.Settings, err error) {
	if t.module == nil {
		reads, err = kafka.NewSettings(t.brokers, nil)
		return reads, reads, err
	}
	reads, writes, err = kafka.ForModule(t.module, t.brokers)
	if err != nil {
		return reads, writes, fmt.Errorf("the client properties of the module are not valid:\n%w", err)
	}
	for _, w := range reads.Warnings() {
		p.log.Debug("kafka client", "warning", w)
	}
	return reads, writes, nil
}
