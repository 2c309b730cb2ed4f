package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/chaos/proxy"
	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// kind is what brokers the suite runs on.
type kind struct {
	name     string
	version  string
	brokers  int
	features map[string]int
}

// kinds are the brokers of the suite: each protocol of transactions on the newest Kafka, and the last one before it, alone
// and as three.
var kinds = []kind{
	{name: realkafka.Version4, version: realkafka.Version4, brokers: 1},
	{name: realkafka.Version4 + "-tv1", version: realkafka.Version4, brokers: 1, features: map[string]int{"transaction.version": 1}},
	{name: realkafka.Version3, version: realkafka.Version3, brokers: 1},
	{name: realkafka.Version4 + "x3", version: realkafka.Version4, brokers: 3},
	{name: realkafka.Version3 + "x3", version: realkafka.Version3, brokers: 3},
}

func kindNames() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func findKind(name string) (kind, error) {
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if at < 0 {
		return kind{}, fmt.Errorf("no broker is called %q: there are %s", name, strings.Join(kindNames(), ", "))
	}
	return kinds[at], nil
}

// mostWorkers is how many workers a run may have; each has a way to the brokers of its own.
const mostWorkers = 4

// cluster is one broker or several, with a door for each worker and a straight way for the suite itself.
type cluster struct {
	kind    kind
	brokers *realkafka.Cluster
	doors   []door
	client  *kgo.Client // puts records on the partition that they name
	admin   *kadm.Client

	away   sync.Mutex // held while a broker is away: one at a time, so that of three two are there
	moving sync.Mutex // held while partitions are given to other brokers

	mu       sync.Mutex
	troubles int       // faults of broker or network under way
	calm     time.Time // when the last of them ended
}

// startCluster starts the brokers in folders below dir.
func startCluster(ctx context.Context, k kind, dir string) (_ *cluster, err error) {
	c := &cluster{kind: k}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	nodes := make([]realkafka.Options, k.brokers)
	for i := range nodes {
		nodes[i] = realkafka.Options{
			Version: k.version, Dir: filepath.Join(dir, fmt.Sprintf("kafka-%s-%d", k.name, i+1)), Features: k.features,
			Properties: map[string]string{ // of the consumer protocol, whose sessions are the broker's to set
				"group.consumer.session.timeout.ms":        fmt.Sprint(sessionTimeout.Milliseconds()),
				"group.consumer.min.session.timeout.ms":    fmt.Sprint(sessionTimeout.Milliseconds()),
				"group.consumer.heartbeat.interval.ms":     "300",
				"group.consumer.min.heartbeat.interval.ms": "300",
			},
		}
	}
	for i := range mostWorkers {
		d, err := newDoor(i, nodes)
		c.doors = append(c.doors, d)
		if err != nil {
			return nil, err
		}
	}
	if c.brokers, err = realkafka.StartCluster(ctx, nodes...); err != nil {
		return nil, err
	}
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.addrs()...), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.AlwaysRetryEOF()) // a broker that goes away is no fault of the load
	if err != nil {
		return nil, fmt.Errorf("open a client of %v: %w", c.addrs(), err)
	}
	c.admin = kadm.NewClient(c.client)
	return c, nil
}

// addrs are the addresses of the brokers, with no proxy between.
func (c *cluster) addrs() []string { return strings.Split(c.brokers.Addr(), ",") }

func (c *cluster) close() {
	if c.client != nil {
		c.client.Close()
	}
	for _, d := range c.doors {
		d.close()
	}
	if c.brokers != nil {
		_ = c.brokers.Kill()
	}
}

// disturb notes that broker or network are not what workers may count on; calm ends it.
func (c *cluster) disturb() (calm func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.troubles++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.troubles--
		c.calm = time.Now()
	}
}

// disturbed says whether there was trouble at some time since.
func (c *cluster) disturbed(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.troubles > 0 || c.calm.After(since)
}

// turn changes the weather of all workers.
func (c *cluster) turn(w proxy.Weather) {
	for _, d := range c.doors {
		d.turn(w)
	}
}

// without ends a broker, waits for as long as meanwhile takes, and runs it again. The caller holds away.
func (c *cluster) without(ctx context.Context, id int32, end func(*realkafka.Broker) error, meanwhile func()) error {
	defer c.disturb()()
	b := c.brokers.Broker(id)
	if err := end(b); err != nil {
		return err
	}
	meanwhile()
	return b.Restart(context.WithoutCancel(ctx))
}

// stall lets a broker stand still for as long as meanwhile takes. The caller holds away.
func (c *cluster) stall(id int32, meanwhile func()) error {
	defer c.disturb()()
	b := c.brokers.Broker(id)
	if err := b.Stall(); err != nil {
		return err
	}
	meanwhile()
	return b.Resume()
}

// createTopics makes topics with as many copies as the cluster gives by itself, and waits until they have leaders.
func (c *cluster) createTopics(ctx context.Context, partitions map[string]int32) error {
	for name, n := range partitions {
		answer, err := c.admin.CreateTopic(ctx, n, -1, nil, name)
		if err = errors.Join(err, answer.Err); err != nil {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	for name, n := range partitions {
		for !c.usable(ctx, name, n) {
			if !process.Pause(ctx, 20*time.Millisecond) {
				return fmt.Errorf("wait for topic %s to have leaders: %w", name, ctx.Err())
			}
		}
	}
	return nil
}

func (c *cluster) usable(ctx context.Context, name string, partitions int32) bool {
	ends, err := c.admin.ListEndOffsets(ctx, name)
	return err == nil && ends.Error() == nil && len(ends[name]) == int(partitions)
}

// deleteTopics removes the topics of an application, so that a broker of many runs stays fast.
func (c *cluster) deleteTopics(ctx context.Context, prefix string) error {
	all, err := c.admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, name := range all.Names() {
		if strings.HasPrefix(name, prefix+"-") {
			names = append(names, name)
		}
	}
	deleted, err := c.admin.DeleteTopics(ctx, names...)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return fmt.Errorf("delete the topics of %s: %w", prefix, err)
	}
	return nil
}
