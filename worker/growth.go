package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// lookEvery is how often a worker asks whether ingress topics have got more partitions: one request for all of them.
const lookEvery = 30 * time.Second

// sizes are the partition counts of the ingress topics as they were seen last. They only grow: a topic with fewer
// partitions is another topic, which its id tells. Take-overs read them beside the loop.
type sizes struct {
	mu     sync.RWMutex
	counts map[string]int32
}

func (s *sizes) of(topic string) int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.counts[topic]
}

// seen takes in a count and reports whether the topic has grown from one that was known.
func (s *sizes) seen(topic string, count int32) (before int32, grown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.counts[topic]
	if count <= before {
		return before, false
	}
	if s.counts == nil {
		s.counts = map[string]int32{}
	}
	s.counts[topic] = count
	return before, before > 0
}

// watchIngresses looks for new partitions of the ingress topics until ctx is done: now and then, and at once when
// something was odd about a fetch.
func (w *Worker) watchIngresses(ctx context.Context) {
	tick := time.NewTicker(w.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.odd:
		case <-ctx.Done():
			return
		}
		if err := w.look(ctx); err != nil {
			if ctx.Err() == nil {
				w.log.Warn("look at the ingress topics", "error", err)
			}
			continue
		}
		w.post(w.extend)
	}
}

// lookSoon asks for a look ahead of time; several such wishes become one look.
func (w *Worker) lookSoon() {
	select {
	case w.odd <- struct{}{}:
	default:
	}
}

// look asks the cluster how many partitions the ingress topics have.
func (w *Worker) look(ctx context.Context) error {
	if len(w.ingressTopics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r := kmsg.NewPtrMetadataRequest()
	for i := range w.ingressTopics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &w.ingressTopics[i].Name
		r.Topics = append(r.Topics, t)
	}
	answer, err := r.RequestWith(ctx, w.admin)
	if err != nil {
		return fmt.Errorf("read the partitions of the ingress topics: %w", err)
	}
	for _, t := range answer.Topics {
		if t.Topic == nil || t.ErrorCode != 0 || t.TopicID != w.names.topicIDs[*t.Topic] {
			continue // gone for now, or another topic: whoever reads it finds that out
		}
		before, grown := w.sizes.seen(*t.Topic, int32(len(t.Partitions)))
		if !grown {
			continue
		}
		w.log.Info("an ingress topic has got more partitions", "topic", *t.Topic, "from", before, "to", len(t.Partitions))
		if int32(len(t.Partitions))%w.plan.Partitions != 0 {
			w.log.Warn("its count is no multiple of the application's: its records cross between partitions, which is right and slower", "topic", *t.Topic, "partitions", w.plan.Partitions)
		}
	}
	return nil
}

// growth brings sources that running partitions have got from found to read. Nothing else of these partitions waits
// for it:
//
//	find     on a goroutine: the group's offsets, the first record                       as a take-over does
//	begin    the task gets the source; its progress row is in the worker's next transaction
//	read     once that is committed, so that the start is the same after a crash (H8)
//
// An abort or a loss ends it with its epoch; what it had begun is found anew.
type growth struct {
	beginnings
	tasks  map[int32]*task.Task
	added  []addition // from begin on
	placed bool       // rows of it are among those that the tasks have collected
	cut    bool       // its rows are in a transaction
}

// addition is a source that a task was given.
type addition struct {
	task   *task.Task
	source *task.Source
	as     source
}

// extend begins to read what the running partitions have got since they were taken over, and everything of other
// clusters. One growth of each cluster is on its way at a time; its end looks again.
func (w *Worker) extend() {
	w.growing = w.extendFrom(nil, w.growing)
	for _, f := range w.foreigns {
		f.growing = w.extendFrom(f, f.growing)
	}
}

func (w *Worker) extendFrom(far *foreign, before *growth) *growth {
	if w.stopping || before != nil && before.ctx.Err() == nil {
		return before
	}
	g := &growth{beginnings: beginnings{w: w, ctx: w.epoch.ctx, far: far, sources: map[int32][]source{}}, tasks: map[int32]*task.Task{}}
	if far != nil {
		g.seen = far.seenTopics()
	}
	for id, p := range w.partitions {
		if p.stage != running {
			continue
		}
		if fresh, is := w.fresh(g, p); is {
			g.partitions = append(g.partitions, id)
			g.sources[id], g.tasks[id] = fresh, p.task
		}
	}
	if len(g.partitions) == 0 {
		return nil
	}
	w.spawn(func() {
		err := g.again("stable offsets", g.fetchOffsets)
		if err == nil {
			err = g.find()
		}
		w.post(func() { w.grow(g, err) })
	})
	return g
}

// fresh are the sources of a growth's cluster that a partition has not begun. Of another cluster it may have to begin with a topic
// of which it reads nothing: the row that says so tells partitions apart that the topic gets later.
func (w *Worker) fresh(g *growth, p *partition) (sources []source, is bool) {
	if g.far == nil {
		sources = added(p.sources, w.sourcesOf(p.id))
		return sources, len(sources) > 0
	}
	sources = added(p.sources, sourcesIn(g.seen, p.id, w.plan.Partitions))
	is = len(sources) > 0
	for _, t := range g.seen {
		row, err := w.store.Get(p.id, state.IngressKey(t.name))
		if err != nil {
			w.fail(err)
			return nil, false
		}
		is = is || row == nil
	}
	return sources, is
}

// growingOf is the growth of a cluster that is on its way.
func (w *Worker) growingOf(far *foreign) **growth {
	if far != nil {
		return &far.growing
	}
	return &w.growing
}

// added are the sources of now that are not among those of before.
func added(before, now []source) (fresh []source) {
	has := map[source]bool{}
	for _, s := range before {
		has[s] = true
	}
	for _, s := range now {
		if !has[s] {
			fresh = append(fresh, s)
		}
	}
	return fresh
}

// grow gives the tasks their new sources. They are not read yet.
func (w *Worker) grow(g *growth, err error) {
	if g.far != nil {
		w.stalled(g.far, nil)
	}
	if g.ctx.Err() != nil || *w.growingOf(g.far) != g {
		return
	}
	if err != nil {
		w.fail(fmt.Errorf("begin to read new ingress partitions: %w", err))
		return
	}
	for _, id := range g.partitions {
		p := w.partitions[id]
		if p == nil || p.stage != running || p.task != g.tasks[id] {
			continue // revoked meanwhile: the next owner finds what it needs
		}
		for _, s := range g.sources[id] {
			progress, err := g.progress(s)
			if err != nil {
				w.fail(err)
				return
			}
			source := task.NewSource(s.topic, s.partition, w.topicID(s.topic), progress)
			p.task.Begin(source)
			g.added = append(g.added, addition{p.task, source, s})
			g.placed = true
		}
		for _, row := range g.ingressRows(id) {
			p.task.Put(row)
			g.placed = true
		}
	}
	if !g.placed {
		*w.growingOf(g.far) = nil
	}
}

// progress is how far a source is: as it was found to begin, else what another owner has left.
func (g *growth) progress(s source) (state.Progress, error) {
	if b := g.begun[s.owner]; b != nil {
		for _, start := range b.sources {
			if start.source == s {
				return state.Progress{Position: start.offset}, nil
			}
		}
	}
	progress, known, err := task.Progress(partitionStore{g.w.store, s.owner}, s.topic, s.partition)
	if err == nil && !known {
		err = errNoProgress(s.topic, s.partition)
	}
	return progress, err
}

// takeGrowths gives those whose rows are in the transaction that is being cut.
func (w *Worker) takeGrowths() (taken []*growth) {
	all := []*growth{w.growing}
	for _, f := range w.foreigns {
		all = append(all, f.growing)
	}
	for _, g := range all {
		if g != nil && g.placed && !g.cut {
			g.cut = true
			taken = append(taken, g)
		}
	}
	return taken
}

// grown begins to read sources whose start is committed.
func (w *Worker) grown(g *growth) {
	if *w.growingOf(g.far) != g || g.ctx.Err() != nil {
		return
	}
	*w.growingOf(g.far) = nil
	for _, a := range g.added {
		p := w.partitions[a.as.owner]
		if p == nil || p.task != a.task || p.stage != running {
			continue
		}
		p.sources = append(p.sources, a.as)
		w.readAlso(g.far, p, a.source)
	}
	w.extend()
}

// readAlso reads one more source. The reader goes on with the others meanwhile.
func (w *Worker) readAlso(far *foreign, p *partition, s *task.Source) {
	reader := &w.ingress
	if far != nil {
		reader = &far.reader
	}
	tp := module.TopicPartition{Topic: s.Topic, Partition: s.Partition}
	switch {
	case *reader == nil:
		*reader = w.openReader(far, map[module.TopicPartition]*feed{tp: w.ingressFeed(p, s)}, w.budget)
	case (*reader).feed(tp) != nil:
		return // a reader that was opened meanwhile has it
	default:
		(*reader).add(tp, w.ingressFeed(p, s))
	}
	w.log.Info("source is read", "topic", s.Topic, "partition", s.Partition, "offset", s.Next())
}

// add lets the reader read a source more.
func (r *reader) add(tp module.TopicPartition, f *feed) {
	r.mu.Lock()
	r.feeds[tp] = f
	r.mu.Unlock()
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.raw(tp.Topic): {tp.Partition: kgo.NewOffset().At(f.source.Next())}})
}

func (r *reader) feed(tp module.TopicPartition) *feed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.feeds[tp]
}
