package main

import (
	"os/exec"
	"sync/atomic"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// child is a process of a run.
type child struct {
	*process.Process
	told atomic.Bool // its end is ours
}

// launch starts a program; change adapts the command before it starts.
func launch(name, log, path string, args []string, change func(*exec.Cmd)) (*child, error) {
	cmd := exec.Command(path, args...)
	if change != nil {
		change(cmd)
	}
	p, err := process.Start(name, log, cmd)
	if err != nil {
		return nil, err
	}
	return &child{Process: p}, nil
}

func (c *child) signal(sig syscall.Signal) { _ = c.Signal(sig) }

// kill ends the process with -9 and waits until it is gone.
func (c *child) kill() {
	c.told.Store(true)
	c.Kill()
}
