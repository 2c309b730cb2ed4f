package rescale

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/topics"
)

const (
	// topicPatience bounds the wait for a topic to come or to go.
	topicPatience = 60 * time.Second
	topicRetry    = 50 * time.Millisecond
	topicTimeout  = 30 * time.Second

	// roomForRow is what an unread message may grow by when it becomes a row of the changelog: its key has the whole
	// address in place of the id. It is the room that a record from an ingress gets too.
	roomForRow = 64 << 10

	maxMessageBytes = "max.message.bytes"
)

func text(s string) *string { return &s }

// anyTopic is a topic of the application that no run deletes.
func (j *job) anyTopic(ctx context.Context) (string, error) {
	g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
	if err != nil {
		return "", err
	}
	for generation := 1; generation <= g.Current; generation++ {
		for _, name := range []string{topics.MailboxOf(j.ApplicationID, generation), topics.ChangelogOf(j.ApplicationID, generation)} {
			if _, is := g.Topics[name]; is {
				return name, nil
			}
		}
	}
	return "", refuse("there is no application %s on this cluster: it has no topics", j.ApplicationID)
}

// create makes the topics of the next generation, with the settings that the old ones were given.
func (j *job) create(ctx context.Context) error {
	configs, err := j.adm.DescribeTopicConfigs(ctx, j.from.changelog, j.from.mailbox)
	if err != nil {
		return fmt.Errorf("read the settings of %s and %s: %w", j.from.changelog, j.from.mailbox, err)
	}
	given := map[string]map[string]*string{}
	for _, c := range configs {
		if c.Err != nil {
			return fmt.Errorf("read the settings of topic %s: %w", c.Name, c.Err)
		}
		given[c.Name] = map[string]*string{}
		for _, setting := range c.Configs {
			if setting.Source == kmsg.ConfigSourceDynamicTopicConfig && setting.Value != nil {
				given[c.Name][setting.Key] = setting.Value
			}
		}
		if given[c.Name][maxMessageBytes] == nil {
			given[c.Name][maxMessageBytes] = settingOf(c, maxMessageBytes)
		}
	}
	changelog, mailbox := given[j.from.changelog], given[j.from.mailbox]
	size := max(bytesOf(changelog[maxMessageBytes]), bytesOf(mailbox[maxMessageBytes])+roomForRow)
	changelog[maxMessageBytes] = text(strconv.Itoa(size))
	j.writer.limit(j.to.changelog, int32(size))
	j.writer.limit(j.to.mailbox, int32(bytesOf(mailbox[maxMessageBytes])))
	if err := j.createTopic(ctx, j.to.changelog, j.to.partitions, changelog); err != nil {
		return err
	}
	if err := j.At("create/changelog"); err != nil {
		return err
	}
	return j.createTopic(ctx, j.to.mailbox, j.to.partitions, mailbox)
}

func settingOf(c kadm.ResourceConfig, key string) *string {
	for _, setting := range c.Configs {
		if setting.Key == key {
			return setting.Value
		}
	}
	return nil
}

func bytesOf(setting *string) int {
	if setting == nil {
		return plainBatch
	}
	n, err := strconv.Atoi(*setting)
	if err != nil {
		return plainBatch
	}
	return n
}

// createTopic creates a topic and waits until it can be used. A name whose topic is being deleted is waited for.
func (j *job) createTopic(ctx context.Context, name string, partitions int32, configs map[string]*string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, topicPatience, fmt.Errorf("not there after %s", topicPatience))
	defer cancel()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(topicTimeout.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, j.existing[j.from.changelog].Replication
	for _, key := range slices.Sorted(maps.Keys(configs)) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, configs[key]
		t.Configs = append(t.Configs, c)
	}
	request.Topics = append(request.Topics, t)
	for {
		answer, err := request.RequestWith(ctx, j.admin)
		if err == nil && len(answer.Topics) == 1 {
			err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
		}
		exists := errors.Is(err, kerr.TopicAlreadyExists)
		if err != nil && !exists && !kerr.IsRetriable(err) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
		g, look := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
		if found, is := g.Topics[name]; look == nil && is && found.Usable {
			if found.Partitions != partitions {
				return fmt.Errorf("create topic %s: it exists with %d partitions: delete it", name, found.Partitions)
			}
			j.existing = g.Topics
			return nil
		}
		if !pause(ctx, topicRetry) {
			return fmt.Errorf("create topic %s: %w", name, errors.Join(context.Cause(ctx), err, look))
		}
	}
}

// deleteTopics deletes those of the topics that exist, and waits until they are gone. It names them by their ids: a run that
// was stopped for a while and wakes up behind another one must not delete what that one has created.
func (j *job) deleteTopics(ctx context.Context, existing map[string]topics.Existing, names []string) (deleted []string, err error) {
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.TimeoutMillis = int32(topicTimeout.Milliseconds())
	for _, name := range names {
		if t, is := existing[name]; is {
			r := kmsg.NewDeleteTopicsRequestTopic()
			r.TopicID = t.ID
			request.Topics = append(request.Topics, r)
			deleted = append(deleted, name)
		}
	}
	if len(deleted) == 0 {
		return nil, nil
	}
	answer, err := request.RequestWith(ctx, j.admin)
	if err != nil {
		return nil, fmt.Errorf("delete the topics %v: %w", deleted, err)
	}
	for _, t := range answer.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownTopicID) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, fmt.Errorf("delete the topics %v: %w", deleted, err)
		}
	}
	return deleted, j.awaitGone(ctx, existing, deleted)
}

func (j *job) awaitGone(ctx context.Context, before map[string]topics.Existing, names []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, topicPatience, fmt.Errorf("still there after %s", topicPatience))
	defer cancel()
	for {
		g, err := topics.FindGenerations(ctx, j.admin, j.ApplicationID)
		still := slices.ContainsFunc(names, func(name string) bool { return g.Topics[name].ID == before[name].ID })
		if err == nil && !still {
			return nil
		}
		if !pause(ctx, topicRetry) {
			return fmt.Errorf("delete the topics %v: %w", names, errors.Join(context.Cause(ctx), err))
		}
	}
}
