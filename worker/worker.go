package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/egress"
	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/kafka"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/router"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// Worker is one member of the application's consumer group.
type Worker struct {
	Config
	log       *slog.Logger
	metrics   *metrics
	settings  kafka.Settings // of everything but the producer
	producing kafka.Settings
	router    *router.Router
	catalog   *egress.Catalog
	lookups   lookups
	budget    *budget
	suspects  map[string]time.Time // see producer
	bodies    *invoker.Bodies      // of answers; when it is full no more calls are made
	egresses  map[protocol.TypeName]bool
	foreigns  []*foreign

	// Set by prepare, before the loop begins, and never again.
	plan          *topics.Plan
	ingressTopics []topics.Topic // with their partition counts at the start; sizes has those of now
	sizes         sizes
	odd           chan struct{} // see watchIngresses
	names         names
	store         *state.Store
	admin         *kgo.Client
	group         *member

	answers           chan *answer
	batches           chan *batch
	posts             chan func()
	began             chan struct{} // closed when the loop begins
	done              chan struct{} // closed when the loop has ended
	work              sync.WaitGroup
	calls             sync.WaitGroup // in process
	remote, inProcess *carriers

	notReady atomic.Pointer[string] // why, nil: ready

	// hangUp ends whatever any client of the worker is doing. The context of a request does not do: it is not looked at
	// while its connection is being made, which takes ten seconds with a broker that answers nothing.
	lines  context.Context
	hangUp context.CancelFunc

	loop
}

// names are the topics and ids of the application.
type names struct {
	mailbox, changelog, deadLetter string
	worker                         string
	topicIDs                       map[string][16]byte
	deadLetterPartitions           int32
	maxRecordBytes                 int // that mailbox and changelog take
	deadLetterBytes                int // that the dead-letter topic takes
}

// loop is what only the loop's goroutine touches.
type loop struct {
	ctx        context.Context // of everything that the loop starts
	partitions map[int32]*partition
	assigned   map[int32]bool
	away       error  // why the group cannot be reached, nil: it can
	captured   string // the member id to which ownership is tied
	registry   *task.Registry
	endpoints  []*endpoint
	unserved   map[protocol.TypeName]bool // functions that were asked for and are not in the module
	byEndpoint map[*module.Endpoint]*endpoint
	flight     flight
	ingress    *reader
	mailboxes  *reader
	takeovers  []*takeover
	restores   map[int32]chan struct{} // ended of the last take-over of each partition
	barriers   []*barrier
	following  []balance.Follow // what the group's leader wants this worker to follow
	standby    *standby         // nil: follows nothing yet
	wished     time.Time        // for a new distribution
	retakeAt   time.Time        // when to look whether lost partitions are this worker's still; zero: not
	growing    *growth          // nil: no ingress topic has got partitions
	sends      dispatches
	epoch      epoch

	collected   []*kgo.Record // mailbox, egress and dead-letter records since the last cut
	bytes       int           // of them
	firstEffect time.Time
	running     *transaction
	lastCommit  time.Duration
	lastCut     time.Time
	halvings    int                      // of a transaction's limit, after one that did not end within its time-out
	counter     uint64                   // of transactions
	turns       uint64                   // of paths
	producers   [producerSlots]*producer // take turns
	now         time.Time
	housekept   time.Time
	swept       time.Time
	trimmed     time.Time
	revokes     []*revocation
	measured    map[int32]bool // partitions that have gauges
	stopping    bool
	stopped     time.Time // when the stop began
	failure     error
}

// epoch bounds the calls that rest on one state of the tasks: an abort ends it.
type epoch struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// New checks the configuration; nothing is opened before Run.
func New(c Config) (*Worker, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	w := &Worker{
		Config: c, log: slog.New(brief{c.Logger.Handler()}), metrics: newMetrics(c.Registerer),
		router: router.New(c.Module), catalog: egress.NewCatalog(egress.Options{}),
		budget: newBudget(c.Module.Application.Limits.ReadBudgetBytes), egresses: map[protocol.TypeName]bool{},
		answers: make(chan *answer, answersWaiting), batches: make(chan *batch, 2), posts: make(chan func(), 64),
		began: make(chan struct{}), done: make(chan struct{}), odd: make(chan struct{}, 1), suspects: map[string]time.Time{},
	}
	w.lines, w.hangUp = context.WithCancel(context.Background())
	w.ClientOptions = append(slices.Clone(w.ClientOptions), kgo.WithContext(w.lines))
	w.remote, w.inProcess = newCarriers(&w.work), newCarriers(&w.calls)
	for _, e := range c.Module.Egresses {
		w.egresses[e.ID] = true
	}
	for _, s := range c.Module.Sinks {
		w.egresses[s.ID] = true
	}
	reading, producing, err := kafka.ForModule(c.Module, c.Brokers)
	if err != nil {
		return nil, err
	}
	w.settings, w.producing = reading.With(w.ClientOptions...), producing.With(w.ClientOptions...)
	if w.SessionTimeout == 0 {
		w.SessionTimeout = reading.SessionTimeout()
	}
	if w.SessionTimeout == 0 {
		w.SessionTimeout = defaultSessionTimeout
	}
	w.unready("starting")
	if err := w.openDispatches(); err != nil {
		return nil, err
	}
	if err := w.openForeign(); err != nil {
		return nil, err
	}
	return w, w.openEndpoints()
}

// answersWaiting is how many answers wait for the loop before calls wait to hand theirs over.
const answersWaiting = 256

func (w *Worker) unready(why string) { w.notReady.Store(&why) }

// Ready is nil when every assigned partition runs; otherwise it says what is waited for.
func (w *Worker) Ready() error {
	if why := w.notReady.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// Run works until ctx is done, which is a clean stop: it stops fetching, commits what is applied and leaves the
// group; then it returns nil. It returns an error when the worker cannot go on; nothing is lost either way. Run may
// be called once.
func (w *Worker) Run(ctx context.Context) error {
	defer w.close()
	connected := context.AfterFunc(ctx, w.hangUp) // a start waits for brokers only; from then on the loop ends things in order
	if err := w.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if !connected() { // told to stop just now: its clients have ended
		return nil
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w.loop.begin(background)
	w.group = w.join()
	w.spawn(func() { w.watchIngresses(background) })
	for _, f := range w.foreigns {
		w.spawn(func() { w.watchForeign(background, f) })
	}
	close(w.began)
	err := w.turn(ctx)
	close(w.done)
	cancel()
	w.epoch.cancel()
	defer time.AfterFunc(time.Until(w.stopBegan().Add(lastCommitTimeout+leaveTimeout)), w.hangUp).Stop()
	w.group.leave(err == nil)
	w.work.Wait()
	w.awaitCalls()
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.names.worker, err)
	}
	w.log.Info("stopped", "worker", w.names.worker)
	return nil
}

// stopBegan is when the worker was told to stop, or has failed.
func (w *Worker) stopBegan() time.Time {
	if w.stopped.IsZero() {
		return time.Now()
	}
	return w.stopped
}

func (l *loop) begin(ctx context.Context) {
	l.ctx = ctx
	l.partitions, l.assigned = map[int32]*partition{}, map[int32]bool{}
	l.restores, l.measured = map[int32]chan struct{}{}, map[int32]bool{}
	l.registry, l.unserved = task.NewRegistry(), map[protocol.TypeName]bool{}
	for _, e := range l.endpoints {
		if e.spec.Generation == protocol.Generation2 {
			l.registry.Declare(protocol.TypeName(e.spec.Functions), e.spec.States)
		}
	}
	l.newEpoch()
}

func (l *loop) newEpoch() {
	if l.epoch.cancel != nil {
		l.epoch.cancel()
	}
	l.epoch.ctx, l.epoch.cancel = context.WithCancel(l.ctx)
}

// post hands f to the loop; it is dropped once the loop has ended.
func (w *Worker) post(f func()) {
	select {
	case w.posts <- f:
	case <-w.done:
	}
}

// spawn runs f on a goroutine of its own that Run waits for.
func (w *Worker) spawn(f func()) { spawnIn(&w.work, f) }

func spawnIn(group *sync.WaitGroup, f func()) {
	group.Add(1)
	go func() {
		defer group.Done()
		f()
	}()
}

// fail ends the loop with an error that it cannot go on from.
func (w *Worker) fail(err error) {
	if w.failure == nil {
		w.failure = err
	}
}

func (w *Worker) close() {
	w.hangUp() // BEFORE the clients are closed, each of which would bid its brokers farewell, for a second if they are silent
	for _, e := range w.endpoints {
		e.close()
	}
	for _, p := range w.producers {
		if p != nil {
			p.client.Close()
		}
	}
	w.closeDispatches()
	w.closeForeign()
	if w.admin != nil {
		w.admin.Close()
	}
	if w.store == nil {
		return
	}
	if err := w.store.Close(); err != nil {
		w.log.Error("close the state folder", "folder", w.StateDir, "error", err)
	}
}
