// Command demo shows the whole in under a minute: the development broker, a worker with the greeter module and the
// greeter function on the official Go SDK, each a process of its own; names go in through Kafka, greetings with counts come out, and the
// counts go on without a gap after the worker is killed with -9.
//
// `make demo` runs it. Its last line is "demo: OK …" or "demo: FAILED …", and its exit code 0 or 1.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// limit ends a demo that hangs; it takes about ten seconds.
	limit = time.Minute
	// rounds is how often each name comes by.
	rounds = 20
	// pace is the pause between two names, so that a person can follow and the kill hits in the middle.
	pace = 40 * time.Millisecond
	// quiet is how long the topic is watched for greetings too many after the last one that is due.
	quiet = time.Second
)

var names = []string{"Ada", "Grace", "Edsger", "Barbara", "Tony"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "statefun-demo-")
	if err != nil {
		fmt.Println("demo: FAILED:", err)
		os.Exit(1)
	}
	if err := build(ctx, dir); err != nil {
		fmt.Println("demo: FAILED:", err)
		os.Exit(1)
	}
	begin := time.Now()
	summary, err := run(ctx, dir)
	if err != nil {
		fmt.Printf("demo: FAILED after %.1f s: %v; the logs are in %s\n", time.Since(begin).Seconds(), err, dir)
		os.Exit(1)
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println("demo: the temporary folder stays:", err)
	}
	fmt.Printf("demo: OK, %s, in %.1f s\n", summary, time.Since(begin).Seconds())
}

func build(ctx context.Context, dir string) error {
	say("building statefun-kafka and the greeter")
	for name, source := range map[string]string{"statefun-kafka": "./cmd/statefun-kafka", "greeter": "./examples/greeter-official"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), source)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", source, err, out)
		}
	}
	return nil
}

// run plays the demo with the programs in dir.
func run(ctx context.Context, dir string) (summary string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := &stage{dir: dir, program: filepath.Join(dir, "statefun-kafka")}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return "", err
	}
	return s.play(ctx)
}

// stage is everything that runs during the demo.
type stage struct {
	dir, program string
	processes    []*process
	environment  []string // of the processes that read the module
	worker       *process
}

// module is the same file that the other examples use; the addresses come from the environment.
const module = "examples/greeter/module.yaml"

// open starts the broker, the function and the worker, each when the one before it is ready.
func (s *stage) open(ctx context.Context) error {
	broker, err := s.start("broker", s.program, "broker", "--addr", "127.0.0.1:0",
		"--topic", "names:4", "--topic", "greetings:4", "--log-format", "text")
	if err != nil {
		return err
	}
	brokers, err := broker.await(ctx, "broker=")
	if err != nil {
		return err
	}
	say("broker on %s with the topics names and greetings", brokers)

	greeter, err := s.start("greeter", filepath.Join(s.dir, "greeter"), "--addr", "127.0.0.1:0")
	if err != nil {
		return err
	}
	function, err := greeter.await(ctx, "listening=")
	if err != nil {
		return err
	}
	say("greeter function (official Go SDK) on http://%s/statefun", function)
	s.environment = append(os.Environ(), "KAFKA_BROKERS="+brokers, "GREETER_URL=http://"+function+"/statefun")
	return s.startWorker(ctx)
}

func (s *stage) startWorker(ctx context.Context) (err error) {
	s.worker, err = s.start("worker", s.program, "run", "--module", module, "--state-dir", filepath.Join(s.dir, "state"),
		"--worker-id", "demo-1", "--admin-addr", "127.0.0.1:0", "--log-format", "text")
	if err != nil {
		return err
	}
	admin, err := s.worker.await(ctx, "admin=")
	if err != nil {
		return err
	}
	say("worker is process %d, admin on http://%s", s.worker.pid(), admin)
	return nil
}

// play sends the names, kills the worker half-way and checks every greeting.
func (s *stage) play(ctx context.Context) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	greetings, err := s.tail(ctx)
	if err != nil {
		return "", err
	}
	go func() {
		if err := s.send(ctx); err != nil {
			cancel(err)
		}
	}()
	total := rounds * len(names)
	book := newBook(names)
	for book.total() < total {
		greeting, err := next(ctx, greetings)
		if err != nil {
			return "", fmt.Errorf("%d of %d greetings have come: %w", book.total(), total, err)
		}
		fmt.Println("  ", greeting)
		if err := book.enter(greeting); err != nil {
			return "", err
		}
		if book.total() == total/2 {
			if err := s.crash(ctx); err != nil {
				return "", err
			}
		}
	}
	if err := silent(greetings); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d names in, %d greetings out, each name counted from 1 to %d without a gap over a kill -9",
		total, total, rounds), nil
}

// crash kills the worker without warning and starts it again on its folder.
func (s *stage) crash(ctx context.Context) error {
	say("kill -9 %d: the worker is gone, names keep coming in", s.worker.pid())
	if err := s.worker.kill(); err != nil {
		return err
	}
	return s.startWorker(ctx)
}

// send feeds the names to one `statefun-kafka send`, a line each.
func (s *stage) send(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.program, "send", "--module", module)
	cmd.Env = s.environment
	lines, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make a pipe to send: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start send: %w", err)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for range rounds {
		for _, name := range names {
			if _, err := fmt.Fprintf(lines, "%s=hello\n", name); err != nil {
				return fmt.Errorf("send the name %s: %w", name, errors.Join(err, cmd.Wait()))
			}
			<-tick.C
		}
	}
	if err := lines.Close(); err != nil {
		return fmt.Errorf("close the pipe to send: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("send the names: %w", err)
	}
	return nil
}

// tail reads the greetings with one `statefun-kafka tail`: committed records only, from the topic's beginning.
func (s *stage) tail(ctx context.Context) (<-chan string, error) {
	cmd := exec.CommandContext(ctx, s.program, "tail", "--module", module, "--topic", "greetings", "--from-start")
	cmd.Env = s.environment
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe from tail: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tail: %w", err)
	}
	greetings := make(chan string, rounds*len(names))
	go func() {
		defer close(greetings)
		pump(out, greetings)
		_ = cmd.Wait() // it ends with ctx, by a signal
	}()
	return greetings, nil
}

func pump(from io.Reader, to chan<- string) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		to <- lines.Text()
	}
}

// next waits for one greeting.
func next(ctx context.Context, greetings <-chan string) (string, error) {
	select {
	case greeting, ok := <-greetings:
		if !ok {
			return "", errors.Join(errors.New("the reader of the greetings ended"), context.Cause(ctx))
		}
		return greeting, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// silent makes sure that no greeting comes after the last one that is due.
func silent(greetings <-chan string) error {
	select {
	case greeting := <-greetings:
		return fmt.Errorf("one greeting too many: %q", greeting)
	case <-time.After(quiet):
		return nil
	}
}

func say(format string, arguments ...any) { fmt.Printf("demo: "+format+"\n", arguments...) }
