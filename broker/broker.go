// Package broker is the embedded development broker: a Kafka in the process (kfake), for trying an application out and for
// tests.
//
// It speaks the Kafka protocol over TCP, so any Kafka client may use it: transactions, consumer groups and compacted topics
// included. It is no place for data that matters: one node, no replication, no authentication, in memory unless told
// otherwise, and not crash-safe even then.
//
// Two things that a real broker does in the background are done differently. Compaction is off, because kfake's would let a
// record of an open transaction supersede a committed one. Retention runs from a timer of ours, once a minute, because
// kfake's own is part of its compaction.
package broker

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Broker is a running broker; Close ends it.
type Broker struct {
	cluster   *kfake.Cluster
	addr      string // what clients are told
	clusterID string
	folder    *folder // nil in memory
	logger    *slog.Logger

	closing   sync.Once
	stop      chan struct{} // closed by Close
	retention sync.WaitGroup
}

// Start listens and returns once clients can connect.
func Start(c Config) (*Broker, error) {
	c.setDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	b := &Broker{logger: c.Logger, stop: make(chan struct{})}
	if c.DataDir == "" {
		b.clusterID = newClusterID()
	} else {
		f, err := openFolder(c.DataDir)
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		b.folder, b.clusterID = f, f.clusterID
	}
	if err := b.open(c); err != nil {
		b.folder.release()
		return nil, fmt.Errorf("start broker on %s: %w", c.Addr, err)
	}
	b.retention.Add(1)
	go b.applyRetention()
	b.announce(c)
	return b, nil
}

// open starts the cluster and creates the topics that it does not have yet.
func (b *Broker) open(c Config) error {
	opts, err := b.options(c)
	if err != nil {
		return err
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return err
	}
	b.addr = b.cluster.ListenAddrs()[0]
	for _, t := range c.Topics {
		if b.cluster.TopicInfo(t.Name) != nil {
			continue
		}
		if err := b.cluster.CreateTopic(t.Name, t.Partitions, t.Configs); err != nil {
			b.cluster.Close()
			return fmt.Errorf("create topic %q with %d partitions: %w", t.Name, t.Partitions, err)
		}
	}
	return nil
}

func (b *Broker) options(c Config) ([]kfake.Opt, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID(b.clusterID),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return listen(network, c.Addr, c.Advertise) }),
		kfake.DefaultNumPartitions(c.DefaultPartitions),
		kfake.GroupMinSessionTimeout(minSessionTimeout),
		kfake.WithLogger(clusterLog{b.logger}),
		kfake.BrokerConfigs(map[string]string{
			// Ten years: the compaction ticker never fires.
			"log.cleaner.backoff.ms":     strconv.FormatInt((10 * 365 * 24 * time.Hour).Milliseconds(), 10),
			"default.replication.factor": "1",
			"log.retention.ms":           strconv.FormatInt(c.Retention.Milliseconds(), 10),
		}),
	}
	if c.AutoCreate {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if b.folder != nil {
		opts = append(opts, kfake.DataDir(b.folder.logDir()))
	}
	if c.KafkaVersion != "" {
		v := kversion.FromString(c.KafkaVersion)
		if v == nil {
			return nil, fmt.Errorf("kafka version %q is not known: give a release like 3.9 or 4.1", c.KafkaVersion)
		}
		opts = append(opts, kfake.MaxVersions(v))
	}
	return opts, nil
}

// Addr is the host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// ClusterID names this broker's log. A broker in memory has a new one each start, so that local state that belongs to an
// earlier log can be told apart.
func (b *Broker) ClusterID() string { return b.clusterID }

// Close ends the broker; with a data folder it writes what it holds first. A second call does nothing.
func (b *Broker) Close() {
	b.closing.Do(func() {
		// The timer's goroutine calls into the cluster, which answers nobody once it is closed: it ends BEFORE.
		close(b.stop)
		b.retention.Wait()
		b.cluster.Close()
		b.folder.release()
	})
}

func (b *Broker) applyRetention() {
	defer b.retention.Done()
	ticker := time.NewTicker(retentionPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.cluster.ApplyRetention()
		case <-b.stop:
			return
		}
	}
}

func (b *Broker) announce(c Config) {
	if host, _, _ := splitAddr(c.Addr); !isLoopback(host) {
		b.logger.Warn("the development broker has no authentication and listens beyond loopback", "address", c.Addr)
	}
	if b.folder != nil {
		b.logger.Warn("the development broker's data folder is not durable: it survives a clean stop, a kill may tear the last transaction", "folder", c.DataDir)
		if b.folder.unclean {
			b.logger.Warn("the development broker was not stopped cleanly last time: its last transaction may be half committed; delete the folder to start afresh", "folder", c.DataDir)
		}
	}
	b.logger.Info("development broker started", "broker", b.addr, "cluster", b.clusterID)
}
