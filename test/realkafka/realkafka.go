// Package realkafka runs Apache Kafka from its published jars on this machine, for tests and benchmarks.
//
// One broker is one Java process in KRaft mode, broker and controller in one; Start runs one alone, StartCluster
// several that know each other. The jars come from Maven Central once and are kept in the user's cache folder, with a
// class archive that halves the start. The processes die with the program that started them.
package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// The Kafka versions that the project is tested on.
const (
	// Version4 has transaction.version 2: each transaction raises the producer's epoch.
	Version4 = "4.1.0"
	// Version3 has no transaction.version feature beyond the old protocol.
	Version3 = "3.9.1"
)

// startLimit bounds one start. Kafka is up in 2 s on an idle machine; 40 s were seen on one with ten times more to do
// than processors.
const startLimit = 3 * time.Minute

// stopLimit is how long a broker may take over a clean stop before it is killed.
const stopLimit = 30 * time.Second

// Options says which Kafka to run and where.
type Options struct {
	// Version is the Kafka version; empty means Version4.
	Version string
	// Dir keeps the broker's data, settings and log; empty means a temporary folder that Stop removes.
	Dir string
	// Port is the listener's port on 127.0.0.1; 0 picks a free one, kept over Restart.
	Port int
	// Properties are added to the broker's settings and beat the package's own.
	Properties map[string]string
	// Listeners are further ways into the broker.
	Listeners []Listener
	// Features are levels that the storage is formatted with, such as transaction.version=1; it has no effect on a
	// folder that is formatted.
	Features map[string]int
	// Sustained asks for the full compiler, G1 and a 1 GiB heap: for benchmarks. Without it the JVM is set up to
	// start fast and stay small.
	Sustained bool
}

// Listener is one more way into the broker, whose clients are told another address than the one it listens on: that of
// a proxy between them.
type Listener struct {
	// Name is the listener's name: letters and digits.
	Name string
	// Port is the port on 127.0.0.1; FreePort finds one.
	Port int
	// Advertised is the address that clients are told, host:port.
	Advertised string
}

// Broker is one running, stopped or killed Kafka broker. Its methods are not safe for concurrent use,
// save Addr, ID, PID and Done.
type Broker struct {
	options   Options
	install   install
	dir       string
	temporary bool
	id        int32
	port      int
	quorum    int       // the controller's port
	peers     []*Broker // all brokers of its cluster, itself too

	mu      sync.Mutex
	process *process.Process // the last one started
}

// Available reports what is missing on this machine to run Kafka: nil, or an error that names it.
func Available() error {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("look for %s (Kafka needs Java 17 or later and Maven): %w", tool, err)
		}
	}
	return nil
}

// Start runs a broker and returns once a client gets its metadata and a controller.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if o.Version == "" {
		o.Version = Version4
	}
	jars, err := installed(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	return start(ctx, o, jars)
}

func start(ctx context.Context, o Options, jars install) (_ *Broker, err error) {
	b, err := prepare(o, jars, 1)
	if err != nil {
		return nil, err
	}
	b.peers = []*Broker{b}
	defer b.keepLog(&err)
	if err := b.format(ctx); err != nil {
		return nil, err
	}
	return b, b.launch(ctx)
}

// prepare gives a broker its folder and its ports.
func prepare(o Options, jars install, id int32) (_ *Broker, err error) {
	b := &Broker{options: o, install: jars, dir: o.Dir, id: id, port: o.Port}
	if b.port == 0 {
		if b.port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if b.quorum, err = FreePort(); err != nil {
		return nil, err
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "realkafka-"); err != nil {
			return nil, fmt.Errorf("make a folder for Kafka: %w", err)
		}
		b.temporary = true
	}
	return b, nil
}

// keepLog ends a broker whose start failed; its folder stays, for whoever looks why.
func (b *Broker) keepLog(err *error) {
	if *err != nil {
		b.temporary = false
		*err = errors.Join(*err, b.Kill())
	}
}

// Addr is the broker's address for clients, host:port.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

// ID is the broker's node id: 1 for one that is alone, else its number in the cluster.
func (b *Broker) ID() int32 { return b.id }

// Version is the Kafka version that runs.
func (b *Broker) Version() string { return b.options.Version }

// LogFile is the file with everything the broker has said, over all its starts.
func (b *Broker) LogFile() string { return filepath.Join(b.dir, "kafka.log") }

// PID is the process id of the broker's last start.
func (b *Broker) PID() int { return b.current().PID() }

// Done is closed when the process of the broker's last start has ended.
func (b *Broker) Done() <-chan struct{} { return b.current().Done() }

// Stop ends the broker cleanly, and by force when that takes too long. A folder that Start made is removed;
// a folder given in Options keeps its data. A second Stop does nothing.
func (b *Broker) Stop() error {
	err := b.end(syscall.SIGTERM)
	if b.temporary {
		err = errors.Join(err, os.RemoveAll(b.dir))
	}
	return err
}

// Kill ends the broker at once (SIGKILL); its folder stays for Restart.
func (b *Broker) Kill() error { return b.end(syscall.SIGKILL) }

// End ends the broker cleanly (SIGTERM); its folder stays for Restart.
func (b *Broker) End() error { return b.end(syscall.SIGTERM) }

// Restart runs the broker again on its folder and port, after a clean stop if it still runs.
func (b *Broker) Restart(ctx context.Context) error {
	if err := b.end(syscall.SIGTERM); err != nil {
		return err
	}
	return b.launch(ctx)
}

// Stall freezes the broker (SIGSTOP): its connections stay open and nothing is answered. Resume, Kill, End and Stop end it.
func (b *Broker) Stall() error { return b.current().Signal(syscall.SIGSTOP) }

// Resume lets a stalled broker go on (SIGCONT).
func (b *Broker) Resume() error { return b.current().Signal(syscall.SIGCONT) }

func (b *Broker) current() *process.Process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// end signals the process, if one runs, and waits until it is gone.
func (b *Broker) end(sig syscall.Signal) error {
	p := b.current()
	if p == nil || p.Ended() {
		return nil
	}
	// A stalled process keeps a signal until it goes on.
	if err := errors.Join(p.Signal(sig), p.Signal(syscall.SIGCONT)); err != nil {
		return fmt.Errorf("stop Kafka: %w", err)
	}
	if !p.AwaitEnd(stopLimit) {
		p.Kill()
	}
	return nil
}

// launch starts the process and waits until it answers.
func (b *Broker) launch(ctx context.Context) error {
	if err := b.spawn(); err != nil {
		return err
	}
	return b.await(ctx)
}

// await waits until a process that was started answers, and ends one that does not.
func (b *Broker) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := b.awaitReady(ctx); err != nil {
		b.dumpThreads()
		return errors.Join(err, b.end(syscall.SIGKILL))
	}
	return nil
}

// dumpThreads lets a JVM that hangs write its threads' stacks to the log, for whoever looks why.
func (b *Broker) dumpThreads() {
	if p := b.current(); !p.Ended() && p.Signal(syscall.SIGQUIT) == nil {
		p.AwaitEnd(time.Second)
	}
}

// awaitReady returns once the broker is registered and knows a controller. A listening port is not enough: Kafka
// opens it before the broker is unfenced, and answers without this broker until then.
func (b *Broker) awaitReady(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DialTimeout(time.Second), kgo.RequestRetries(0))
	if err != nil {
		return fmt.Errorf("make a client for %s: %w", b.Addr(), err)
	}
	defer cl.Close()
	p := b.current()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Kafka %s at %s (last answer: %w): %w; its log %s ends with:\n%s",
				b.Version(), b.Addr(), last, ctx.Err(), b.LogFile(), p.Tail(shownLines))
		case <-p.Done():
			return fmt.Errorf("kafka %s ended before it answered, with code %d; its log %s ends with:\n%s",
				b.Version(), p.Code(), b.LogFile(), p.Tail(shownLines))
		case <-tick.C:
		}
		registered, err := b.registered(ctx, cl)
		if registered {
			return nil
		}
		if last = err; last == nil {
			last = errors.New("the broker is not registered yet")
		}
	}
}

// registered asks the broker itself: a client that knows the others by now would ask one of them.
func (b *Broker) registered(ctx context.Context, cl *kgo.Client) (bool, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none; nil would mean all
	answer, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return false, fmt.Errorf("ask broker %d who is there: %w", b.id, err)
	}
	meta := answer.(*kmsg.MetadataResponse)
	return meta.ControllerID >= 0 && slices.ContainsFunc(meta.Brokers, func(one kmsg.MetadataResponseBroker) bool {
		return one.NodeID == b.id
	}), nil
}

// shownLines is how much of a broker's log an error shows.
const shownLines = 20
