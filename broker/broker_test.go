package broker_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

func start(t *testing.T, c broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func connect(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// readAll reads n records of a topic, committed ones only.
func readAll(t *testing.T, addr, topic string, n int) []string {
	t.Helper()
	cl := connect(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var got []string
	for len(got) < n {
		fetches := cl.PollFetches(deadline(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

func TestClientsProduceAndConsumeCommittedRecords(t *testing.T) {
	b := start(t, broker.Config{Topics: []broker.Topic{{Name: "names", Partitions: 1}}})
	cl := connect(t, b.Addr(), kgo.TransactionalID("t"))
	for _, end := range []struct {
		value string
		how   kgo.TransactionEndTry
	}{{"aborted", kgo.TryAbort}, {"committed", kgo.TryCommit}} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "names", Value: []byte(end.value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(deadline(t), end.how); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, b.Addr(), "names", 1); got[0] != "committed" {
		t.Fatalf("read %q, want only the committed record", got)
	}
}

func TestClusterIDIsNewInMemoryAndStaysWithTheFolder(t *testing.T) {
	inMemory := start(t, broker.Config{}).ClusterID()
	if other := start(t, broker.Config{}).ClusterID(); other == inMemory {
		t.Fatalf("two brokers in memory share the cluster id %q", other)
	}

	dir := filepath.Join(t.TempDir(), "data")
	first := start(t, broker.Config{DataDir: dir})
	first.Close()
	second := start(t, broker.Config{DataDir: dir})
	if first.ClusterID() != second.ClusterID() {
		t.Fatalf("the folder's cluster id changed from %q to %q", first.ClusterID(), second.ClusterID())
	}
	md, err := kadm.NewClient(connect(t, second.Addr())).BrokerMetadata(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if md.Cluster != second.ClusterID() {
		t.Fatalf("clients are told the cluster id %q, ClusterID says %q", md.Cluster, second.ClusterID())
	}
}

func TestDataFolderKeepsRecordsOverACleanStop(t *testing.T) {
	dir := t.TempDir()
	topics := []broker.Topic{{Name: "names", Partitions: 1, Configs: map[string]string{"retention.ms": "-1"}}}
	b := start(t, broker.Config{DataDir: dir, Topics: topics})
	if err := connect(t, b.Addr()).ProduceSync(deadline(t), &kgo.Record{Topic: "names", Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = start(t, broker.Config{DataDir: dir, Topics: topics})
	if got := readAll(t, b.Addr(), "names", 1); got[0] != "kept" {
		t.Fatalf("read %q after the restart", got)
	}
}

func TestSecondBrokerOnTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := start(t, broker.Config{DataDir: dir})
	if b, err := broker.Start(broker.Config{DataDir: dir}); err == nil {
		b.Close()
		t.Fatal("a second broker started on a folder in use")
	} else if !strings.Contains(err.Error(), "in use by another broker") || !strings.Contains(err.Error(), dir) {
		t.Fatalf("the refusal does not name the folder and why: %v", err)
	}
	first.Close()
	start(t, broker.Config{DataDir: dir})
}

func TestAdvertisedAddressIsWhatClientsAreTold(t *testing.T) {
	b := start(t, broker.Config{Addr: "127.0.0.1:0", Advertise: "localhost:0", Topics: []broker.Topic{{Name: "names", Partitions: 1}}})
	host, port, err := net.SplitHostPort(b.Addr())
	if err != nil || host != "localhost" || port == "0" {
		t.Fatalf("address %q, want localhost and the port listened on", b.Addr())
	}
	cl := connect(t, net.JoinHostPort("127.0.0.1", port))
	md, err := kadm.NewClient(cl).BrokerMetadata(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s:%d", md.Brokers[0].Host, md.Brokers[0].Port); got != b.Addr() {
		t.Fatalf("metadata says %s, want %s", got, b.Addr())
	}
	if err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "names", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsAreCreatedByClientsOnlyWhereAllowed(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		t.Run(fmt.Sprintf("allowed=%v", allowed), func(t *testing.T) {
			b := start(t, broker.Config{AutoCreate: allowed, DefaultPartitions: 3})
			cl := connect(t, b.Addr(), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
			err := cl.ProduceSync(deadline(t), &kgo.Record{Topic: "new", Value: []byte("x")}).FirstErr()
			if allowed {
				if err != nil {
					t.Fatal(err)
				}
				topics, err := kadm.NewClient(cl).ListTopics(deadline(t), "new")
				if err != nil {
					t.Fatal(err)
				}
				if n := len(topics["new"].Partitions); n != 3 {
					t.Fatalf("%d partitions, want 3", n)
				}
			} else if err != kerr.UnknownTopicOrPartition {
				t.Fatalf("produce to an unknown topic: %v", err)
			}
		})
	}
}

func TestKafkaVersionLimitsTheTransactionProtocol(t *testing.T) {
	for version, want := range map[string]bool{"": true, "3.9": false} {
		b := start(t, broker.Config{KafkaVersion: version})
		all, err := kadm.NewClient(connect(t, b.Addr())).ApiVersions(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			if most, _ := v.KeyMaxVersion(26); most >= 5 != want {
				t.Fatalf("version %q offers EndTxn %d", version, most)
			}
		}
	}
}

func TestFaultsOfTheConfigurationAreNamedTogether(t *testing.T) {
	tests := []struct {
		name   string
		config broker.Config
		want   []string
	}{
		{"address without a port", broker.Config{Addr: "localhost"}, []string{`"localhost": not of the form host:port`}},
		{"port out of range", broker.Config{Addr: "localhost:70000"}, []string{`port "70000"`}},
		{"every interface needs an advertised address", broker.Config{Addr: "0.0.0.0:0"}, []string{"every interface", "advertise"}},
		{"empty host is every interface", broker.Config{Addr: ":0"}, []string{"every interface"}},
		{"advertised address no client can use", broker.Config{Addr: "0.0.0.0:0", Advertise: "0.0.0.0:9092"}, []string{"advertised address"}},
		{"topic faults come together", broker.Config{Addr: "x", Topics: []broker.Topic{{Name: "a", Partitions: 0}, {Name: "a", Partitions: 1}}},
			[]string{`"x"`, `"a" with 0 partitions`, `"a" is given twice`}},
		{"unknown Kafka version", broker.Config{KafkaVersion: "91.7"}, []string{`"91.7" is not known`}},
		{"topic name the broker refuses", broker.Config{Topics: []broker.Topic{{Name: "no spaces", Partitions: 1}}}, []string{`topic name "no spaces"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := broker.Start(tt.config)
			if err == nil {
				b.Close()
				t.Fatal("started")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestPortInUseIsSaidWithAWayOut(t *testing.T) {
	first := start(t, broker.Config{})
	b, err := broker.Start(broker.Config{Addr: first.Addr()})
	if err == nil {
		b.Close()
		t.Fatal("two brokers on one port")
	}
	if !strings.Contains(err.Error(), first.Addr()) || !strings.Contains(err.Error(), "choose another port") {
		t.Fatalf("error %q does not name the address and the way out", err)
	}
}

func TestCloseTwiceDoesNothing(t *testing.T) {
	b := start(t, broker.Config{})
	b.Close()
	b.Close()
}
