package conformance

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is the program, started with some command.
type process struct {
	cmd     *exec.Cmd
	journal *journal
	done    chan struct{}
	err     error // from Wait; read it after done
}

// launch starts the program; it dies with this one.
func launch(path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), journal: &journal{changed: make(chan struct{})}, done: make(chan struct{})}
	p.cmd.SysProcAttr = childAttr()
	p.cmd.Stdout, p.cmd.Stderr = p.journal, p.journal
	started := make(chan error)
	go func() {
		// The kernel ends a child with the thread that started it, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// logged waits for the first group of a pattern in what the process writes.
func (p *process) logged(pattern string) (string, error) {
	re, deadline := regexp.MustCompile(pattern), time.After(patience)
	for {
		more := p.journal.more()
		if found := re.FindStringSubmatch(p.journal.String()); found != nil {
			return found[len(found)-1], nil
		}
		select {
		case <-more:
		case <-p.done:
			// What it wrote last is all there: Wait returns after the log is taken in.
			if found := re.FindStringSubmatch(p.journal.String()); found != nil {
				return found[len(found)-1], nil
			}
			return "", fmt.Errorf("the process ended (%w) before it logged %s:\n%s", p.err, pattern, p.tail())
		case <-deadline:
			return "", fmt.Errorf("the process did not log %s within %v:\n%s", pattern, patience, p.tail())
		}
	}
}

// tail is the end of the log.
func (p *process) tail() string {
	lines := strings.Split(strings.TrimSpace(p.journal.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// kill ends the process with -9 and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end, and returns its exit code.
func (p *process) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// journal is what a process wrote.
type journal struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

// Write takes in a piece of the log.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.changed)
	j.changed = make(chan struct{})
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) more() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}
