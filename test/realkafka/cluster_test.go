package realkafka

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// runCluster starts three brokers and stops them with the test.
func runCluster(t *testing.T, version string) *Cluster {
	t.Helper()
	needKafka(t)
	if err := Download(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	nodes := make([]Options, 3)
	for i := range nodes {
		nodes[i] = Options{Version: version, Dir: t.TempDir()}
	}
	c, err := StartCluster(t.Context(), nodes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("3 brokers of Kafka %s are up after %v", version, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		begin := time.Now()
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		t.Logf("and down after %v", time.Since(begin).Round(time.Millisecond))
	})
	return c
}

func TestAClusterKeepsWhatIsCommittedWhenTheBrokerThatLeadsItIsKilled(t *testing.T) {
	for _, version := range []string{Version4, Version3} {
		t.Run(version, func(t *testing.T) {
			c := runCluster(t, version)
			cl, admin := clusterClient(t, c, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("events"))
			createEvents(t, admin)
			commit(t, cl, "before")
			offsets := kadm.Offsets{}
			offsets.AddOffset("events", 0, 1, -1)
			if err := admin.CommitAllOffsets(t.Context(), "group", offsets); err != nil {
				t.Fatal(err)
			}
			checkCopies(t, admin)
			leader := awaitLeader(t, admin, func(int32) bool { return true })
			if err := c.Broker(leader).Kill(); err != nil {
				t.Fatal(err)
			}
			awaitLeader(t, admin, func(id int32) bool { return id != leader })
			commit(t, cl, "after")
			begin := time.Now()
			if err := c.Broker(leader).Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("the killed broker is registered again after %v", time.Since(begin).Round(time.Millisecond))
			if got := committed(t, c, 2); got != "before after" {
				t.Errorf("read %q, want what was committed before and after the kill", got)
			}
		})
	}
}

// A broker that stands still is taken for dead, and comes back as one that leads nothing.
func TestAStalledBrokerLosesItsLeadershipAndGoesOn(t *testing.T) {
	c := runCluster(t, Version4)
	cl, admin := clusterClient(t, c, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("events"))
	createEvents(t, admin)
	commit(t, cl, "before")
	leader := awaitLeader(t, admin, func(int32) bool { return true })
	stalled := c.Broker(leader)
	if err := stalled.Stall(); err != nil {
		t.Fatal(err)
	}
	// What the client has sent to the stalled broker waits for its time-out, so another one goes on.
	cl, admin = brokerClient(t, others(c, leader), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("events"))
	awaitLeader(t, admin, func(id int32) bool { return id != leader })
	commit(t, cl, "meanwhile")
	if err := stalled.Resume(); err != nil {
		t.Fatal(err)
	}
	_, alone := brokerClient(t, stalled.Addr())
	awaitLeader(t, alone, func(id int32) bool { return id != leader })
	if got := committed(t, c, 2); got != "before meanwhile" {
		t.Errorf("read %q, want what was committed before and during the stall", got)
	}
}

// others are the addresses of all brokers but one.
func others(c *Cluster, but int32) string {
	var all []string
	for _, b := range c.Brokers() {
		if b.ID() != but {
			all = append(all, b.Addr())
		}
	}
	return strings.Join(all, ",")
}

func clusterClient(t *testing.T, c *Cluster, opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
	t.Helper()
	return brokerClient(t, c.Addr(), opts...)
}

func brokerClient(t *testing.T, addresses string, opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(addresses, ",")...), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl, kadm.NewClient(cl)
}

// createEvents makes the topic with the copies that the cluster gives one by itself.
func createEvents(t *testing.T, admin *kadm.Client) {
	t.Helper()
	if _, err := admin.CreateTopic(t.Context(), 1, -1, nil, "events"); err != nil {
		t.Fatal(err)
	}
}

// commit commits one record.
func commit(t *testing.T, cl *kgo.Client, value string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// committed is the first n committed records, with spaces.
func committed(t *testing.T, c *Cluster, n int) string {
	t.Helper()
	reader, _ := clusterClient(t, c, kgo.ConsumeTopics("events"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var values []string
	for len(values) < n && ctx.Err() == nil {
		for _, r := range reader.PollFetches(ctx).Records() {
			values = append(values, string(r.Value))
		}
	}
	return strings.Join(values, " ")
}

// checkCopies: three copies of everything, two of them in sync for a write.
func checkCopies(t *testing.T, admin *kadm.Client) {
	t.Helper()
	topics, err := admin.ListTopicsWithInternal(t.Context(), "events", "__transaction_state", "__consumer_offsets")
	if err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeTopicConfigs(t.Context(), topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	if len(configs) != 3 {
		t.Errorf("there are settings of %d topics, want 3", len(configs))
	}
	for _, config := range configs {
		least := ""
		for _, c := range config.Configs {
			if c.Key == "min.insync.replicas" {
				least = c.MaybeValue()
			}
		}
		if copies := topics[config.Name].Partitions.NumReplicas(); copies != 3 || least != "2" {
			t.Errorf("%s has %d copies of which %s must be in sync, want 3 and 2", config.Name, copies, least)
		}
	}
}

// awaitLeader waits until the topic has a leader that will do, for longer than a broker keeps its place after its end.
func awaitLeader(t *testing.T, admin *kadm.Client, good func(int32) bool) int32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for {
		topics, err := admin.ListTopics(ctx, "events")
		if leader := topics["events"].Partitions[0].Leader; err == nil && leader > 0 && good(leader) {
			return leader
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no such leader: %v %v", topics, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
