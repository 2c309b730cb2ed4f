package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one started program whose output goes to a file.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
	told atomic.Bool   // its end is ours
}

// launch starts a program that dies with this one; change adapts the command before it starts.
func launch(name, log, path string, args []string, change func(*exec.Cmd)) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer out.Close() // the child has its own copy
	p := &process{name: name, log: log, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = out, out, childAttr()
	if change != nil {
		change(p.cmd)
	}
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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
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
	p.told.Store(true)
	p.signal(syscall.SIGKILL)
	<-p.done
}

// awaitEnd is false when the process has not ended within the limit.
func (p *process) awaitEnd(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// code is the exit code of an ended process, -1 when a signal ended it.
func (p *process) code() int { return p.cmd.ProcessState.ExitCode() }

// scan visits the lines of the log until visit says that it has seen enough.
func (p *process) scan(visit func(line string) (enough bool)) {
	file, err := os.Open(p.log)
	if err != nil {
		return
	}
	defer file.Close()
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadString('\n')
		if err != nil || visit(strings.TrimSuffix(line, "\n")) {
			return
		}
	}
}

// find is the first log line that holds all the parts, or empty.
func (p *process) find(parts ...string) (found string) {
	p.scan(func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		found = line
		return true
	})
	return found
}

// tail is the end of the log.
func (p *process) tail(lines int) string {
	const most = 32 << 10
	file, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if end, err := file.Seek(0, io.SeekEnd); err == nil && end > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	} else {
		_, _ = file.Seek(0, io.SeekStart)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// await waits for a log line that holds all the parts; it is empty when the process ends or the limit passes before.
func (p *process) await(ctx context.Context, limit time.Duration, parts ...string) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		over := p.ended() || ctx.Err() != nil // asked before looking: the line may be the last one
		if line := p.find(parts...); line != "" || over {
			return line
		}
		pause(ctx, 10*time.Millisecond)
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

// pause lets time pass; it is false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// copyFolder copies the files of a folder.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}
