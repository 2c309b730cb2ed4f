package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopLimit is how long a process may take to end after SIGTERM.
const stopLimit = 12 * time.Second

// process is a child whose output goes to a file and is watched for the addresses it prints.
type process struct {
	name   string
	cmd    *exec.Cmd
	output *os.File
	done   chan struct{} // closed when it has ended
	err    error         // how; read it after done
}

// start runs a program; everything it prints goes to a file of its name in the demo's folder.
func (s *stage) start(name, program string, arguments ...string) (*process, error) {
	output, err := os.CreateTemp(s.dir, name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("make the log of the %s: %w", name, err)
	}
	p := &process{name: name, cmd: exec.Command(program, arguments...), output: output, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = output, output, s.environment
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", name, err), output.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.processes = append(s.processes, p)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// await returns what follows prefix in the output, up to the next blank, as soon as it is there.
func (p *process) await(ctx context.Context, prefix string) (string, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if value, err := p.find(prefix); value != "" || err != nil {
			return value, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %s of the %s: %w; %s", prefix, p.name, context.Cause(ctx), p.lastLine())
		case <-p.done:
			return "", fmt.Errorf("the %s ended too early (%w): %s", p.name, p.ending(), p.lastLine())
		case <-tick.C:
		}
	}
}

// find looks for the prefix at the beginning of a word of the output.
func (p *process) find(prefix string) (string, error) {
	text, err := os.ReadFile(p.output.Name())
	if err != nil {
		return "", fmt.Errorf("read the log of the %s: %w", p.name, err)
	}
	words := bufio.NewScanner(bytes.NewReader(text))
	words.Split(bufio.ScanWords)
	for words.Scan() {
		if value, ok := bytes.CutPrefix(words.Bytes(), []byte(prefix)); ok && len(value) > 0 {
			return string(value), nil
		}
	}
	return "", nil
}

func (p *process) lastLine() string {
	text, err := os.ReadFile(p.output.Name())
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if err != nil || len(lines[len(lines)-1]) == 0 {
		return "it printed nothing"
	}
	return fmt.Sprintf("its last line: %s", lines[len(lines)-1])
}

func (p *process) ending() error {
	if p.err == nil {
		return errors.New("exit code 0")
	}
	return p.err
}

// kill ends the process without a chance to say good-bye.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// close stops all that still runs, the last started first, and wants a clean exit of each.
func (s *stage) close() error {
	var faults []error
	for i := len(s.processes) - 1; i >= 0; i-- {
		faults = append(faults, s.processes[i].stop())
	}
	return errors.Join(faults...)
}

func (p *process) stop() error {
	defer p.output.Close()
	select {
	case <-p.done:
		return nil // killed on purpose, or it has been reported
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("the %s did not stop within %s of SIGTERM", p.name, stopLimit), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("stop the %s: %w, see %s", p.name, p.err, filepath.Base(p.output.Name()))
	}
	return nil
}
