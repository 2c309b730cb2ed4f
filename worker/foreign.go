package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

const (
	// foreignLook is how often at least a worker asks another cluster for its topics, which tells whether it is there.
	foreignLook = 5 * time.Second
	// foreignTimeout bounds one such question.
	foreignTimeout = 5 * time.Second
	// foreignRetry is the pause before a cluster that is away is asked again.
	foreignRetry = time.Second
)

// foreign is another cluster, from which one ingress is read. Nothing of the application lies there and no group of it: how
// far a source is read is in the changelog alone, and a take-over knows nothing of it. Its sources come to the partitions
// once these run and the cluster answers, as those of an ingress topic that grows (see growth), so nobody else waits for
// it:
//
//	look     which topics and partitions there are                          a goroutine of its own, for as long as the worker runs
//	grow     start positions, or what the progress rows say, held against the topics; their rows in the next transaction
//	read     once that is committed, by a client of its own
type foreign struct {
	ingress  *module.Ingress
	settings kafka.Settings
	client   *kgo.Client // of look-ups
	lookups  *lookups

	mu     sync.RWMutex
	topics map[string]foreignTopic // that were seen, by the name of the source

	// The loop's.
	reader  *reader
	growing *growth
	away    error           // why it or one of its topics is not there, nil: all are
	stalled error           // why sources of it cannot begin, nil: nothing is in their way
	said    error           // which of them the log has, nil: neither
	warned  map[string]bool // topics of which it was said that they take larger records than the application's
}

// foreignTopic is what is known of a topic. Its id is that of when the worker first saw it.
type foreignTopic struct {
	name       string // of its sources
	id         [16]byte
	partitions int32
	retention  time.Duration
	largest    int64 // record that it takes; 0: not known
}

// openForeign makes what is needed for the ingresses of other clusters; nothing is connected yet.
func (w *Worker) openForeign() error {
	for i := range w.Module.Ingresses {
		in := &w.Module.Ingresses[i]
		if in.Elsewhere == nil {
			continue
		}
		settings, err := kafka.ForIngress(in)
		if err != nil {
			return fmt.Errorf("ingress %s: %w", in.ID, err)
		}
		f := &foreign{ingress: in, settings: settings.With(w.ClientOptions...), topics: map[string]foreignTopic{}, warned: map[string]bool{}, away: errNotReached, said: errNotReached}
		w.foreigns = append(w.foreigns, f)
		w.log.Info("ingress is read from another cluster, its positions are kept in the application's changelog", "ingress", in.ID.String(), "brokers", in.Elsewhere)
	}
	return nil
}

// errNotReached is why a cluster is not read when the worker has just begun.
var errNotReached = errors.New("not reached yet")

// watchForeign looks at another cluster until ctx is done.
func (w *Worker) watchForeign(ctx context.Context, f *foreign) {
	for ctx.Err() == nil {
		err := f.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.post(func() { w.looked(f, err) })
		wait := min(w.LookEvery, foreignLook)
		if err != nil {
			wait = min(w.LookEvery, foreignRetry)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// looked notes whether the cluster is there; only its ingress waits for it.
func (w *Worker) looked(f *foreign, err error) {
	f.away = err
	w.sayWaits(f)
	w.warnOfLarge(f)
	w.extend()
}

// warnOfLarge says once of a topic that its records may be larger than the application's topics take, which were made
// without a look at another cluster.
func (w *Worker) warnOfLarge(f *foreign) {
	for _, t := range f.seenTopics() {
		if needed := t.largest + topics.EnvelopeBytes; t.largest > 0 && needed > int64(w.names.maxRecordBytes) && !f.warned[t.name] {
			f.warned[t.name] = true
			w.log.Warn("topic of another cluster takes larger records than the application's topics: one that does not fit is an invalid record, and holds its partition's position if the dead-letter topic does not take it either: raise max.message.bytes of the application's topics and restart",
				"topic", t.name, "its_max_message_bytes", t.largest, "changelog", w.names.changelog, "dead_letter_topic", w.names.deadLetter, "max_message_bytes", w.names.maxRecordBytes, "needed", needed)
		}
	}
}

// stalled notes why sources of the cluster cannot begin, nil when they can. A cluster that answers a look may refuse what
// they need besides.
func (w *Worker) stalled(f *foreign, err error) {
	f.stalled = err
	w.sayWaits(f)
}

// waits is why a cluster cannot be read, nil: it can.
func (f *foreign) waits() error { return cmp.Or(f.away, f.stalled) }

// sayWaits lets the log, the metric and readiness say whether an ingress waits for its cluster.
func (w *Worker) sayWaits(f *foreign) {
	name, err, waits := f.ingress.ID.String(), f.waits(), 0.0
	switch {
	case err != nil && (f.said == nil || f.said.Error() != err.Error()):
		w.log.Warn("ingress waits for its cluster", "ingress", name, "brokers", f.ingress.Elsewhere, "error", err)
	case err == nil && f.said != nil:
		w.log.Info("ingress has its cluster", "ingress", name, "brokers", f.ingress.Elsewhere)
	}
	f.said = err
	if err != nil {
		waits = 1
	}
	w.metrics.ingressWaits.WithLabelValues(name).Set(waits)
	w.report()
}

// look asks the cluster for the topics of the ingress. Those that are missing make an error; the others are noted.
func (f *foreign) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, foreignTimeout)
	defer cancel()
	if f.client == nil {
		client, err := f.settings.Open()
		if err != nil {
			return err
		}
		f.client, f.lookups = client, &lookups{client: client, admin: kadm.NewClient(client)}
	}
	r := kmsg.NewPtrMetadataRequest()
	for i := range f.ingress.Topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &f.ingress.Topics[i].Topic
		r.Topics = append(r.Topics, t)
	}
	answer, err := r.RequestWith(ctx, f.client)
	if err != nil {
		return fmt.Errorf("read the topics of %s: %w", f.ingress.ID, err)
	}
	var missing []error
	for _, t := range answer.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			missing = append(missing, fmt.Errorf("topic %s: %w", *t.Topic, err))
			continue
		}
		f.seen(ctx, *t.Topic, t.TopicID, int32(len(t.Partitions)))
	}
	return errors.Join(missing...)
}

// seen notes a topic. One with another id is another topic: whoever reads it finds that out.
func (f *foreign) seen(ctx context.Context, topic string, id [16]byte, partitions int32) {
	name := f.ingress.SourceName(topic)
	before, known := f.topic(name)
	if known && (before.id != id || before.partitions >= partitions) {
		return
	}
	now := foreignTopic{name, id, partitions, before.retention, before.largest}
	if !known {
		now.retention, now.largest = f.configured(ctx, topic)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics[name] = now
}

// configured is how long a topic keeps its records, for ever where the worker may not know, and the largest that it takes.
func (f *foreign) configured(ctx context.Context, topic string) (retention time.Duration, largest int64) {
	retention = forever
	described, err := f.lookups.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return retention, 0
	}
	found, err := described.On(topic, nil)
	if err != nil || found.Err != nil {
		return retention, 0
	}
	for _, c := range found.Configs {
		n, err := strconv.ParseInt(c.MaybeValue(), 10, 64)
		switch {
		case err != nil || n < 0:
		case c.Key == "retention.ms":
			retention = time.Duration(min(n, forever.Milliseconds())) * time.Millisecond
		case c.Key == "max.message.bytes":
			largest = n
		}
	}
	return retention, largest
}

// topic is what is known under the name of a source.
func (f *foreign) topic(name string) (t foreignTopic, known bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	t, known = f.topics[name]
	return t, known
}

// seenTopics are the topics that were seen by now, in the order of their names.
func (f *foreign) seenTopics() []foreignTopic {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.SortedFunc(maps.Values(f.topics), func(a, b foreignTopic) int { return strings.Compare(a.name, b.name) })
}

// raw is the name that a topic has on its own cluster.
func (f *foreign) raw(name string) string { return strings.TrimPrefix(name, f.ingress.SourceName("")) }

// sourcesIn are the partitions q with q % n == id of topics.
func sourcesIn(topics []foreignTopic, id, n int32) (sources []source) {
	for _, t := range topics {
		for q := id; q < t.partitions; q += n {
			sources = append(sources, source{t.name, q, id})
		}
	}
	return sources
}

// recreated asks the cluster whether a topic is another one than when it was first seen.
func (f *foreign) recreated(ctx context.Context, topic string) bool {
	known, _ := f.topic(f.ingress.SourceName(topic))
	id, err := f.lookups.topicID(ctx, topic)
	return err == nil && id != known.id
}

// groupOffsets are what the ingress' group has on its own cluster, where a start position asks for them. They are read
// once, for the first start, and never written.
func (f *foreign) groupOffsets(ctx context.Context) (map[module.TopicPartition]fetched, error) {
	if kind := f.ingress.Startup.Kind; kind != module.StartGroupOffsets && kind != module.StartSpecificOffsets || f.ingress.ConsumerGroupID == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	group := f.ingress.ConsumerGroupID
	committed, err := f.lookups.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s for ingress %s: %w", group, f.ingress.ID, err)
	}
	if err := committed.Error(); err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s for ingress %s: %w", group, f.ingress.ID, err)
	}
	offsets := map[module.TopicPartition]fetched{}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			offsets[module.TopicPartition{Topic: f.ingress.SourceName(o.Topic), Partition: o.Partition}] = fetched{offset: o.At}
		}
	})
	return offsets, nil
}

// foreignOf is the cluster of a source, nil for the application's own.
func (w *Worker) foreignOf(name string) *foreign {
	if !module.IsForeign(name) {
		return nil
	}
	for _, f := range w.foreigns {
		if raw := f.raw(name); raw != name && !module.IsForeign(raw) {
			return f
		}
	}
	return nil
}

// topicID is the id of a source's topic as this worker knows it.
func (w *Worker) topicID(name string) [16]byte {
	if f := w.foreignOf(name); f != nil {
		t, _ := f.topic(name)
		return t.id
	}
	return w.names.topicIDs[name]
}

// foreignAway is what readiness waits for on other clusters, empty for nothing.
func (w *Worker) foreignAway() string {
	for _, f := range w.foreigns {
		if err := f.waits(); err != nil {
			return fmt.Sprintf("ingress %s waits for its cluster %s, the rest is at work: %v", f.ingress.ID, strings.Join(f.ingress.Elsewhere, ","), err)
		}
	}
	return ""
}

func (w *Worker) closeForeign() {
	for _, f := range w.foreigns {
		if f.client != nil {
			f.client.Close()
		}
	}
}
