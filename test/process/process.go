// Package process runs programs for tests: started so that they die with the test, their output in a file that can be
// searched and waited for.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is one started program. Its methods are safe for concurrent use.
type Process struct {
	// Name is for messages, Log is the file with what the program says.
	Name, Log string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done
}

// Start runs cmd until this program's end at most. What it writes is appended to the file log, save what cmd sends
// elsewhere. It is a file and no pipe: nobody who waits for this program's own output waits for the child too, and a
// child never waits for a reader.
func Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer out.Close() // the child has its own copy
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	bind(cmd.SysProcAttr)
	p := &Process{Name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends a child when the *thread* that started it ends, so this goroutine keeps its thread for as
		// long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// PID is the process id; it leads a process group of the same number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err says how an ended process ended; nil is exit code 0.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Code is the exit code of an ended process, -1 when a signal ended it.
func (p *Process) Code() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Used is the processor time of an ended process.
func (p *Process) Used() time.Duration {
	<-p.done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Signal sends sig; a process that has ended takes it in silence.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s, process %d: %w", sig, p.Name, p.PID(), err)
	}
	return nil
}

// Kill ends the process with -9 and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // one that has ended is what we want
	<-p.done
}

// AwaitEnd is false when the process has not ended within the limit.
func (p *Process) AwaitEnd(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return p.Ended()
	}
}

// Pause lets time pass; it is false when ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
