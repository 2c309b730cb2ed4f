package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

// target is a cluster, and mostly a topic on it.
type target struct {
	brokers    []string
	module     *module.Module    // whose client settings are used
	properties []module.Property // that are used where there is no module
	topic      string
	valueType  string
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

// The wait for brokers that may be starting beside the command, and the pause between two tries.
const (
	reachTimeout = 5 * time.Second
	reachPause   = 200 * time.Millisecond
)

// reach waits until a broker of the target answers, and not for long: who gave a wrong address wants to know.
func (t target) reach(ctx context.Context, p *program, cl *kgo.Client) error {
	brokers := strings.Join(t.brokers, ",")
	bounded, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var last error
	for {
		err := cl.Ping(bounded)
		if err == nil {
			return nil
		}
		if last == nil {
			p.log.Info("no broker answers yet: waiting", "brokers", brokers, "error", err)
		}
		if bounded.Err() == nil || last == nil { // what ends with the wait says less than what was before
			last = err
		}
		select {
		case <-time.After(reachPause):
		case <-bounded.Done():
			return fmt.Errorf("no broker answers at %s: %w: check --brokers, the network, and the security properties %s; statefun-kafka doctor tells more", brokers, last, t.propertiesPlace())
		}
	}
}

// propertiesPlace says where the user writes client settings.
func (t target) propertiesPlace() string {
	if t.module == nil {
		return "in the file of --command-config"
	}
	return "of the module"
}

func (t target) settings(p *program) (reads, writes kafka.Settings, err error) {
	if t.module == nil {
		reads, err = kafka.NewSettings(t.brokers, t.properties)
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
