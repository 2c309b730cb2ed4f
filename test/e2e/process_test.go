package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// keptLines bounds what a journal remembers; the file has everything.
const keptLines = 20_000

// journal takes in what a process writes.
type journal struct {
	file *os.File

	mu      sync.Mutex
	lines   []string
	dropped int
	changed chan struct{} // closed and replaced at every line
}

// take reads lines until the process closes its end.
func (j *journal) take(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			j.add(line)
		}
		if err != nil {
			return
		}
	}
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = fmt.Fprintln(j.file, line)
	if len(j.lines) == keptLines {
		j.lines, j.dropped = j.lines[keptLines/2:], j.dropped+keptLines/2
	}
	j.lines = append(j.lines, line)
	close(j.changed)
	j.changed = make(chan struct{})
}

// from returns the lines after the first n, and a channel that closes when there are more.
func (j *journal) from(n int) (lines []string, next int, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := max(0, n-j.dropped)
	return j.lines[at:len(j.lines):len(j.lines)], j.dropped + len(j.lines), j.changed
}

// count says how many remembered lines hold all the parts.
func (j *journal) count(parts ...string) int {
	lines, _, _ := j.from(0)
	n := 0
	for _, line := range lines {
		if holdsAll(line, parts) {
			n++
		}
	}
	return n
}

func holdsAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// process is one started program.
type process struct {
	name    string
	cmd     *exec.Cmd
	journal *journal
	done    chan struct{}
	err     error // from Wait; read after done
}

var processes atomic.Int64

// start runs a program until the end of the test at most. Its log is shown when the test fails.
func start(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	p, err := launch(name, path, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("end of the log of %s (%s):\n%s", name, p.journal.file.Name(), p.tail())
		}
	})
	return p
}

// launch starts a program that dies with this one.
func launch(name, path string, args ...string) (*process, error) {
	file, err := os.Create(filepath.Join(shared.folder, fmt.Sprintf("%03d-%s.log", processes.Add(1), name)))
	if err != nil {
		return nil, fmt.Errorf("make a log file: %w", err)
	}
	p := &process{name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.journal = &journal{file: file, changed: make(chan struct{})}
	p.cmd.SysProcAttr = childAttr()
	p.cmd.WaitDelay = 5 * time.Second
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	started := make(chan error)
	go func() {
		// The kernel ends a child with the thread that started it, so this goroutine keeps its thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		_ = in.Close()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.journal.take(out)
		_ = file.Close()
		close(p.done)
	}()
	return p, nil
}

func (p *process) tail() string {
	lines, _, _ := p.journal.from(0)
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// kill ends the process with -9 and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exit waits for the process to end by itself and returns its exit code.
func (p *process) exit(t *testing.T, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		t.Fatalf("%s still runs after %v", p.name, limit)
		return -1
	}
}

// awaitLine waits for a log line that holds all the parts.
func (p *process) awaitLine(t *testing.T, limit time.Duration, parts ...string) string {
	t.Helper()
	deadline := time.After(limit)
	next := 0
	for {
		lines, n, more := p.journal.from(next)
		for _, line := range lines {
			if holdsAll(line, parts) {
				return line
			}
		}
		next = n
		select {
		case <-more:
		case <-p.done:
			if lines, _, _ := p.journal.from(next); len(lines) == 0 {
				t.Fatalf("%s ended (%v) before it logged %q", p.name, p.err, parts)
			}
		case <-deadline:
			t.Fatalf("%s did not log %q within %v", p.name, parts, limit)
		}
	}
}

// attribute is a text attribute of a JSON log line; empty when it has none of that name.
func attribute(line, name string) string {
	fields := map[string]any{}
	if json.Unmarshal([]byte(line), &fields) != nil {
		return ""
	}
	text, _ := fields[name].(string)
	return text
}

// memory is the largest resident size of the process so far, in bytes.
func (p *process) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
