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
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// kind is a broker that the suite runs on.
type kind struct {
	name     string
	version  string
	features map[string]int
}

// kinds are the brokers of the suite: each protocol of transactions on the newest Kafka, and the last one before it.
var kinds = []kind{
	{name: realkafka.Version4, version: realkafka.Version4},
	{name: realkafka.Version4 + "-tv1", version: realkafka.Version4, features: map[string]int{"transaction.version": 1}},
	{name: realkafka.Version3, version: realkafka.Version3},
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

// mostWorkers is how many workers a run may have; each has a way to the broker of its own.
const mostWorkers = 4

// cluster is one broker, with a proxy for each worker and a straight way for the suite itself.
type cluster struct {
	kind   kind
	broker *realkafka.Broker
	doors  []*proxy.Proxy
	client *kgo.Client // puts records on the partition that they name
	admin  *kadm.Client

	restarting sync.Mutex // held while the broker is away

	mu       sync.Mutex
	troubles int       // faults of broker or network under way
	calm     time.Time // when the last of them ended
}

// startCluster starts a broker in a folder below dir.
func startCluster(ctx context.Context, k kind, dir string) (_ *cluster, err error) {
	c := &cluster{kind: k}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	var listeners []realkafka.Listener
	for i := range mostWorkers {
		port, err := realkafka.FreePort()
		if err != nil {
			return nil, err
		}
		door, err := proxy.Listen(fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return nil, err
		}
		c.doors = append(c.doors, door)
		listeners = append(listeners, realkafka.Listener{Name: fmt.Sprintf("DOOR%d", i), Port: port, Advertised: door.Addr()})
	}
	c.broker, err = realkafka.Start(ctx, realkafka.Options{
		Version: k.version, Dir: filepath.Join(dir, "kafka-"+k.name), Listeners: listeners, Features: k.features,
		Properties: map[string]string{ // of the consumer protocol, whose sessions are the broker's to set
			"group.consumer.session.timeout.ms":        fmt.Sprint(sessionTimeout.Milliseconds()),
			"group.consumer.min.session.timeout.ms":    fmt.Sprint(sessionTimeout.Milliseconds()),
			"group.consumer.heartbeat.interval.ms":     "300",
			"group.consumer.min.heartbeat.interval.ms": "300",
		},
	})
	if err != nil {
		return nil, err
	}
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.broker.Addr()), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.AlwaysRetryEOF()) // a broker that goes away is no fault of the load
	if err != nil {
		return nil, fmt.Errorf("open a client of %s: %w", c.broker.Addr(), err)
	}
	c.admin = kadm.NewClient(c.client)
	return c, nil
}

func (c *cluster) close() {
	if c.client != nil {
		c.client.Close()
	}
	for _, door := range c.doors {
		door.Close()
	}
	if c.broker != nil {
		_ = c.broker.Kill()
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
	for _, door := range c.doors {
		door.Turn(w)
	}
}

// restart ends the broker and runs it again.
func (c *cluster) restart(ctx context.Context, away time.Duration, end func(*realkafka.Broker) error) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	defer c.disturb()()
	if err := end(c.broker); err != nil {
		return err
	}
	pause(ctx, away)
	return c.broker.Restart(context.WithoutCancel(ctx))
}

// createTopics makes topics and waits until they have leaders.
func (c *cluster) createTopics(ctx context.Context, partitions map[string]int32) error {
	for name, n := range partitions {
		answer, err := c.admin.CreateTopic(ctx, n, 1, nil, name)
		if err = errors.Join(err, answer.Err); err != nil {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	for name, n := range partitions {
		for !c.usable(ctx, name, n) {
			if !pause(ctx, 20*time.Millisecond) {
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
