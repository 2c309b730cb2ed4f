package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// Application says where a stopped application left its things.
type Application struct {
	// ID is its id, Brokers where its cluster is, Partitions how many it has.
	ID         string
	Brokers    []string
	Partitions int32
	// Ingresses and Egresses are the names of its topics.
	Ingresses, Egresses []string
	// Folders are the state folders of its workers by their names.
	Folders map[string]string
	// MostTransactions is how many transactional ids it may have used.
	MostTransactions int
}

// collectLimit bounds the reading of everything.
const collectLimit = time.Minute

// Collect reads what the application left behind, all but what its functions said.
func (a Application) Collect(ctx context.Context) (Evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	e := Evidence{
		Partitions: a.Partitions, MostTransactions: a.MostTransactions,
		Owner: func(id string) int32 { return router.Partition(id, a.Partitions) },
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Brokers...))
	if err != nil {
		return e, fmt.Errorf("open a client of %v: %w", a.Brokers, err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	steps := []func(context.Context, *kadm.Client, *Evidence) error{
		a.transactions, a.producers, a.changelog, a.sources, a.deadLetters,
	}
	for _, step := range steps {
		if err := step(ctx, admin, &e); err != nil {
			return e, fmt.Errorf("audit %s: %w", a.ID, err)
		}
	}
	for worker, folder := range a.Folders {
		if err := a.store(worker, folder, &e); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (a Application) topic(suffix string) string { return a.ID + "-" + suffix }

func (a Application) transactions(ctx context.Context, admin *kadm.Client, e *Evidence) error {
	listed, err := admin.ListTransactions(ctx, nil, nil)
	if err != nil {
		return fmt.Errorf("list transactions: %w", err)
	}
	e.Transactions = map[string]string{}
	for id, t := range listed {
		if strings.HasPrefix(id, a.ID+"-") {
			e.Transactions[id] = t.State
		}
	}
	return nil
}

func (a Application) producers(ctx context.Context, admin *kadm.Client, e *Evidence) error {
	topics := append([]string{a.topic("changelog"), a.topic("mailbox"), a.topic("dead-letter")}, a.Egresses...)
	details, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	described, err := admin.DescribeProducers(ctx, details.TopicsSet())
	if err != nil {
		return fmt.Errorf("describe producers: %w", err)
	}
	described.EachPartition(func(p kadm.DescribedProducersPartition) {
		err = errors.Join(err, p.Err)
		for _, producer := range p.ActiveProducers {
			if producer.CurrentTxnStartOffset >= 0 {
				e.Open = append(e.Open, fmt.Sprintf("%s/%d from %d by producer %d/%d", p.Topic, p.Partition,
					producer.CurrentTxnStartOffset, producer.ProducerID, producer.ProducerEpoch))
			}
		}
	})
	return err
}

func (a Application) changelog(ctx context.Context, admin *kadm.Client, e *Evidence) error {
	return a.read(ctx, admin, a.topic("changelog"), func(r *kgo.Record) {
		e.Changelog = append(e.Changelog, Row{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value})
	})
}

// sources reads the offsets of what the application was to read, and those of its group.
func (a Application) sources(ctx context.Context, admin *kadm.Client, e *Evidence) error {
	committed, err := admin.FetchOffsets(ctx, a.ID)
	if err != nil {
		return fmt.Errorf("fetch the offsets of group %s: %w", a.ID, err)
	}
	for _, topic := range append([]string{a.topic("mailbox")}, a.Ingresses...) {
		offsets := map[int32][]int64{}
		if err := a.read(ctx, admin, topic, func(r *kgo.Record) { offsets[r.Partition] = append(offsets[r.Partition], r.Offset) }); err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return fmt.Errorf("list the end offsets of %s: %w", topic, err)
		}
		ends.Each(func(end kadm.ListedOffset) {
			s := Source{Topic: topic, Partition: end.Partition, Records: offsets[end.Partition], Committed: -1}
			if o, is := committed.Lookup(topic, end.Partition); is {
				s.Committed = o.At
			}
			e.Sources = append(e.Sources, s)
		})
	}
	return nil
}

func (a Application) deadLetters(ctx context.Context, admin *kadm.Client, e *Evidence) error {
	return a.read(ctx, admin, a.topic("dead-letter"), func(*kgo.Record) { e.DeadLetters++ })
}

// read visits the committed records of a topic from its start to its last stable offsets.
func (a Application) read(ctx context.Context, admin *kadm.Client, topic string, visit func(*kgo.Record)) error {
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("list the start offsets of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("list the stable offsets of %s: %w", topic, err)
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	ends.Each(func(end kadm.ListedOffset) {
		err = errors.Join(err, end.Err)
		if start, is := starts.Lookup(topic, end.Partition); is && start.Offset < end.Offset {
			left[end.Partition], from[end.Partition] = end.Offset, kgo.NewOffset().At(start.Offset)
		}
	})
	if err != nil || len(left) == 0 {
		return err
	}
	// Control records are kept because a partition may end with one, and its end would never be seen.
	client, err := kgo.NewClient(kgo.SeedBrokers(a.Brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return fmt.Errorf("open a reader of %s: %w", topic, err)
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: not to its ends, partitions and ends left: %v: %w", topic, left, ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				visit(r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}

// store reads a worker's disk.
func (a Application) store(worker, folder string, e *Evidence) error {
	store, err := state.Open(state.Options{Dir: folder, ApplicationID: a.ID, WorkerID: worker})
	if err != nil {
		return fmt.Errorf("audit the disk of %s: %w", worker, err)
	}
	for p := range a.Partitions {
		at, known, err := store.Position(p)
		if err != nil || !known {
			if err != nil {
				return errors.Join(fmt.Errorf("audit the disk of %s: %w", worker, err), store.Close())
			}
			continue
		}
		s := Store{Worker: worker, Partition: p, Position: at.Offset, Rows: map[string][]byte{}}
		err = store.Scan(p, []byte{0}, nil, 0, func(key, value []byte) error {
			s.Rows[string(key)] = append([]byte{}, value...)
			return nil
		})
		if err != nil {
			return errors.Join(fmt.Errorf("audit the disk of %s: %w", worker, err), store.Close())
		}
		e.Stores = append(e.Stores, s)
	}
	return store.Close()
}
