package topics_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

type bench struct {
	*kfake.Cluster
	cl *kgo.Client
}

func open(t *testing.T, opts ...kfake.Opt) bench {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return bench{c, cl}
}

func (b bench) create(t *testing.T, name string, partitions int32, configs map[string]string) {
	t.Helper()
	if err := b.CreateTopic(name, partitions, configs); err != nil {
		t.Fatal(err)
	}
}

// app is a module with one ingress that reads the given topics.
func app(ingressTopics ...string) *module.Module {
	m := &module.Module{Application: module.Application{ID: "app"}}
	in := module.Ingress{ID: protocol.TypeName{Namespace: "greeter", Name: "names"}}
	for _, t := range ingressTopics {
		in.Topics = append(in.Topics, module.IngressTopic{Topic: t})
	}
	m.Ingresses = []module.Ingress{in}
	return m
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func plan(t *testing.T, b bench, m *module.Module, opt topics.Options) *topics.Plan {
	t.Helper()
	p, err := topics.New(deadline(t), b.cl, m, opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configOf(t *testing.T, b bench, topic, key string) string {
	t.Helper()
	all, err := kadm.NewClient(b.cl).DescribeTopicConfigs(deadline(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all[0].Configs {
		if c.Key == key {
			return c.MaybeValue()
		}
	}
	return ""
}

func TestPlanOfANewApplication(t *testing.T) {
	b := open(t)
	b.create(t, "names", 6, map[string]string{"max.message.bytes": "2000000"})
	b.create(t, "more", 3, nil)
	p := plan(t, b, app("names", "more"), topics.Options{})

	if p.Partitions != 6 {
		t.Errorf("%d partitions, want those of the largest ingress topic, 6", p.Partitions)
	}
	if want := int32(2000000 + 64<<10); p.MaxRecordBytes() != want {
		t.Errorf("records up to %d bytes, want %d: the largest of the ingress topics and the envelope", p.MaxRecordBytes(), want)
	}
	if len(p.Missing()) != 3 {
		t.Errorf("missing %v, want the three topics of the application", p.Missing())
	}
	if p.TransactionVersion != 2 {
		t.Errorf("transaction version %d, want 2", p.TransactionVersion)
	}
	want := map[string]struct {
		partitions int32
		configs    string
	}{
		"app-mailbox":     {6, "map[cleanup.policy:delete max.message.bytes:2065536 retention.bytes:-1 retention.ms:-1]"},
		"app-changelog":   {6, "map[cleanup.policy:compact delete.retention.ms:86400000 max.message.bytes:2065536 min.cleanable.dirty.ratio:0.1 retention.bytes:-1 retention.ms:-1 segment.bytes:67108864 segment.ms:600000]"},
		"app-dead-letter": {1, "map[cleanup.policy:delete max.message.bytes:2065536 retention.ms:1209600000]"},
	}
	for _, topic := range p.Missing() {
		w := want[topic.Name]
		if topic.Partitions != w.partitions || fmt.Sprint(topic.Configs) != w.configs || topic.Replication != -1 {
			t.Errorf("%s: %d partitions, replication %d, %v; want %d, -1, %s", topic.Name, topic.Partitions, topic.Replication, topic.Configs, w.partitions, w.configs)
		}
	}
	if warnings := strings.Join(p.Warnings, "\n"); !strings.Contains(warnings, "ingress topic more has 3 partitions, the application 6") || strings.Contains(warnings, "names") {
		t.Errorf("warnings %q, want one for the topic that is not aligned", warnings)
	}
}

func TestPartitionCountIsTaken(t *testing.T) {
	tests := []struct {
		name     string
		module   int
		option   int32
		existing int32
		want     int32
	}{
		{"from the largest ingress topic", 0, 0, 0, 4},
		{"from the module before that", 7, 0, 0, 7},
		{"from the option before that", 7, 9, 0, 9},
		{"from the topics that exist when nothing is given, though the ingress grew", 0, 0, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t)
			b.create(t, "names", 4, nil)
			m := app("names")
			if tt.existing > 0 {
				if err := plan(t, b, m, topics.Options{Partitions: tt.existing}).Create(deadline(t), b.cl); err != nil {
					t.Fatal(err)
				}
			}
			m.Application.Partitions = tt.module
			if p := plan(t, b, m, topics.Options{Partitions: tt.option}); p.Partitions != tt.want {
				t.Fatalf("%d partitions, want %d", p.Partitions, tt.want)
			}
		})
	}
}

func TestCreateMakesWhatNextPlanAccepts(t *testing.T) {
	b := open(t)
	m := app("names")
	opt := topics.Options{CreateIngress: true, IngressPartitions: 3, Egress: []topics.Topic{{Name: "greetings", Partitions: 2}}}
	p := plan(t, b, m, opt)
	if err := p.Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
	if len(p.Missing()) != 0 {
		t.Errorf("missing after creation: %v", p.Missing())
	}
	again := plan(t, b, m, topics.Options{})
	for name, want := range map[string]int32{"app-mailbox": 3, "app-changelog": 3, "app-dead-letter": 1, "names": 3} {
		info := b.TopicInfo(name)
		if info == nil {
			t.Fatalf("topic %s was not created", name)
		}
		if got := int32(len(b.PartitionInfos(name))); got != want {
			t.Errorf("topic %s has %d partitions, want %d", name, got, want)
		}
		if id, ok := again.IDs()[name]; !ok || id == [16]byte{} || id != p.IDs()[name] {
			t.Errorf("topic %s has id %x in one plan and %x in the next", name, p.IDs()[name], id)
		}
	}
	if got := len(b.PartitionInfos("greetings")); got != 2 {
		t.Errorf("egress topic has %d partitions, want 2", got)
	}
	if got := configOf(t, b, "app-changelog", "cleanup.policy"); got != "compact" {
		t.Errorf("changelog's policy is %q", got)
	}
	if got := configOf(t, b, "app-mailbox", "retention.ms"); got != "-1" {
		t.Errorf("mailbox' retention is %q", got)
	}
	if again.TombstoneRetention != 24*time.Hour {
		t.Errorf("tombstones stay %s, want a day", again.TombstoneRetention)
	}
}

func TestCreateAcceptsThatAnotherWorkerWasFirst(t *testing.T) {
	b := open(t)
	b.create(t, "names", 2, nil)
	first, second := plan(t, b, app("names"), topics.Options{}), plan(t, b, app("names"), topics.Options{})
	for _, p := range []*topics.Plan{first, second} {
		if err := p.Create(deadline(t), b.cl); err != nil {
			t.Fatal(err)
		}
	}
}

// The brokers of a cluster learn of a new topic one after the other, and each request may go to another one.
func TestCreateIsNotMisledByABrokerThatDoesNotKnowTheTopicsYet(t *testing.T) {
	for late := 1; late <= 3; late++ { // the look at which the broker is one that lags
		b := open(t)
		b.create(t, "names", 2, nil)
		p := plan(t, b, app("names"), topics.Options{})
		looks := 0
		b.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.KeepControl()
			if len(req.(*kmsg.MetadataRequest).Topics) == 0 || b.TopicInfo("app-changelog") == nil {
				return nil, nil, false
			}
			if looks++; looks != late {
				return nil, nil, false
			}
			return b.unaware(req.(*kmsg.MetadataRequest)), nil, true
		})
		if err := p.Create(deadline(t), b.cl); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"names", p.ChangelogName(), p.MailboxName(), p.DeadLetterName()} {
			if p.IDs()[name] == [16]byte{} {
				t.Errorf("the broker lags at look %d: topic %s has no id", late, name)
			}
		}
	}
}

// unaware is the answer of a broker that knows of no topic of the application's own.
func (b bench) unaware(req *kmsg.MetadataRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	host, port, _ := net.SplitHostPort(b.ListenAddrs()[0])
	n, _ := strconv.Atoi(port)
	resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: 0, Host: host, Port: int32(n)})
	for _, t := range req.Topics {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = t.Topic, kerr.UnknownTopicOrPartition.Code
		if known := b.TopicInfo(*t.Topic); known != nil && !strings.HasPrefix(*t.Topic, "app-") {
			partition := kmsg.NewMetadataResponseTopicPartition()
			partition.Replicas = []int32{0}
			topic.ErrorCode, topic.TopicID = 0, known.TopicID
			topic.Partitions = []kmsg.MetadataResponseTopicPartition{partition}
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func TestCreateRefusesWhatAnotherMadeDifferently(t *testing.T) {
	b := open(t)
	b.create(t, "names", 2, nil)
	p := plan(t, b, app("names"), topics.Options{})
	b.create(t, "app-changelog", 5, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"})
	if err := p.Create(deadline(t), b.cl); err == nil || !strings.Contains(err.Error(), "app-changelog: max.message.bytes") {
		t.Fatalf("error %v, want the changelog's settings", err)
	}
}

func TestWrongSettingsAreNamedTogetherWithTheCommandThatMendsThem(t *testing.T) {
	b := open(t)
	b.create(t, "names", 4, nil)
	b.create(t, "app-mailbox", 3, map[string]string{"cleanup.policy": "compact", "retention.ms": "86400000", "max.message.bytes": "2000000"})
	b.create(t, "app-changelog", 4, map[string]string{"cleanup.policy": "delete", "retention.bytes": "1000"})
	b.create(t, "app-dead-letter", 7, map[string]string{"cleanup.policy": "compact,delete"})
	p, err := topics.New(deadline(t), b.cl, app("names"), topics.Options{})
	if err == nil || p == nil {
		t.Fatalf("plan %v, error %v", p, err)
	}
	alter := "mend it with: kafka-configs.sh --bootstrap-server " + b.ListenAddrs()[0] + " --alter --entity-type topics --entity-name "
	size := "at least 1114124 (the largest of the ingress topics, and 65536 for the envelope)"
	want := []string{
		"topic app-mailbox: partitions is 3, want 4; mend it with: 3 as partitions in the application document",
		"topic app-mailbox: retention.ms is 86400000, want -1; " + alter + "app-mailbox --add-config retention.ms=-1",
		"topic app-mailbox: cleanup.policy is compact, want delete; " + alter + "app-mailbox --add-config cleanup.policy=delete",
		"topic app-changelog: retention.ms is 604800000, want -1; " + alter + "app-changelog --add-config retention.ms=-1",
		"topic app-changelog: retention.bytes is 1000, want -1; " + alter + "app-changelog --add-config retention.bytes=-1",
		"topic app-changelog: cleanup.policy is delete, want compact; " + alter + "app-changelog --add-config cleanup.policy=compact",
		"topic app-changelog: max.message.bytes is 1048588, want " + size + "; " + alter + "app-changelog --add-config max.message.bytes=1114124",
		"topic app-dead-letter: cleanup.policy is compact,delete, want delete; " + alter + "app-dead-letter --add-config cleanup.policy=delete",
		"topic app-dead-letter: max.message.bytes is 1048588, want " + size + "; " + alter + "app-dead-letter --add-config max.message.bytes=1114124",
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(got), len(want), err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("lacks %q:\n%v", w, err)
		}
	}
}

func TestMendedSettingsAreAccepted(t *testing.T) {
	b := open(t)
	b.create(t, "names", 4, nil)
	b.create(t, "app-changelog", 4, map[string]string{"cleanup.policy": "compact", "max.message.bytes": "9000000", "delete.retention.ms": "3600000"})
	if _, err := topics.New(deadline(t), b.cl, app("names"), topics.Options{}); err == nil {
		t.Fatal("a changelog with a week's retention was accepted")
	}
	alter := []kadm.AlterConfig{{Name: "retention.ms", Value: kmsg.StringPtr("-1")}}
	if _, err := kadm.NewClient(b.cl).AlterTopicConfigs(deadline(t), alter, "app-changelog"); err != nil {
		t.Fatal(err)
	}
	p := plan(t, b, app("names"), topics.Options{})
	if p.TombstoneRetention != time.Hour {
		t.Errorf("tombstones stay %s, want the topic's hour", p.TombstoneRetention)
	}
	if want := int32(1048588 + 64<<10); p.MaxRecordBytes() != want {
		t.Errorf("records up to %d bytes, want the smallest of the three, %d", p.MaxRecordBytes(), want)
	}
}

func TestMissingIngressTopicIsAnErrorWithTwoWaysOut(t *testing.T) {
	b := open(t)
	_, err := topics.New(deadline(t), b.cl, app("names"), topics.Options{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"topic names: ingress topic of greeter/names is missing", "kafka-topics.sh --bootstrap-server " + b.ListenAddrs()[0] + " --create --topic names --partitions 4", "--create-ingress"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestModuleWithoutIngressNeedsAPartitionCount(t *testing.T) {
	b := open(t)
	if _, err := topics.New(deadline(t), b.cl, app(), topics.Options{}); err == nil || !strings.Contains(err.Error(), "give partitions") {
		t.Fatalf("error %v", err)
	}
	if p := plan(t, b, app(), topics.Options{Partitions: 2}); p.Partitions != 2 {
		t.Fatalf("%d partitions", p.Partitions)
	}
}

func TestApplicationIDThatCannotNameTopicsIsRefused(t *testing.T) {
	b := open(t)
	for id, want := range map[string]string{"": "has no id", "my app": `"my app" cannot begin a topic name`, strings.Repeat("a", 238): "at most 237"} {
		m := app("names")
		m.Application.ID = id
		if _, err := topics.New(deadline(t), b.cl, m, topics.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("id %.20q: error %v, want %q", id, err, want)
		}
	}
}

func TestTransactionVersionOfAnOlderKafkaIsOne(t *testing.T) {
	b := open(t, kfake.MaxVersions(kversion.FromString("v3.9")))
	b.create(t, "names", 1, nil)
	if p := plan(t, b, app("names"), topics.Options{}); p.TransactionVersion != 1 {
		t.Fatalf("transaction version %d, want 1", p.TransactionVersion)
	}
}

func TestReplicationBeyondTheClusterIsExplained(t *testing.T) {
	b := open(t)
	b.create(t, "names", 1, nil)
	err := plan(t, b, app("names"), topics.Options{Replication: 3}).Create(deadline(t), b.cl)
	if err == nil || !strings.Contains(err.Error(), "create topic app-mailbox") || !strings.Contains(err.Error(), "replication factor that the cluster has brokers for") {
		t.Fatalf("error %v", err)
	}
}

func TestClusterWithoutTransactionsIsRefusedInBoundedTime(t *testing.T) {
	tests := []struct {
		name  string
		fault kfake.Fault
		want  []string
	}{
		{"no coordinator, as when the topic of transactions cannot be created",
			kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: -1},
			[]string{"gives no transactions", "app-probe", "COORDINATOR_NOT_AVAILABLE", "brokers: 1", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1"}},
		{"coordinator that cannot write, as when too few copies are in sync",
			kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.CoordinatorNotAvailable, Count: -1},
			[]string{"gives no transactions", "app-probe", "transaction.state.log.min.isr=1"}},
		{"no right to the transactional id",
			kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed, Count: -1},
			[]string{"transactional ids that begin with app-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t)
			b.create(t, "names", 1, nil)
			defer b.Fault(tt.fault).Remove()
			_, err := topics.New(deadline(t), b.cl, app("names"), topics.Options{ProbeTimeout: 700 * time.Millisecond})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestCoordinatorThatComesLateIsWaitedFor(t *testing.T) {
	b := open(t)
	b.create(t, "names", 1, nil)
	h := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 2})
	plan(t, b, app("names"), topics.Options{})
	if h.Hits() != 2 {
		t.Fatalf("%d refusals were met, want 2", h.Hits())
	}
}

// All workers of an application try with one transactional id; two that start at once may meet.
func TestAnotherWorkersTrialShowsThatTransactionsWork(t *testing.T) {
	b := open(t)
	b.create(t, "names", 1, nil)
	h := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, Count: -1})
	defer h.Remove()
	plan(t, b, app("names"), topics.Options{})
	if h.Hits() == 0 {
		t.Fatal("no transaction was tried")
	}
}
