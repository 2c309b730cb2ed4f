package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// shownLines is how much of a log a failure shows.
const shownLines = 25

// child is a process of a test, which fails the test when it does not do what is awaited of it.
type child struct{ *process.Process }

// children numbers the log files.
var children atomic.Int64

// start runs a program until the end of the test at most. Its log is shown when the test fails.
func start(t *testing.T, name, path string, args ...string) *child {
	t.Helper()
	c, err := launch(name, path, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("end of the log of %s (%s):\n%s", name, c.Log, c.Tail(shownLines))
		}
	})
	return c
}

// launch runs a program until the end of all tests at most.
func launch(name, path string, args ...string) (*child, error) {
	log := filepath.Join(shared.folder, fmt.Sprintf("%03d-%s.log", children.Add(1), name))
	p, err := process.Start(name, log, exec.Command(path, args...))
	if err != nil {
		return nil, err
	}
	return &child{p}, nil
}

func (c *child) signal(sig syscall.Signal) { _ = c.Signal(sig) }

// exit waits for the process to end by itself and returns its exit code.
func (c *child) exit(t *testing.T, limit time.Duration) int {
	t.Helper()
	if !c.AwaitEnd(limit) {
		t.Fatalf("%s still runs after %v", c.Name, limit)
	}
	return c.Code()
}

// awaitLine waits for a log line that holds all the parts.
func (c *child) awaitLine(t *testing.T, limit time.Duration, parts ...string) string {
	t.Helper()
	line := c.Await(context.Background(), limit, parts...)
	if line == "" {
		t.Fatalf("%s did not log %q within %v (ended: %v)", c.Name, parts, limit, c.Ended())
	}
	return line
}
