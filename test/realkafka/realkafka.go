// Package realkafka runs Apache Kafka from its published jars on this machine, for tests and benchmarks.
//
// One broker is one Java process in KRaft mode, broker and controller in one. The jars come from Maven Central
// once and are kept in the user's cache folder, with a class archive that halves the start. The process dies
// with the program that started it.
package realkafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
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
// save Addr, PID and Done.
type Broker struct {
	options   Options
	install   install
	dir       string
	temporary bool
	port      int
	quorum    int // the controller's port

	mu      sync.Mutex
	process *process // the last one started
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
	b := &Broker{options: o, install: jars, dir: o.Dir, port: o.Port}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "realkafka-"); err != nil {
			return nil, fmt.Errorf("make a folder for Kafka: %w", err)
		}
		b.temporary = true
	}
	defer func() {
		if err != nil {
			b.temporary = false // its log stays, for whoever looks why
			err = errors.Join(err, b.Stop())
		}
	}()
	if b.port == 0 {
		if b.port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if b.quorum, err = FreePort(); err != nil {
		return nil, err
	}
	if err := b.format(ctx); err != nil {
		return nil, err
	}
	return b, b.launch(ctx)
}

// Addr is the broker's address for clients, host:port.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.port) }

// Version is the Kafka version that runs.
func (b *Broker) Version() string { return b.options.Version }

// LogFile is the file with everything the broker has said, over all its starts.
func (b *Broker) LogFile() string { return filepath.Join(b.dir, "kafka.log") }

// PID is the process id of the broker's last start.
func (b *Broker) PID() int { return b.current().pid() }

// Done is closed when the process of the broker's last start has ended.
func (b *Broker) Done() <-chan struct{} { return b.current().done }

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

func (b *Broker) current() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.process
}

// end signals the process, if one runs, and waits until it is gone.
func (b *Broker) end(sig syscall.Signal) error {
	p := b.current()
	if p == nil || p.ended() {
		return nil
	}
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("stop Kafka, process %d: %w", p.pid(), err)
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		if err := p.signal(syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill Kafka, process %d: %w", p.pid(), err)
		}
		<-p.done
	}
	return nil
}

// launch starts the process and waits until it answers.
func (b *Broker) launch(ctx context.Context) error {
	// Kafka itself takes a minute to give up on a port in use.
	ports := []int{b.port, b.quorum}
	for _, l := range b.options.Listeners {
		ports = append(ports, l.Port)
	}
	for _, port := range ports {
		if err := portIsFree(port); err != nil {
			return fmt.Errorf("start Kafka %s: %w", b.Version(), err)
		}
	}
	p, err := b.spawn()
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.process = p
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := b.awaitReady(ctx, p); err != nil {
		b.dumpThreads(p)
		return errors.Join(err, b.end(syscall.SIGKILL))
	}
	return nil
}

// dumpThreads lets a JVM that hangs write its threads' stacks to the log, for whoever looks why.
func (b *Broker) dumpThreads(p *process) {
	if p.ended() || p.signal(syscall.SIGQUIT) != nil {
		return
	}
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
}

// awaitReady returns once the broker is registered and knows a controller. A listening port is not enough: Kafka
// opens it before the broker is unfenced, and answers with no broker at all until then.
func (b *Broker) awaitReady(ctx context.Context, p *process) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DialTimeout(time.Second), kgo.RequestRetries(0))
	if err != nil {
		return fmt.Errorf("make a client for %s: %w", b.Addr(), err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Kafka %s at %s (last answer: %w): %w; its log %s ends with:\n%s",
				b.Version(), b.Addr(), last, ctx.Err(), b.LogFile(), tail(b.LogFile()))
		case <-p.done:
			return fmt.Errorf("kafka %s ended before it answered: %w; its log %s ends with:\n%s",
				b.Version(), p.err, b.LogFile(), tail(b.LogFile()))
		case <-tick.C:
		}
		meta, err := admin.BrokerMetadata(ctx)
		if err == nil && len(meta.Brokers) > 0 && meta.Controller >= 0 {
			return nil
		}
		if last = err; last == nil {
			last = errors.New("no broker is registered yet")
		}
	}
}
