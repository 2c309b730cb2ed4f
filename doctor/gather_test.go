package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
)

const moduleText = `kind: io.statefun.endpoints.v2/http
spec:
  functions: app/*
  urlPathTemplate: http://127.0.0.1:1/statefun
---
kind: io.statefun.kafka.v1/ingress
spec:
  id: app/orders
  address: BROKER
  consumerGroupId: app
  topics:
    - topic: orders
      valueType: io.statefun.types/string
      targets: [app/order]
PROPERTIES---
kind: io.statefun.kafka.v1/egress
spec:
  id: app/invoices
  address: BROKER
`

const login = `  properties:
    - security.protocol: SASL_PLAINTEXT
    - sasl.mechanism: PLAIN
    - sasl.jaas.config: org.apache.kafka.common.security.plain.PlainLoginModule required username="worker" password="secret";
`

func loadModule(t *testing.T, brokers, properties string) *module.Module {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.yaml")
	text := strings.NewReplacer("BROKER", brokers, "PROPERTIES", properties).Replace(moduleText)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := module.Load([]string{path}, module.Options{Check: kafka.Check})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newCluster(t *testing.T, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// recorder notes the keys of the requests that reach a broker.
type recorder struct {
	mu   sync.Mutex
	keys map[int16]int
}

// OnBrokerWrite is kgo's hook for a request that was sent.
func (r *recorder) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.keys[key]++
	}
}

func gather(t *testing.T, m *module.Module, options ...kgo.Opt) *Facts {
	t.Helper()
	clients, _, err := kafka.ForModule(m, m.Brokers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	f, err := Gather(ctx, clients.With(options...), Settings{Module: m, Egress: []string{"invoices"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func client(t *testing.T, c *kfake.Cluster, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// lines are the findings of one check.
func lines(f *Facts, id string) string {
	var text strings.Builder
	for _, v := range Judge(f).Findings {
		if v.ID == id {
			text.WriteString(string(v.Status) + " " + v.Subject + ": " + v.Found + "\n")
		}
	}
	return text.String()
}

func TestGatheringSendsNothingThatWritesOrMakesABrokerCreateATopic(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(4, "orders"))
	r := &recorder{keys: map[int16]int{}}
	f := gather(t, loadModule(t, strings.Join(c.ListenAddrs(), ","), ""), kgo.WithHooks(r))
	reads := []kmsg.Key{
		kmsg.Metadata, kmsg.ApiVersions, kmsg.DescribeConfigs, kmsg.DescribeCluster, kmsg.DescribeQuorum, kmsg.DescribeProducers, kmsg.ListTransactions, kmsg.ListGroups,
	}
	for key := range r.keys {
		if !slices.Contains(reads, kmsg.Key(key)) {
			t.Errorf("sent %s", kmsg.Key(key).Name())
		}
	}
	if r.keys[kmsg.DescribeConfigs.Int16()] == 0 || f.Plan == nil || f.Plan.Partitions != 4 || len(f.Brokers) != 3 || !f.Topics["orders"].Exists || f.Topics[f.Mailbox].Exists {
		t.Errorf("facts lack something: %+v, plan error %q", f, f.PlanError)
	}
	if got := lines(f, "topics.settings"); !strings.HasPrefix(got, "ok") {
		t.Errorf("a plan without a trial of transactions says %s", got)
	}
}

func TestAClientOfTheDoctorRefusesToWrite(t *testing.T) {
	c := newCluster(t)
	cl := client(t, c, readOnly(asking...))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, r := range []kmsg.Request{kmsg.NewPtrCreateTopicsRequest(), kmsg.NewPtrInitProducerIDRequest(), kmsg.NewPtrDeleteRecordsRequest()} {
		if _, err := cl.Request(ctx, r); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", kmsg.NameForKey(r.Key()), err)
		}
	}
}

func TestAnOpenTransactionIsFoundWithItsName(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	cl := client(t, c, kgo.TransactionalID("upstream"), kgo.TransactionTimeout(time.Minute))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(context.Background(), &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f := gather(t, loadModule(t, c.ListenAddrs()[0], ""))
	if len(f.Transactions.Open) != 1 || f.Transactions.Open[0].TransactionalID != "upstream" || f.Transactions.Open[0].Timeout != time.Minute || f.Transactions.Open[0].Age > 30*time.Second {
		t.Fatalf("transactions %+v", f.Transactions)
	}
	if got := lines(f, "transactions.hanging"); !strings.Contains(got, "1 transaction is open as usual") {
		t.Error(got)
	}
}

func TestAForeignMemberOfTheGroupIsFound(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(2, "orders"))
	cl := client(t, c, kgo.ConsumerGroup("app"), kgo.ConsumeTopics("orders"), kgo.InstanceID("flink-1"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if fetches := cl.PollFetches(ctx); fetches.Err() != nil {
		t.Fatal(fetches.Err())
	}
	if got := lines(gather(t, loadModule(t, c.ListenAddrs()[0], "")), "group.members"); !strings.Contains(got, "broken member flink-1") || !strings.Contains(got, "subscribes to orders") {
		t.Error(got)
	}
}

func TestBootstrapAddressesOfTwoClustersAreFound(t *testing.T) {
	a, b := newCluster(t, kfake.SeedTopics(1, "orders"), kfake.ClusterID("alpha")), newCluster(t, kfake.ClusterID("beta"))
	f := gather(t, loadModule(t, a.ListenAddrs()[0]+","+b.ListenAddrs()[0], ""))
	if got := lines(f, "brokers.one-cluster"); !strings.Contains(got, "broken") || !strings.Contains(got, "alpha at") || !strings.Contains(got, "beta at") {
		t.Error(got)
	}
}

func TestRightsThatAreMissingAreNamed(t *testing.T) {
	allow := func(resource kmsg.ACLResourceType, name string, operations ...kmsg.ACLOperation) (list []kfake.ACL) {
		for _, o := range operations {
			list = append(list, kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: o, Allow: true})
		}
		return list
	}
	rights := slices.Concat(
		allow(kmsg.ACLResourceTypeTopic, "orders", kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs),
		allow(kmsg.ACLResourceTypeTopic, "app-mailbox", kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationRead, kmsg.ACLOperationWrite),
		allow(kmsg.ACLResourceTypeTopic, "app-changelog", kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs, kmsg.ACLOperationRead, kmsg.ACLOperationWrite))
	c := newCluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(2, "orders", "app-mailbox", "app-changelog", "app-dead-letter"),
		kfake.User("PLAIN", "worker", "secret", rights...))
	f := gather(t, loadModule(t, c.ListenAddrs()[0], login))
	for id, parts := range map[string][]string{
		"access.topics":              {"broken orders: lacks Read", "broken app-mailbox: lacks Delete", "broken app-dead-letter: not even Describe", kerr.TopicAuthorizationFailed.Message},
		"access.takeover":            {"broken orders: its producers may not be described"},
		"access.group":               {"unknown"},
		"limits.transaction-timeout": {"unknown", kerr.ClusterAuthorizationFailed.Message},
	} {
		got := lines(f, id)
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %q:\n%s", id, part, got)
			}
		}
	}
}

func TestTheControllersTimeIsThatOfTheLeader(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	if got, want := compareClocks(now.Add(5*time.Second), 20*time.Millisecond, now), (Clock{Measured: true, Ahead: 5010 * time.Millisecond, Margin: 11 * time.Millisecond}); got != want {
		t.Errorf("a machine that is ahead by five seconds measures %+v, want %+v", got, want)
	}
	answer := func(leader int32, error int16) *kmsg.DescribeQuorumResponse {
		p := kmsg.NewDescribeQuorumResponseTopicPartition()
		p.LeaderID, p.ErrorCode = leader, error
		for id := range int32(3) {
			v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			v.ReplicaID, v.LastCaughtUpTimestamp = id, now.UnixMilli()-int64(id)
			p.CurrentVoters = append(p.CurrentVoters, v)
		}
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Partitions = append(topic.Partitions, p)
		r := kmsg.NewPtrDescribeQuorumResponse()
		r.Topics = append(r.Topics, topic)
		return r
	}
	if told, err := controllerTime(answer(2, 0)); err != nil || told.UnixMilli() != now.UnixMilli()-2 {
		t.Errorf("told %s, %v", told, err)
	}
	if _, err := controllerTime(answer(7, 0)); err == nil {
		t.Error("a leader that is no voter tells the time")
	}
	if _, err := controllerTime(answer(0, kerr.ClusterAuthorizationFailed.Code)); !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.Errorf("error %v", err)
	}
}

func TestEndpointsAreConnectedToAsTheyAreCalled(t *testing.T) {
	plainServer, tlsServer := httptest.NewServer(http.NotFoundHandler()), httptest.NewTLSServer(http.NotFoundHandler())
	defer plainServer.Close()
	defer tlsServer.Close()
	socket := filepath.Join(t.TempDir(), "f.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	trusting := module.Transport{TrustCACerts: "ca.pem"}
	for _, c := range []struct {
		url       string
		transport module.Transport
		want      string // of the error
		tls       string
	}{
		{plainServer.URL + "/statefun", module.Transport{}, "", ""},
		{"http+unix://" + socket + "/statefun", module.Transport{}, "", ""},
		{"http+unix://" + socket + "x.sock/statefun", module.Transport{}, "no such file", ""},
		{"http://127.0.0.1:1/", module.Transport{}, "refused", ""},
		{tlsServer.URL, trusting, "", "authority was not checked"},
		{tlsServer.URL, module.Transport{}, "certificate", "valid until"},
		{strings.Replace(tlsServer.URL, "127.0.0.1", "localhost", 1), trusting, "localhost", "TLS 1.3"},
		{"https://" + plainServer.Listener.Addr().String(), trusting, "TLS handshake", ""},
	} {
		m := &module.Module{Endpoints: []module.Endpoint{{Functions: module.Pattern{Namespace: "a", Name: "*"}, URLPathTemplate: c.url, Transport: c.transport}}}
		got := probe(context.Background(), m)[0]
		if (got.Error == "") != (c.want == "") || !strings.Contains(got.Error, c.want) || !strings.Contains(got.TLS, c.tls) {
			t.Errorf("%s: %+v, want error %q and TLS %q", c.url, got, c.want, c.tls)
		}
	}
}

func TestTheReportIsOneForPeopleAndForPrograms(t *testing.T) {
	f := good()
	f.Topics["app-changelog"].Settings["min.insync.replicas"] = "3"
	f.Topics["app-mailbox"].Settings["min.insync.replicas"] = "1"
	f.Topics["app-dead-letter"].Settings["min.insync.replicas"] = "1"
	var text, machine bytes.Buffer
	report := Judge(f)
	if err := errors.Join(report.Print(&text), report.PrintJSON(&machine)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"application app on cluster one, 3 brokers\n", "\nreplication\n", "  broken   replication.min-insync        app-changelog: has min.insync.replicas=3",
		"\nto change\n  replication.min-insync of app-changelog (protects P-1 exactly-once effects):\n      kafka-configs.sh", "\nworth changing\n",
		"0 unknown, 2 warnings, 1 broken: a promise would not hold\n",
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text lacks %q:\n%s", part, text.String())
		}
	}
	var decoded Report
	if err := json.Unmarshal(machine.Bytes(), &decoded); err != nil || len(decoded.Findings) != len(report.Findings) || decoded.Count(Broken) != 1 {
		t.Errorf("JSON %v:\n%s", err, machine.String())
	}
}
