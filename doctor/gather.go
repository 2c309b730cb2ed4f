package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

const (
	// dialTimeout is for one connection. Who waits longer for a broker has a problem worth a line.
	dialTimeout = 5 * time.Second
	// askTimeout bounds one question, its retries included.
	askTimeout = 10 * time.Second
)

// The topics that brokers keep for themselves.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
)

// gathering is one examination under way.
type gathering struct {
	settings Settings
	module   *module.Module // the one of the settings, with what was found out of a bare one
	kafka    kafka.Settings
	client   *kgo.Client
	admin    *kadm.Client
	facts    *Facts
}

// Gather asks the brokers and the endpoints. What cannot be read is noted in the facts; the error is for settings that no
// client can be made of.
func Gather(ctx context.Context, clients kafka.Settings, s Settings) (*Facts, error) {
	client, err := clients.Open(append(patience(), readOnly(asking...))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	g := &gathering{settings: s, module: s.Module, kafka: clients, client: client, admin: kadm.NewClient(client), facts: begin(clients, s)}
	together(
		func() { g.seeds(ctx) },
		func() { g.cluster(ctx) },
		func() { g.elsewhere(ctx) },
		func() {
			if s.Endpoints {
				g.facts.Endpoints = probe(ctx, s.Module)
			}
		},
	)
	return g.facts, nil
}

// together runs steps that wait for different machines, and returns when all have ended. Each writes facts of its own.
func together(steps ...func()) {
	var running sync.WaitGroup
	for _, step := range steps {
		running.Go(step)
	}
	running.Wait()
}

// patience keeps a client from waiting long for what is not there.
func patience() []kgo.Opt {
	return []kgo.Opt{kgo.DialTimeout(dialTimeout), kgo.RequestRetries(3), kgo.RetryTimeout(askTimeout)}
}

func begin(clients kafka.Settings, s Settings) *Facts {
	id := s.Module.Application.ID
	f := &Facts{
		Application: id, Mailbox: topics.Mailbox(id), Changelog: topics.Changelog(id), Addresses: strings.Join(clients.Brokers(), ","),
		SessionTimeout: s.SessionTimeout, TransactionTimeout: s.TransactionTimeout, MaxStop: s.MaxStop,
		Protocol: module.GroupClassic, Topics: map[string]*Topic{}, Egresses: s.Egress, Bare: s.Module.Bare,
	}
	if s.Module.Application.GroupProtocol == module.GroupConsumer {
		f.Protocol = module.GroupConsumer
	}
	if f.SessionTimeout == 0 {
		f.SessionTimeout = clients.SessionTimeout()
	}
	if f.SessionTimeout == 0 {
		f.SessionTimeout = defaultSessionTimeout
	}
	if f.TransactionTimeout == 0 {
		f.TransactionTimeout = defaultTransactionTimeout
	}
	if f.MaxStop == 0 {
		f.MaxStop = defaultMaxStop
	}
	f.Ingresses = ingressesHere(s.Module)
	f.DeadLetter = s.Module.Application.DeadLetter.Topic
	if f.DeadLetter == "" {
		f.DeadLetter = id + "-dead-letter"
	}
	return f
}

// ingressesHere are the ingress topics of the application's cluster.
func ingressesHere(m *module.Module) (names []string) {
	for _, in := range m.Ingresses {
		for _, t := range in.Topics {
			if in.Elsewhere == nil {
				names = append(names, t.Topic)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// seeds asks each bootstrap address by itself: a list that names two clusters works until the first address is away.
func (g *gathering) seeds(ctx context.Context) {
	found := make([]Seed, len(g.kafka.Brokers()))
	var steps []func()
	for i, address := range g.kafka.Brokers() {
		steps = append(steps, func() { found[i] = g.seed(ctx, address) })
	}
	together(steps...)
	g.facts.Seeds = found
}

func (g *gathering) seed(ctx context.Context, address string) Seed {
	s := Seed{Address: address}
	client, err := g.kafka.Open(append(patience(), readOnly(planning...), kgo.SeedBrokers(address))...)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	defer client.Close()
	answer, err := metadata(ctx, client, nil)
	switch {
	case err != nil:
		s.Error = err.Error()
	case answer.ClusterID != nil:
		s.ClusterID = *answer.ClusterID
	}
	return s
}

// metadata asks for topics, of which none is created.
func metadata(ctx context.Context, client *kgo.Client, names []string) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{} // none; nil would be all
	r.AllowAutoTopicCreation, r.IncludeTopicAuthorizedOperations = false, true
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		r.Topics = append(r.Topics, t)
	}
	return r.RequestWith(ctx, client)
}

// cluster asks everything of the cluster, in the order in which later questions need earlier answers.
func (g *gathering) cluster(ctx context.Context) {
	f := g.facts
	g.discover(ctx)
	g.plan(ctx) // before the rest, for it tells which generation of the topics counts
	names := slices.Concat([]string{f.Mailbox, f.Changelog, f.DeadLetter, offsetsTopic, transactionsTopic}, f.Ingresses, f.Egresses)
	slices.Sort(names)
	answer, err := metadata(ctx, g.client, slices.Compact(names))
	if err != nil {
		f.Unreachable = err.Error()
		return
	}
	if answer.ClusterID != nil {
		f.ClusterID = *answer.ClusterID
	}
	for _, b := range answer.Brokers {
		f.Brokers = append(f.Brokers, Broker{ID: b.NodeID, Address: fmt.Sprintf("%s:%d", b.Host, b.Port)})
	}
	slices.SortFunc(f.Brokers, func(a, b Broker) int { return int(a.ID - b.ID) })
	for i := range answer.Topics {
		if t := newTopic(&answer.Topics[i]); t != nil {
			f.Topics[t.Name] = t
		}
	}
	g.brokers(ctx)
	g.operations(ctx)
	g.topicSettings(ctx)
	g.clock(ctx)
	g.group(ctx)
	g.transactions(ctx)
}

// brokers asks each broker at its advertised address.
func (g *gathering) brokers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	versions, err := g.admin.ApiVersions(ctx)
	var steps []func()
	for i := range g.facts.Brokers {
		b := &g.facts.Brokers[i]
		v, answered := versions[b.ID]
		switch {
		case err != nil:
			b.Error = err.Error()
		case !answered:
			b.Error = "it left the cluster while it was asked"
		case v.Err != nil:
			b.Error = v.Err.Error()
		default:
			b.learn(v)
			steps = append(steps, func() { b.Settings, b.SettingsError = g.brokerSettings(ctx, b.ID) })
		}
	}
	together(steps...)
}

func (b *Broker) learn(v kadm.BrokerApiVersions) {
	b.Release, b.Requests, b.Features = releaseOf(v), map[int16]int16{}, map[string]int16{}
	v.EachKeySorted(func(key, _, newest int16) { b.Requests[key] = newest })
	for _, feature := range v.Raw().FinalizedFeatures {
		b.Features[feature.Name] = feature.MaxVersionLevel
	}
}

// releaseOf tells the release of a broker. Since Kafka 3.3 the newest metadata.version that it could run tells it for sure;
// the requests that it knows leave a guess.
func releaseOf(v kadm.BrokerApiVersions) string {
	for _, supported := range v.Raw().SupportedFeatures {
		if supported.Name != metadataVersion {
			continue
		}
		for _, release := range kversion.VersionStrings() { // from the newest on
			if level := levelOf(release); level > 0 && level <= supported.MaxVersion {
				return release
			}
		}
	}
	return v.VersionGuess()
}

const metadataVersion = "metadata.version"

// levelOf is the newest metadata.version of a release, 0 for one that has none.
func levelOf(release string) (level int16) {
	kversion.FromString(release).EachSupportedFeature(func(name string, _, newest int16) {
		if name == metadataVersion {
			level = newest
		}
	})
	return level
}

func (g *gathering) brokerSettings(ctx context.Context, id int32) (values map[string]string, failure string) {
	described, err := g.admin.DescribeBrokerConfigs(ctx, id)
	return settingsOf(described, err)
}

func settingsOf(described kadm.ResourceConfigs, err error) (values map[string]string, failure string) {
	switch {
	case err != nil:
		return nil, err.Error()
	case len(described) != 1:
		return nil, "the broker's answer lacks the settings"
	case described[0].Err != nil:
		return nil, described[0].Err.Error()
	}
	values = map[string]string{}
	for _, c := range described[0].Configs {
		if c.Value != nil {
			values[c.Key] = *c.Value
		}
	}
	return values, ""
}

// operations asks what the user may do to the cluster.
func (g *gathering) operations(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := kmsg.NewPtrDescribeClusterRequest()
	r.IncludeClusterAuthorizedOperations = true
	answer, err := r.RequestWith(ctx, g.client)
	if err == nil && answer.ErrorCode == 0 {
		g.facts.ClusterOperations = operations(answer.ClusterAuthorizedOperations)
	}
}

// untold is what a broker answers that does not tell the user's rights.
const untold = -2147483648

func operations(bits int32) Operations { return Operations{Known: bits != untold, Bits: bits} }

func newTopic(m *kmsg.MetadataResponseTopic) *Topic {
	if m.Topic == nil {
		return nil
	}
	t := &Topic{Name: *m.Topic, Partitions: len(m.Partitions), Operations: operations(m.AuthorizedOperations)}
	err := kerr.ErrorForCode(m.ErrorCode)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return t
	case err != nil && !kerr.IsRetriable(err):
		t.Error = err.Error()
		return t
	}
	t.Exists = true
	for i, p := range m.Partitions {
		if p.Leader < 0 {
			t.Leaderless++
		}
		if i == 0 || len(p.Replicas) < t.Replication {
			t.Replication = len(p.Replicas)
		}
		if i == 0 || len(p.ISR) < t.InSync {
			t.InSync = len(p.ISR)
		}
	}
	return t
}

// topicSettings asks topic by topic, so that one that is forbidden hides none of the others.
func (g *gathering) topicSettings(ctx context.Context) {
	for _, t := range g.facts.Topics {
		if !t.Exists {
			continue
		}
		try, cancel := context.WithTimeout(ctx, askTimeout)
		described, err := g.admin.DescribeTopicConfigs(try, t.Name)
		cancel()
		t.Settings, t.SettingsError = settingsOf(described, err)
	}
}

// plan asks the room that checks the application's topics when a worker starts, so that there is one opinion of them.
// Making a plan ends with a trial of transactions, which would write. Its client here cannot send what the trial needs, and
// the trial gets no time; what is left is the plan.
func (g *gathering) plan(ctx context.Context) {
	client, err := g.kafka.Open(append(patience(), readOnly(planning...))...)
	if err != nil {
		g.facts.PlanError = err.Error()
		return
	}
	defer client.Close()
	options := topics.Options{Partitions: g.settings.Partitions, ProbeTimeout: -1}
	for _, name := range g.settings.Egress {
		options.Egress = append(options.Egress, topics.Topic{Name: name})
	}
	plan, err := topics.New(ctx, client, g.module, options)
	var problems topics.Errors
	switch {
	case plan == nil:
		g.facts.PlanError = err.Error()
	case errors.As(err, &problems):
		g.facts.Problems = problems
	}
	if g.facts.Plan = plan; plan != nil {
		g.facts.Mailbox, g.facts.Changelog, g.facts.DeadLetter = plan.MailboxName(), plan.ChangelogName(), plan.DeadLetterName()
	}
}

// clock compares this machine's clock with that of the active controller, the one clock that Kafka shows without a write: it
// describes itself as caught up at the moment of the question.
func (g *gathering) clock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := kmsg.NewPtrDescribeQuorumRequest()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic, t.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
	r.Topics = append(r.Topics, t)
	var best Clock
	for range 3 { // the first may pay for a new connection; the quickest is the most exact
		asked := time.Now()
		answer, err := r.RequestWith(ctx, g.client)
		took := time.Since(asked)
		if err != nil {
			best.Error = err.Error()
			break
		}
		told, err := controllerTime(answer)
		if err != nil {
			best.Error = err.Error()
			break
		}
		if c := compareClocks(asked, took, told); !best.Measured || c.Margin < best.Margin {
			best = c
		}
	}
	g.facts.Clock = best
}

// compareClocks takes the answer for one of the middle of the question, which is wrong by half of what it took at most; the
// answer is in whole milliseconds.
func compareClocks(asked time.Time, took time.Duration, told time.Time) Clock {
	return Clock{Measured: true, Ahead: asked.Add(took / 2).Sub(told), Margin: took/2 + time.Millisecond}
}

func controllerTime(answer *kmsg.DescribeQuorumResponse) (time.Time, error) {
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return time.Time{}, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return time.Time{}, errors.New("the answer lacks the controllers")
	}
	p := &answer.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return time.Time{}, err
	}
	for _, v := range p.CurrentVoters {
		if v.ReplicaID == p.LeaderID && v.LastCaughtUpTimestamp > 0 {
			return time.UnixMilli(v.LastCaughtUpTimestamp), nil
		}
	}
	return time.Time{}, errors.New("the brokers are older than Kafka 3.3 and do not tell")
}
