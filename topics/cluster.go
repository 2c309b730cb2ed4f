package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The settings that are read and checked, by their Kafka names.
const (
	cleanupPolicy     = "cleanup.policy"
	retentionMs       = "retention.ms"
	retentionBytes    = "retention.bytes"
	maxMessageBytes   = "max.message.bytes"
	segmentMs         = "segment.ms"
	segmentBytes      = "segment.bytes"
	minDirtyRatio     = "min.cleanable.dirty.ratio"
	deleteRetentionMs = "delete.retention.ms"
)

// shown are the settings of an existing topic that a plan keeps.
var shown = []string{cleanupPolicy, retentionMs, retentionBytes, maxMessageBytes, segmentMs, segmentBytes, minDirtyRatio, deleteRetentionMs}

// cluster is what the brokers say, before any judgement.
type cluster struct {
	brokers            int
	transactionVersion int
	topics             map[string]found // existing topics only
}

type found struct {
	partitions  int32
	replication int16
	id          [16]byte
	configs     map[string]string
	// leaderless is set while a partition has no leader yet, as just after the topic's creation.
	leaderless bool
}

func readCluster(ctx context.Context, cl *kgo.Client, names []string) (*cluster, error) {
	adm := kadm.NewClient(cl)
	c, err := readTopics(ctx, cl, names)
	if err != nil {
		return nil, err
	}
	var existing []string
	for name := range c.topics {
		existing = append(existing, name)
	}
	configs, err := adm.DescribeTopicConfigs(ctx, existing...)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the topics %v: %w", existing, err)
	}
	for _, r := range configs {
		if r.Err != nil {
			return nil, fmt.Errorf("read the settings of topic %s (needs the DescribeConfigs right on it): %w", r.Name, r.Err)
		}
		for _, entry := range r.Configs {
			c.topics[r.Name].configs[entry.Key] = entry.MaybeValue()
		}
	}
	c.transactionVersion, err = readTransactionVersion(ctx, adm)
	return c, err
}

// readTopics asks a broker each time: what kadm tells of topics may be five seconds old, long enough to miss a topic that was
// just created.
func readTopics(ctx context.Context, cl *kgo.Client, names []string) (*cluster, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	md, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("read the topics of the cluster: %w", err)
	}
	c := &cluster{brokers: len(md.Brokers), topics: make(map[string]found)}
	for _, t := range md.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		switch {
		case t.Topic == nil || errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil && !kerr.IsRetriable(err):
			return nil, fmt.Errorf("read topic %s: %w", *t.Topic, err)
		}
		f := found{partitions: int32(len(t.Partitions)), id: t.TopicID, configs: make(map[string]string), leaderless: len(t.Partitions) == 0}
		for _, p := range t.Partitions {
			f.replication = int16(len(p.Replicas))
			f.leaderless = f.leaderless || p.Leader < 0
		}
		c.topics[*t.Topic] = f
	}
	return c, nil
}

// readTransactionVersion asks every broker and takes the lowest: during a rolling upgrade the cluster speaks what all speak.
func readTransactionVersion(ctx context.Context, adm *kadm.Client) (int, error) {
	all, err := adm.ApiVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the features of the cluster: %w", err)
	}
	lowest := -1
	var failure error
	for _, b := range all {
		if b.Err != nil {
			failure = fmt.Errorf("read the features of broker %d: %w", b.NodeID, b.Err)
			continue
		}
		level := 1
		for _, f := range b.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				level = max(level, int(f.MaxVersionLevel))
			}
		}
		if lowest < 0 || level < lowest {
			lowest = level
		}
	}
	if lowest < 0 {
		return 0, failure
	}
	return lowest, nil
}

// number reads a setting; what is no number counts as 0, which no check is satisfied with.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
