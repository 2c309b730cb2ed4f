package topics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// probePause is between two tries while the coordinator of transactions is not there yet.
	probePause = 100 * time.Millisecond

	// diagnoseTimeout bounds the look at the brokers' settings after a failed probe.
	diagnoseTimeout = 2 * time.Second

	// coordinatorOfTransactions is the key type of a FindCoordinator request.
	coordinatorOfTransactions = 1
)

// probeTransactions asks for a producer id under a transactional id that nothing else uses. A cluster that cannot give one
// — mostly a single node whose topic of transactions wants three copies — would otherwise hang the worker's first commit.
// refusal is the cluster's fault, err a passing one.
func probeTransactions(ctx context.Context, cl *kgo.Client, applicationID string, timeout time.Duration) (refusal, err error) {
	if timeout == 0 {
		timeout = defaultProbeTimeout
	}
	id := applicationID + "-probe"
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errors.New("no answer")
	for {
		err := initProducer(bounded, cl, id)
		switch {
		case err == nil, errors.Is(err, kerr.ConcurrentTransactions): // another worker tries just now: transactions work
			return nil, nil
		case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
			return fmt.Errorf("try a transaction with transactional id %s: %w: allow Write and Describe on transactional ids that begin with %s-", id, err, applicationID), nil
		case ctx.Err() != nil, !kerr.IsRetriable(err) && bounded.Err() == nil:
			return nil, fmt.Errorf("try a transaction with transactional id %s: %w", id, err)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-time.After(probePause):
		case <-bounded.Done():
			facts, err := diagnose(ctx, cl)
			if err != nil {
				return nil, fmt.Errorf("try a transaction with transactional id %s: %w", id, err)
			}
			return fmt.Errorf("the cluster gives no transactions: none for transactional id %s within %s (%w); found %s: %s", id, timeout, last, facts, wayOut), nil
		}
	}
}

// initProducer looks the coordinator up itself: the client would retry a missing one silently until the time is over, and the
// reason would be lost.
func initProducer(ctx context.Context, cl *kgo.Client, id string) error {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorType, find.CoordinatorKey, find.CoordinatorKeys = coordinatorOfTransactions, id, []string{id}
	coordinator, err := find.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(coordinator.ErrorCode); err != nil {
		return err
	}
	for _, c := range coordinator.Coordinators {
		if err := kerr.ErrorForCode(c.ErrorCode); err != nil {
			return err
		}
	}
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = kmsg.StringPtr(id)
	req.TransactionTimeoutMillis = int32((10 * time.Second).Milliseconds())
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// wayOut is for the reason that it nearly always is.
const wayOut = "a cluster of one broker needs transaction.state.log.replication.factor=1 and transaction.state.log.min.isr=1 (and offsets.topic.replication.factor=1) in its settings; " +
	"set them, delete what was created with others, and restart the broker"

// diagnose tells what the brokers say of the two settings; an error means that they cannot be reached.
func diagnose(ctx context.Context, cl *kgo.Client) (facts string, err error) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	md, err := req.RequestWith(ctx, cl)
	if err != nil {
		return "", fmt.Errorf("reach the brokers: %w", err)
	}
	list := []string{fmt.Sprintf("brokers: %d", len(md.Brokers))}
	if len(md.Brokers) == 0 {
		return list[0], nil
	}
	configs, err := kadm.NewClient(cl).DescribeBrokerConfigs(ctx, md.Brokers[0].NodeID)
	if err != nil {
		// Not everybody may read these; the number of brokers says most of it.
		return list[0], nil
	}
	for _, r := range configs {
		for _, c := range r.Configs {
			if c.Key == "transaction.state.log.replication.factor" || c.Key == "transaction.state.log.min.isr" {
				list = append(list, c.Key+"="+c.MaybeValue())
			}
		}
	}
	return strings.Join(list, ", "), nil
}
