package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/worker"
)

// group asks for the consumer group.
func (g *gathering) group(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	group := &g.facts.Group
	kinds, err := g.groupKinds(ctx)
	if err != nil {
		group.Error = err.Error()
	}
	group.Kind = kinds[g.facts.Application]
	// The first question for a coordinator would create the topic of groups.
	group.Asked = g.exists(offsetsTopic) || len(kinds) > 0
	if !group.Asked {
		return
	}
	group.Error = ""
	if group.Kind == module.GroupConsumer {
		err = g.consumerGroup(ctx, group)
	} else {
		err = g.classicGroup(ctx, group)
	}
	if err != nil {
		group.Error = err.Error()
	}
	g.facts.protocolThatRuns()
}

// groupKinds are the groups that the user may see, with their kind where the broker tells it. Every broker lists those that
// it coordinates; an error is returned when none answered.
func (g *gathering) groupKinds(ctx context.Context) (map[string]string, error) {
	kinds := map[string]string{}
	var failure error
	answered := false
	for _, shard := range g.client.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			failure = shard.Err
			continue
		}
		answer := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			failure = err
			continue
		}
		answered = true
		for _, listed := range answer.Groups {
			kinds[listed.Group] = strings.ToLower(listed.GroupType)
		}
	}
	if answered {
		return kinds, nil
	}
	return kinds, failure
}

func (g *gathering) exists(topic string) bool {
	t := g.facts.Topics[topic]
	return t != nil && t.Exists
}

func (g *gathering) classicGroup(ctx context.Context, group *Group) error {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups, r.IncludeAuthorizedOperations = []string{g.facts.Application}, true
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return err
	}
	if len(answer.Groups) != 1 {
		return errors.New("the broker's answer lacks the group")
	}
	found := &answer.Groups[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return err
	}
	group.State, group.Operations = found.State, operations(found.AuthorizedOperations)
	for _, m := range found.Members {
		member := Member{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost}
		if m.InstanceID != nil {
			member.Name = *m.InstanceID
		}
		var subscription kmsg.ConsumerMemberMetadata
		if len(m.ProtocolMetadata) > 0 && subscription.ReadFrom(m.ProtocolMetadata) == nil {
			member.Topics = subscription.Topics
			if _, err := balance.ParseLocal(subscription.UserData); err != nil {
				member.Strange = err.Error()
			}
		}
		group.Members = append(group.Members, member)
	}
	return nil
}

func (g *gathering) consumerGroup(ctx context.Context, group *Group) error {
	r := kmsg.NewPtrConsumerGroupDescribeRequest()
	r.Groups, r.IncludeAuthorizedOperations = []string{g.facts.Application}, true
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return err
	}
	if len(answer.Groups) != 1 {
		return errors.New("the broker's answer lacks the group")
	}
	found := &answer.Groups[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return err
	}
	group.State, group.Operations = found.State, operations(found.AuthorizedOperations)
	for _, m := range found.Members {
		name, _ := worker.ParseClientID(m.ClientID) // workers have no instance id here
		group.Members = append(group.Members, Member{ID: m.MemberID, Name: name, Client: m.ClientID, Host: m.ClientHost, Topics: m.SubscribedTopics})
	}
	return nil
}

// transactions asks which transactions are open on the topics, and whose they are.
func (g *gathering) transactions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout)
	defer cancel()
	found := &g.facts.Transactions
	for _, t := range g.facts.Topics {
		if t.written() {
			found.Open = append(found.Open, g.openOn(ctx, t)...)
		}
	}
	var ids []int64
	for _, o := range found.Open {
		ids = append(ids, o.ProducerID)
	}
	listed, err := g.admin.ListTransactions(ctx, ids, nil)
	if err != nil && len(listed) == 0 {
		found.ListError = err.Error()
	}
	if !g.exists(transactionsTopic) && len(listed) == 0 {
		return // the first question for a coordinator would create the topic
	}
	g.describeRight(ctx)
	g.name(ctx, listed)
}

func (g *gathering) openOn(ctx context.Context, t *Topic) (open []OpenTransaction) {
	set := kadm.TopicsSet{}
	for p := range int32(t.Partitions) {
		set.Add(t.Name, p)
	}
	if len(set) == 0 {
		return nil
	}
	described, err := g.admin.DescribeProducers(ctx, set)
	if err != nil {
		t.ProducersError = err.Error()
	}
	for _, p := range described.SortedPartitions() {
		if p.Err != nil {
			t.ProducersError = p.Err.Error()
		}
	}
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset < 0 {
			continue
		}
		open = append(open, OpenTransaction{
			Topic: p.Topic, Partition: p.Partition, StartOffset: p.CurrentTxnStartOffset, ProducerID: p.ProducerID,
			ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: p.CoordinatorEpoch, Age: time.Since(time.UnixMilli(p.LastTimestamp)),
		})
	}
	return open
}

// name adds what the coordinators know of the open transactions.
func (g *gathering) name(ctx context.Context, listed kadm.ListedTransactions) {
	open := g.facts.Transactions.Open
	for _, l := range listed.Sorted() {
		described, err := g.admin.DescribeTransactions(ctx, l.TxnID)
		d, known := described[l.TxnID]
		if err != nil || !known || d.Err != nil || d.StartTimestamp <= 0 || d.State == "CompleteCommit" || d.State == "CompleteAbort" {
			continue
		}
		for i := range open {
			if o := &open[i]; o.ProducerID == l.ProducerID {
				o.TransactionalID = l.TxnID
				o.Timeout = time.Duration(d.TimeoutMillis) * time.Millisecond
				o.Age = time.Since(time.UnixMilli(d.StartTimestamp))
			}
		}
	}
}

// describeRight asks for a transactional id that no worker has: that it is not found proves the right to look.
func (g *gathering) describeRight(ctx context.Context) {
	id := fmt.Sprintf("%s-doctor-0", g.facts.Application)
	described, err := g.admin.DescribeTransactions(ctx, id)
	if err == nil {
		err = described[id].Err
	}
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		g.facts.Transactions.DescribeRight = "no"
	case err == nil, errors.Is(err, kerr.TransactionalIDNotFound):
		g.facts.Transactions.DescribeRight = "yes"
	}
}
