package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// process is one worker under its name, with its disk.
type process struct {
	s       *sim
	name    string
	worker  *Worker
	ended   chan error
	cancel  context.CancelFunc
	network *network
	wake    func() // ends a stall; never nil while it runs
	disk    *vfs.MemFS
	old     *vfs.MemFS  // an older copy of the disk
	appends *kgo.Client // of its program; nil: that appends nothing
}

// add makes a process under the next name and starts it.
func (s *sim) add() {
	p := &process{s: s, name: s.nextName(), disk: vfs.NewCrashableMem()}
	s.processes = append(s.processes, p)
	p.start()
}

// start begins a process on the disk as it is.
func (p *process) start() {
	s := p.s
	p.network, p.wake = &network{}, func() {}
	if s.far != nil {
		p.network.away = s.far.isAway
	}
	c := s.config("/state")
	c.WorkerID, c.Functions, c.FileSystem = p.name, s.function, p.disk
	c.SessionTimeout, c.TransactionTimeout = simSession, simTransaction
	c.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("process", p.name)
	c.ClientOptions = []kgo.Opt{
		kgo.Dialer(p.network.dial), kgo.WithHooks(p.network), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
	}
	p.outfit(&c)
	worker, err := New(inProcess(c))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.worker, p.cancel, p.ended = worker, cancel, make(chan error, 1)
	go func(ended chan error) { ended <- worker.Run(ctx) }(p.ended)
}

// outfit gives the worker what its program has for it.
func (p *process) outfit(c *Config) {
	s, network := p.s, p.network
	if s.far != nil {
		c.LookEvery = simLook
	}
	if s.sink != nil {
		c.Sinks = map[protocol.TypeName]outbox.Target{testSink: outbox.Callback(func(ctx context.Context, item outbox.Item) error {
			return s.sink.take(ctx, network, item)
		})}
	}
	if s.shape.own {
		p.openAppends()
		c.Routes = map[protocol.TypeName]ingress.Route{fill: toItsKey}
	}
}

// flushAppends waits until what the program has appended is durable, as the end of its Run does.
func (p *process) flushAppends() {
	if p.appends != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = p.appends.Flush(ctx)
	}
}

// closeAppends ends the appends of the program, of which nobody knows then whether they are durable.
func (p *process) closeAppends() {
	if p.appends != nil {
		p.appends.Close()
	}
}

var errKilled = errors.New("killed")

// kill ends the process as kill -9 does: its connections break, nothing more of it reaches broker or disk.
func (p *process) kill() {
	s := p.s
	p.network.cut()
	p.wake()
	clone := p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: s.rng.IntN(101), RNG: rand.New(rand.NewPCG(s.rng.Uint64(), 1))})
	worker := p.worker
	worker.post(func() { worker.fail(errKilled) })
	p.cancel()
	<-p.ended
	p.closeAppends()
	switch s.rng.IntN(8) {
	case 0:
		s.count("disk lost")
		clone = vfs.NewCrashableMem()
	case 1:
		if p.old != nil {
			s.count("disk put back from an older copy")
			clone = p.old.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		}
	case 2:
		p.old = clone
	}
	p.disk = clone
}

// stop ends the process as SIGTERM does.
func (p *process) stop() {
	p.network.thaw()
	p.wake()
	p.flushAppends()
	p.closeAppends()
	p.cancel()
	if err := <-p.ended; err != nil && !isCopy(err) {
		p.s.t.Fatalf("clean stop of %s: %v", p.name, err)
	}
}

// supervise finds processes that have ended by themselves. Only one reason is none to fail for: the disk was put back
// from an older copy, which knows nothing of the process whose membership has not run out yet. It is started again.
func (s *sim) supervise() {
	for _, p := range s.processes {
		select {
		case err := <-p.ended:
			if !isCopy(err) {
				s.t.Fatalf("%s ended by itself: %v", p.name, err)
			}
			s.count("refused as a copy and started again")
			p.disk = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			p.closeAppends()
			p.start()
		default:
		}
	}
}

func isCopy(err error) bool {
	return strings.Contains(err.Error(), "its process never ran on the state folder")
}

// stall stops the process for a while as SIGSTOP and SIGCONT do, or only its network.
func (p *process) stall(d time.Duration, networkOnly bool) {
	network, still := p.network, make(chan struct{})
	p.wake()
	network.freeze()
	if !networkOnly {
		p.worker.post(func() { <-still })
	}
	over := time.AfterFunc(d, func() {
		close(still)
		network.thaw()
	})
	p.wake = func() {
		if over.Stop() {
			close(still)
			network.thaw()
		}
	}
}

// takesOver waits until the process is in the middle of a take-over, or has none for a while.
func (p *process) takesOver() (is bool) {
	for range 100 {
		answer := make(chan bool, 1)
		p.worker.post(func() { answer <- len(p.worker.takeovers) > 0 })
		select {
		case is = <-answer:
		case <-time.After(20 * time.Millisecond): // it has not begun to turn
		}
		if is {
			return true
		}
		time.Sleep(time.Millisecond) // nothing tells the moment
	}
	return false
}
