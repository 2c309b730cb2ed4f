package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	// The key types of a FindCoordinator request.
	coordinatorOfGroups       = 0
	coordinatorOfTransactions = 1
)

// probeTransactions asks for a producer id under a transactional id that nothing else uses, and for the coordinator of the
// group, whose offsets every transaction commits. A cluster that cannot give them — mostly a single node whose topic of
// transactions, or of offsets, wants three copies — would otherwise hang the worker's first commit, or its join. refusal is the
// cluster's fault, err a passing one.
func probeTransactions(ctx context.Context, cl *kgo.Client, applicationID string, timeout time.Duration) (refusal, err error) {
	if timeout == 0 {
		timeout = defaultProbeTimeout
	}
	id := applicationID + "-probe"
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errors.New("no answer")
	for {
		lacks, err := "transactional id "+id, initProducer(bounded, cl, id)
		if err == nil || errors.Is(err, kerr.ConcurrentTransactions) { // another worker tries just now: transactions work
			lacks, err = "the offsets of group "+applicationID, findCoordinator(bounded, cl, coordinatorOfGroups, applicationID)
		}
		switch {
		case err == nil, errors.Is(err, kerr.GroupAuthorizationFailed): // the worker refuses that by its name
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
			return fmt.Errorf("the cluster gives no transactions: none for %s within %s (%w); found %s: %s", lacks, timeout, last, facts, wayOut), nil
		}
	}
}

// initProducer looks the coordinator up itself: the client would retry a missing one silently until the time is over, and the
// reason would be lost.
func initProducer(ctx context.Context, cl *kgo.Client, id string) error {
	if err := findCoordinator(ctx, cl, coordinatorOfTransactions, id); err != nil {
		return err
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

func findCoordinator(ctx context.Context, cl *kgo.Client, kind int8, key string) error {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorType, find.CoordinatorKey, find.CoordinatorKeys = kind, key, []string{key}
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
	return nil
}

// wayOut is for the reason that it nearly always is.
const wayOut = "a cluster of one broker needs transaction.state.log.replication.factor=1 and transaction.state.log.min.isr=1 (and offsets.topic.replication.factor=1) in its settings; " +
	"set them, delete what was created with others, and restart the broker"

// askedOfTransactions are the settings whose values a refusal shows.
var askedOfTransactions = []string{"transaction.state.log.replication.factor", "transaction.state.log.min.isr", "offsets.topic.replication.factor"}

// diagnose tells what the brokers say of those settings; an error means that they cannot be reached.
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
			if slices.Contains(askedOfTransactions, c.Key) {
				list = append(list, c.Key+"="+c.MaybeValue())
			}
		}
	}
	return strings.Join(list, ", "), nil
}
