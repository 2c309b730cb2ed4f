package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	growthFrom, growthTo = 4, 6 // not a multiple of the application's four partitions, so that records cross
	growthTick           = 5 * time.Millisecond
	growthLimit          = 75 * time.Second // the workers look every 30 s
)

// TestGrowth gives an ingress topic more partitions while two workers are under load. Nobody restarts; every visit is
// greeted exactly once, and the visits of a name count up without a gap.
func TestGrowth(t *testing.T) {
	c := needBroker(t, kafka41)
	a := newApp(t, c)
	names, greetings := a.topic("names"), a.topic("greetings")
	c.createTopic(t, names, growthFrom)
	c.createTopic(t, greetings, 2)
	a.setModule(
		endpoint("greeter.fns/*", serve(t, greeter(t, greetings)).url()),
		ingress("greeter.io/names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}}),
		egress("greeter.io/greetings"))
	seen := c.read(t, greetings)
	first := a.start()
	a.worker, a.folder = "worker-2", filepath.Join(t.TempDir(), "state")
	second := a.start()
	first.awaitReady(readyLimit)
	second.awaitReady(readyLimit)
	await(t, readyLimit, "each worker to run partitions", func() bool {
		return first.metric("statefun_worker_partitions", "running") == 2 && second.metric("statefun_worker_partitions", "running") == 2
	})

	visits := &visitor{t: t, cluster: c, topic: names}
	stop := visits.often(growthFrom)
	defer stop()
	c.grow(t, names, growthTo)
	grown := time.Now()
	visits.knowsGrowth()
	for p := int32(growthFrom); p < growthTo; p++ {
		for range 3 { // before any worker knows of the partition
			visits.send(p, fmt.Sprintf("new%d", p))
		}
	}
	for p := growthFrom; p < growthTo; p++ {
		name := fmt.Sprintf("new%d", p)
		await(t, growthLimit, "a greeting from partition "+name, func() bool {
			records, _ := seen.All()
			for _, r := range records {
				if strings.HasPrefix(string(r.Value), "Hello "+name+",") {
					return true
				}
			}
			return false
		})
		t.Logf("partition %d: first record processed %v after the topic grew", p, time.Since(grown).Round(10*time.Millisecond))
	}
	stopNew := visits.often(growthTo)
	defer stopNew()
	await(t, 20*time.Second, "records to cross", func() bool {
		return first.metric("statefun_worker_crossings_total")+second.metric("statefun_worker_crossings_total") > 100
	})
	first.Kill() // the other one goes on with all six partitions
	await(t, readyLimit, "the other worker to run all", func() bool {
		return second.ready() && second.metric("statefun_worker_partitions", "running") == 4
	})
	stop()
	stopNew()
	checkGreetings(t, seen, visits.sent, func(name string, n int) string { return fmt.Sprintf("Hello %s, visit %d", name, n) })
	t.Logf("%d visits greeted", len(visits.sent))
	second.stop()
}

// grow gives a topic more partitions and waits until they have leaders.
func (c *cluster) grow(t *testing.T, topic string, partitions int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answers, err := c.admin.UpdatePartitions(ctx, partitions, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("give topic %s %d partitions: %v", topic, partitions, err)
	}
	await(t, 20*time.Second, "the new partitions to have leaders", func() bool { return c.usable(topic, int32(partitions)) })
}

// visitor sends visits and remembers them. A name keeps to its partition.
type visitor struct {
	t       *testing.T
	cluster *cluster
	topic   string

	grown *kgo.Client // for partitions that the cluster's own client has not heard of

	mu   sync.Mutex
	sent []*kgo.Record
}

// knowsGrowth opens a client, which learns the partitions as they are now; one that is open learns them minutes later.
func (v *visitor) knowsGrowth() {
	v.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.cluster.addr()), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(client.Close)
	v.grown = client
}

func (v *visitor) client(partition int32) *kgo.Client {
	if partition >= growthFrom {
		return v.grown
	}
	return v.cluster.manual
}

func (v *visitor) send(partition int32, name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := &kgo.Record{Topic: v.topic, Partition: partition, Key: []byte(name), Value: fmt.Appendf(nil, `{"name":%q}`, name)}
	v.sent = append(v.sent, r)
	v.client(partition).Produce(context.Background(), r, func(_ *kgo.Record, err error) {
		if err != nil {
			v.t.Errorf("produce a visit to partition %d: %v", partition, err)
		}
	})
}

// often sends visits of a few names to all of so many partitions until stop is called.
func (v *visitor) often(partitions int32) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		tick := time.NewTicker(growthTick)
		defer tick.Stop()
		for i := int32(0); ctx.Err() == nil; i++ {
			p := i % partitions
			v.send(p, fmt.Sprintf("of%d-p%d-n%d", partitions, p, i/partitions%5))
			<-tick.C
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		sending.Wait()
		for _, client := range []*kgo.Client{v.cluster.manual, v.grown} {
			if client == nil {
				continue
			}
			if err := client.Flush(context.Background()); err != nil {
				v.t.Errorf("flush the visits: %v", err)
			}
		}
	})
}
