package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// brokersRetry is the pause between two attempts to reach brokers that are away.
const brokersRetry = 500 * time.Millisecond

// topicsAppear is how long a missing ingress topic is waited for: Kafka acknowledges the creation of a topic before all
// brokers know of it.
const topicsAppear = 3 * time.Second

// prepare waits for the brokers, creates and checks the topics, and opens the store and the producer.
func (w *Worker) prepare(ctx context.Context) (err error) {
	if w.admin, err = w.settings.Open(); err != nil {
		return err
	}
	for _, warning := range kafka.Warnings(w.Module) {
		w.log.Warn(warning.Error())
	}
	plan, cluster, err := w.planTopics(ctx)
	if err != nil {
		return err
	}
	w.plan = plan
	if err := w.openStore(cluster); err != nil {
		return err
	}
	w.names = names{
		mailbox: plan.MailboxName(), changelog: plan.ChangelogName(),
		worker:   w.store.Identity().WorkerID,
		topicIDs: plan.IDs(), maxRecordBytes: int(plan.MaxRecordBytes()),
	}
	id := w.changelogID()
	w.sends.prefix = fmt.Sprintf("%s/%x", w.ApplicationID, id[:4])
	w.catalog.Reserve(reserved(plan)...)
	if t, is := plan.Topic(topics.RoleDeadLetter); is {
		w.names.deadLetter, w.names.deadLetterPartitions, w.names.deadLetterBytes = t.Name, t.Partitions, t.MaxMessageBytes()
	}
	for _, t := range plan.Topics {
		if t.Role == topics.RoleIngress || t.Role == topics.RoleOwn {
			w.ingressTopics = append(w.ingressTopics, t)
			w.sizes.seen(t.Name, t.Partitions)
		}
	}
	w.lookups.client, w.lookups.admin, w.lookups.create = w.admin, kadm.NewClient(w.admin), w.CreateTopics
	w.log.Info("worker starts", "worker", w.names.worker, "application", w.ApplicationID, "partitions", plan.Partitions,
		"transaction_version", plan.TransactionVersion, "state", w.StateDir)
	if err := w.checkName(ctx); err != nil { // before the producers: opening them fences whoever has the name
		return err
	}
	return w.openProducers(ctx)
}

// reserved are the topics that no function may write to: the application's own, those that the program fills, and those
// from before a rescale.
func reserved(plan *topics.Plan) []string {
	names := []string{topics.RescaleJournal(plan.ApplicationID)}
	for generation := 1; generation <= plan.Generation(); generation++ {
		names = append(names, topics.MailboxOf(plan.ApplicationID, generation), topics.ChangelogOf(plan.ApplicationID, generation))
	}
	for _, t := range plan.Topics {
		if t.Role == topics.RoleOwn {
			names = append(names, t.Name)
		}
	}
	return names
}

// planTopics checks and creates the topics, and tries again for as long as the cluster cannot be reached; it says so
// once.
func (w *Worker) planTopics(ctx context.Context) (plan *topics.Plan, cluster string, err error) {
	said, began := false, time.Now()
	for {
		plan, cluster, err = w.tryTopics(ctx)
		incomplete := plan != nil && plan.Incomplete() && time.Since(began) < topicsAppear
		switch {
		case err == nil || ctx.Err() != nil:
			return plan, cluster, err
		case incomplete:
		case plan != nil || !kafka.Unreachable(err):
			return nil, "", err
		case !said:
			w.log.Warn("waiting for the brokers", "brokers", w.Brokers, "error", err)
			w.unready("the brokers cannot be reached")
			said = true
		}
		if !pause(ctx, brokersRetry) {
			return nil, "", ctx.Err()
		}
	}
}

// tryTopics gives the plan beside an error only for settings that somebody has to mend.
func (w *Worker) tryTopics(ctx context.Context) (*topics.Plan, string, error) {
	m := *w.Module
	m.Application.ID = w.ApplicationID
	plan, err := topics.New(ctx, w.admin, &m, topics.Options{CreateIngress: w.CreateTopics})
	if err != nil {
		return plan, "", err
	}
	if err := plan.Create(ctx, w.admin); err != nil {
		return nil, "", err
	}
	metadata, err := kadm.NewClient(w.admin).BrokerMetadata(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("read the cluster's metadata: %w", err)
	}
	return plan, metadata.Cluster, nil
}

func (w *Worker) openStore(cluster string) (err error) {
	limits := w.Module.Application.Limits
	o := state.Options{
		Dir: w.StateDir, FS: w.FileSystem, ApplicationID: w.ApplicationID, WorkerID: w.WorkerID, ClusterID: cluster,
		CacheBytes: limits.StateCacheBytes, Logger: w.log, Registerer: w.Registerer,
	}
	if w.WipeOtherCluster {
		o.OtherCluster = state.WipeOtherCluster
	}
	w.store, err = state.Open(o)
	return err
}

// pause waits for d and reports whether ctx is not done.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
