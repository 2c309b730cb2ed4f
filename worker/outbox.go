package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// dispatches are the deliveries of this worker to where no transaction reaches. Only the loop touches them, but for what
// is set before it begins.
type dispatches struct {
	settings map[string]kafka.Settings    // of every egress of the module
	far      map[protocol.TypeName]string // egresses of other clusters, with the names of their rows' target
	sinks    map[string]outbox.Target     // the program's own code, by the names of its rows' target
	prefix   string                       // of the ids of rows

	metrics *outbox.Metrics
	targets map[string]outbox.Target // that are open
	clients []*kgo.Client            // of them
	held    waiting                  // by all partitions, for targets that the module has
	settled []*settled               // that were not taken in yet
	strange map[string]bool          // targets that the module has not
}

// knows tells whether the module has a target.
func (d *dispatches) knows(target string) bool {
	_, egress := d.settings[target]
	_, sink := d.sinks[target]
	return egress || sink
}

// waiting counts rows that are in the outbox, or whose removal is not committed.
type waiting struct {
	rows  int
	bytes int64
}

func (h *waiting) add(rows int, bytes int64) { h.rows, h.bytes = h.rows+rows, h.bytes+bytes }

// box is what one partition has for one target.
type box struct {
	waiting
	lane *outbox.Lane // nil while there is nothing to deliver
}

// parcel is what an answer sends to a target.
type parcel struct {
	target  string
	payload []byte
}

// settled is what came of rows of one lane, which waits until the loop has taken it in.
type settled struct {
	task    *task.Task
	target  string
	results []outbox.Result
	taken   chan struct{}
}

// openDispatches finds what the module sends elsewhere. Nothing is opened.
func (w *Worker) openDispatches() error {
	w.sends = dispatches{
		settings: map[string]kafka.Settings{}, far: map[protocol.TypeName]string{}, metrics: outbox.NewMetrics(w.Registerer),
		targets: map[string]outbox.Target{}, strange: map[string]bool{},
	}
	for i := range w.Module.Egresses {
		e := &w.Module.Egresses[i]
		settings := w.producing // an egress that came back to this cluster may have rows of before
		if e.Elsewhere != nil {
			var err error
			if settings, err = kafka.ForEgress(e); err != nil {
				return fmt.Errorf("egress %s: %w", e.ID, err)
			}
			settings = settings.With(w.ClientOptions...)
			w.sends.far[e.ID] = e.ID.String()
			w.log.Info("egress writes to another cluster: at least once, after the commit", "egress", e.ID.String(), "brokers", e.Elsewhere, "id_header", outbox.HeaderID)
		}
		w.sends.settings[e.ID.String()] = settings
	}
	return w.openSinks()
}

// parcelBytes is more than a row, and then a dead-letter record, add to a payload.
const parcelBytes = 4096

// pack makes an egress record a parcel. It is refused when it would fit neither the changelog nor, later, the dead-letter
// topic.
func (w *Worker) pack(a *answer, target string, r *kgo.Record) error {
	p := parcel{target, outbox.AppendRecord(nil, r)}
	if n := w.parcelSize(a, p); n > w.names.maxRecordBytes {
		return fmt.Errorf("egress %s is on another cluster, so its records go through the changelog, which takes %d bytes a record: one for topic %s has %d with what is added: raise max.message.bytes of %s, or send less",
			target, w.names.maxRecordBytes, r.Topic, n, w.names.changelog)
	}
	a.parcels = append(a.parcels, p)
	return nil
}

// parcelSize bounds what a parcel takes in a record.
func (w *Worker) parcelSize(a *answer, p parcel) int {
	return len(p.payload) + 2*len(a.Target.ID) + parcelBytes
}

// stow puts a parcel into the outbox of the sender's partition.
func (w *Worker) stow(p *partition, sender string, c parcel) {
	seq := p.task.Number()
	row := state.Row{Key: state.OutboxKey(c.target, seq), Value: state.AppendOutbox(nil, state.Outbox{
		Since: w.now, ID: fmt.Sprintf("%s/%d/%d", w.sends.prefix, p.id, seq), Sender: sender, Payload: c.payload,
	})}
	p.task.Put(row)
	w.count(p, c.target, 1, int64(len(row.Key)+len(row.Value)))
	p.stowed = true
}

// count notes rows that were added, or removed when negative.
func (w *Worker) count(p *partition, target string, rows int, bytes int64) {
	b := p.boxes[target]
	if b == nil {
		b = &box{}
		p.boxes[target] = b
	}
	b.add(rows, bytes)
	if w.sends.knows(target) {
		w.sends.held.add(rows, bytes)
	}
}

// openBoxes finds what a partition has in its outbox, which its last owner has left or an abort sends back, and begins to
// deliver it.
func (w *Worker) openBoxes(p *partition) error {
	w.closeBoxes(p)
	p.boxes = map[string]*box{}
	ctx, cancel := context.WithCancel(w.ctx)
	p.lanes, p.endLanes = ctx, cancel
	from, to := state.KindRange(state.KindOutbox)
	err := w.store.Scan(p.id, from, to, 0, func(key, value []byte) error {
		target, _, err := state.ParseOutboxKey(key)
		if err == nil {
			w.count(p, target, 1, int64(len(key)+len(value)))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("partition %d: restore the outbox: %w", p.id, err)
	}
	return w.wakeLanes(p)
}

// closeBoxes ends the deliveries of a partition. What is on its way may arrive all the same, and again from the next owner.
func (w *Worker) closeBoxes(p *partition) {
	if p.boxes == nil {
		return
	}
	p.endLanes()
	for target, b := range p.boxes {
		if w.sends.knows(target) {
			w.sends.held.add(-b.rows, -b.bytes)
		}
	}
	p.boxes = nil
}

// wakeLanes delivers what is committed.
func (w *Worker) wakeLanes(p *partition) error {
	for name, b := range p.boxes {
		if b.lane == nil && b.rows > 0 && !w.stopping {
			lane, err := w.openLane(p, name)
			if err != nil {
				return err
			}
			b.lane = lane
		}
		if b.lane != nil {
			b.lane.Wake()
		}
	}
	return nil
}

// stowedRows delivers the rows of the outbox that a transaction has brought.
func (w *Worker) stowedRows(p *partition, committed *part) {
	if !committed.stowed {
		return
	}
	if err := w.wakeLanes(p); err != nil {
		w.fail(err)
	}
}

// openLane begins to deliver the rows of a partition to a target; nil for a target that the module has not.
func (w *Worker) openLane(p *partition, name string) (*outbox.Lane, error) {
	target, err := w.target(name)
	if target == nil || err != nil {
		return nil, err
	}
	t, ctx := p.task, p.lanes
	lane := outbox.NewLane(outbox.Config{
		Partition: p.id, Target: name, Store: partitionStore{w.store, p.id}, Deliver: target, Metrics: w.sends.metrics, Logger: w.log,
		Settled: func(ctx context.Context, results []outbox.Result) {
			s := &settled{t, name, results, make(chan struct{})}
			w.post(func() { w.sends.settled = append(w.sends.settled, s) })
			select {
			case <-s.taken:
			case <-ctx.Done():
			}
		},
		Failed: func(err error) { w.post(func() { w.fail(err) }) },
	})
	w.spawn(func() { lane.Run(ctx) })
	return lane, nil
}

// target opens a target when it is first needed.
func (w *Worker) target(name string) (outbox.Target, error) {
	if t := w.sends.targets[name]; t != nil {
		return t, nil
	}
	if t := w.sends.sinks[name]; t != nil {
		return t, nil
	}
	settings, known := w.sends.settings[name]
	if !known {
		if !w.sends.strange[name] {
			w.sends.strange[name] = true
			w.log.Error("the outbox has rows for an egress that the module has not: they are kept until it has it again", "egress", name)
		}
		return nil, nil
	}
	catalog := egress.NewCatalog(egress.Options{})
	catalog.Reserve(reserved(w.plan)...) // another address may lead to the application's own cluster
	client, err := settings.Open(outbox.ProducerOptions(catalog)...)
	if err != nil {
		return nil, fmt.Errorf("egress %s: %w", name, err)
	}
	w.sends.clients = append(w.sends.clients, client)
	l := &lookups{client: client, admin: kadm.NewClient(client)}
	learn := func(ctx context.Context, topic string) error { return l.learn(ctx, catalog, topic) }
	spawn := func(work func(context.Context)) { w.spawn(func() { work(w.ctx) }) }
	t := outbox.NewKafka(client, catalog, learn, spawn)
	w.sends.targets[name] = t
	return t, nil
}

// takeSettled removes rows that are settled, as far as the next transaction has room.
func (w *Worker) takeSettled() {
	for len(w.sends.settled) > 0 && !w.full() {
		s := w.sends.settled[0]
		w.sends.settled = w.sends.settled[1:]
		w.settle(s)
		close(s.taken)
	}
}

func (w *Worker) settle(s *settled) {
	p := w.partitions[s.task.Partition]
	if p == nil || p.task != s.task || p.stage != running {
		return // they are delivered again, under the same ids
	}
	for _, r := range s.results {
		p.task.Put(state.Row{Key: state.OutboxKey(s.target, r.Seq)})
		w.count(p, s.target, -1, -int64(r.Bytes))
		if r.Refusal != nil {
			w.deadLetterRow(s.target, r)
		}
	}
}

// The headers of a dead-letter record that comes from the outbox, beside those of all.
const (
	headerEgress  = ingress.HeaderPrefix + "egress"
	headerCluster = ingress.HeaderPrefix + "egress-cluster"

	letterTime = "2006-01-02T15:04:05.000Z07:00" // how all of them write a timestamp
)

// deadLetterRow writes what a target will never take to the dead-letter topic, in the transaction that removes its row.
func (w *Worker) deadLetterRow(target string, r outbox.Result) {
	detail := r.Refusal.Error()
	who := "another cluster"
	record, err := outbox.ParseRecord(r.Payload)
	if err != nil {
		record = &kgo.Record{Value: r.Payload}
	}
	letter := &kgo.Record{Topic: w.names.deadLetter, Key: record.Key, Value: record.Value}
	_, sink := w.sends.sinks[target]
	if sink {
		who = "a sink"
	}
	if sink && record.Topic == "" { // else it was written when the id was that of an egress, and its topic has to be told
		letter.Key, letter.Headers = []byte(r.Sender), sinkHeaders(record)
	} else {
		letter.Headers = farHeaders(record)
		if settings, known := w.sends.settings[target]; known {
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: headerCluster, Value: []byte(settings.String())})
		}
	}
	w.log.Error(who+" refuses a record for ever, it goes to the dead-letter topic", "egress", target, "reason", r.Refusal.Reason, "id", r.ID, "error", detail)
	for _, h := range [][2]string{
		{ingress.HeaderReason, r.Refusal.Reason}, {ingress.HeaderDetail, detail[:min(len(detail), detailBytes)]},
		{headerEgress, target}, {ingress.HeaderApplication, w.ApplicationID}, {outbox.HeaderID, r.ID},
	} {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	w.collectDeadLetter(letter)
}

// farHeaders are those that tell of a record for a topic, behind its own.
func farHeaders(record *kgo.Record) []kgo.RecordHeader {
	headers := append([]kgo.RecordHeader(nil), record.Headers...)
	if !record.Timestamp.IsZero() { // of the function; a header, since it may be what was refused
		headers = append(headers, kgo.RecordHeader{Key: ingress.HeaderTimestamp, Value: []byte(record.Timestamp.UTC().Format(letterTime))})
	}
	return append(headers, kgo.RecordHeader{Key: ingress.HeaderTopic, Value: []byte(record.Topic)})
}

// outboxFull reports whether so much waits for targets that reading ingresses has to wait too.
func (w *Worker) outboxFull(part float64) bool {
	limits := w.Module.Application.Limits
	return float64(w.sends.held.rows) >= part*float64(limits.OutboxRows) || float64(w.sends.held.bytes) >= part*float64(limits.OutboxBytes)
}

// measureOutbox sets the gauges of what waits.
func (w *Worker) measureOutbox() {
	all, oldest := map[string]*waiting{}, map[string]time.Time{}
	for name := range w.sends.settings {
		if w.sends.targets[name] != nil || w.isFar(name) {
			all[name] = &waiting{}
		}
	}
	for name := range w.sends.sinks {
		all[name] = &waiting{}
	}
	for _, p := range w.partitions {
		for name, b := range p.boxes {
			if all[name] == nil {
				all[name] = &waiting{}
			}
			all[name].add(b.rows, b.bytes)
			if b.lane == nil {
				continue
			}
			if since, waits := b.lane.Oldest(); waits && (oldest[name].IsZero() || since.Before(oldest[name])) {
				oldest[name] = since
			}
		}
	}
	for name, h := range all {
		age := 0.0
		if since := oldest[name]; !since.IsZero() {
			age = max(w.now.Sub(since).Seconds(), 0)
		}
		w.sends.metrics.Rows.WithLabelValues(name).Set(float64(h.rows))
		w.sends.metrics.Bytes.WithLabelValues(name).Set(float64(h.bytes))
		w.sends.metrics.Age.WithLabelValues(name).Set(age)
	}
}

func (w *Worker) isFar(target string) bool {
	for _, name := range w.sends.far {
		if name == target {
			return true
		}
	}
	return false
}

func (w *Worker) closeDispatches() {
	for _, client := range w.sends.clients {
		client.Close()
	}
}
