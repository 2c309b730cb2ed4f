package realkafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Cluster is several brokers, each a voter of the controllers' quorum too. Where there are three or more, every topic is
// created with three copies of which two must be in sync, the internal ones too. Its brokers fail one by one, through
// their own methods.
type Cluster struct {
	brokers []*Broker
}

// StartCluster runs a broker for each of the options, with the node ids 1, 2, …, and returns once each of them is
// registered. More than half of them must run for the cluster to have a controller.
func StartCluster(ctx context.Context, nodes ...Options) (_ *Cluster, err error) {
	c := &Cluster{}
	defer func() {
		for _, b := range c.brokers {
			b.keepLog(&err)
		}
	}()
	for i, o := range nodes {
		if o.Version == "" {
			o.Version = Version4
		}
		jars, err := installed(ctx, o.Version)
		if err != nil {
			return nil, err
		}
		b, err := prepare(o, jars, int32(i+1))
		if err != nil {
			return nil, err
		}
		c.brokers = append(c.brokers, b)
	}
	for _, b := range c.brokers {
		b.peers = c.brokers
	}
	if err := c.each(func(b *Broker) error { return b.format(ctx) }); err != nil {
		return nil, err
	}
	// None answers before half of them are there.
	return c, c.each(func(b *Broker) error { return b.launch(ctx) })
}

// each does something with all brokers at once.
func (c *Cluster) each(do func(*Broker) error) error {
	errs := make([]error, len(c.brokers))
	var all sync.WaitGroup
	for i, b := range c.brokers {
		all.Go(func() {
			if err := do(b); err != nil {
				errs[i] = fmt.Errorf("broker %d: %w", b.id, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Brokers are the cluster's brokers in the order of their node ids.
func (c *Cluster) Brokers() []*Broker { return c.brokers }

// Broker is the broker with a node id, or nil.
func (c *Cluster) Broker(id int32) *Broker {
	if id < 1 || int(id) > len(c.brokers) {
		return nil
	}
	return c.brokers[id-1]
}

// Addr is the addresses of all brokers for clients, with commas.
func (c *Cluster) Addr() string {
	var all []string
	for _, b := range c.brokers {
		all = append(all, b.Addr())
	}
	return strings.Join(all, ",")
}

// Stop ends all brokers at once, by force when the clean way takes too long. Folders that StartCluster made are removed.
func (c *Cluster) Stop() error { return c.each((*Broker).Stop) }

// Kill ends all brokers at once (SIGKILL); their folders stay.
func (c *Cluster) Kill() error { return c.each((*Broker).Kill) }
