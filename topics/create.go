package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/kafka"
)

const (
	// createTimeout is what the broker is given to create the topics.
	createTimeout = 30 * time.Second

	// visibleTimeout bounds the wait for the topics to be known and for every partition to have a leader; a client that reads
	// or writes earlier is told that there is no such topic.
	visibleTimeout = 30 * time.Second

	// visiblePause is between two looks.
	visiblePause = 50 * time.Millisecond
)

// Create creates what is missing, waits until it can be used, and reads the plan again from the cluster: another worker may
// have created the same topics at the same moment with other settings.
func (p *Plan) Create(ctx context.Context, cl *kgo.Client) error {
	missing := p.Missing()
	if len(missing) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(createTimeout.Milliseconds())
	for _, t := range missing {
		if t.Role == RoleIngress && !p.options.CreateIngress {
			return p.missingIngress(RoleIngress, t.Name)
		}
		req.Topics = append(req.Topics, t.request())
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var failures []error
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			failures = append(failures, p.explain(t, err))
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	state, err := p.awaitVisible(ctx, cl)
	if err != nil {
		return err
	}
	return p.lay(state)
}

func (t Topic) request() kmsg.CreateTopicsRequestTopic {
	r := kmsg.NewCreateTopicsRequestTopic()
	r.Topic, r.NumPartitions, r.ReplicationFactor = t.Name, t.Partitions, t.Replication
	for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, kmsg.StringPtr(t.Configs[key])
		r.Configs = append(r.Configs, c)
	}
	return r
}

// explain adds the way out to the refusals that people meet.
func (p *Plan) explain(t kmsg.CreateTopicsResponseTopic, err error) error {
	if t.ErrorMessage != nil && *t.ErrorMessage != "" {
		err = fmt.Errorf("%w (%s)", err, *t.ErrorMessage)
	}
	switch {
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("create topic %s: %w: give a replication factor that the cluster has brokers for", t.Topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("create topic %s: %w: allow Create on it, or create the topics beforehand as statefun-kafka topics shows them", t.Topic, err)
	}
	return fmt.Errorf("create topic %s: %w", t.Topic, err)
}

// awaitVisible returns what the cluster says once it knows every topic. The plan has to come from that same answer: the next
// one may be of a broker that does not know the topics yet, and the worker would write rows for topics without an id.
func (p *Plan) awaitVisible(ctx context.Context, cl *kgo.Client) (*cluster, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, visibleTimeout, fmt.Errorf("not usable %s after their creation", visibleTimeout))
	defer cancel()
	ticker := time.NewTicker(visiblePause)
	defer ticker.Stop()
	for {
		c, err := readCluster(ctx, cl, p.names())
		switch {
		case err == nil && c.usable(p.Topics):
			return c, nil
		case err != nil && !kafka.Unreachable(err):
			return nil, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the topics of %s: %w", p.ApplicationID, errors.Join(context.Cause(ctx), err))
		}
	}
}

// usable reports whether every topic is known and every partition has a leader.
func (c *cluster) usable(topics []Topic) bool {
	for _, t := range topics {
		if f, ok := c.topics[t.Name]; t.Role != RoleStray && (!ok || f.leaderless) {
			return false
		}
	}
	return true
}
