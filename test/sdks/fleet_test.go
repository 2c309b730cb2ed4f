package sdks

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// function is the program of one SDK. It listens on the same port through all its processes.
type function struct {
	sdk     SDK
	program program
	port    string
	marks   string // folder for the command fail

	mu         sync.Mutex
	process    *process.Process
	deployment string
	wanted     bool // false: what ends stays ended
	watches    sync.WaitGroup
}

// deploy runs the program with the states of a deployment and waits until it listens.
func (f *function) deploy(deployment string) error {
	f.retire()
	f.mu.Lock()
	f.deployment, f.wanted = deployment, true
	err := f.begin()
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+f.port)
		if err == nil {
			return conn.Close()
		}
		if p := f.current(); p.Ended() || time.Now().After(deadline) {
			return fmt.Errorf("the function on %s does not listen:\n%s", f.sdk.Package, p.Tail(30))
		}
		process.Pause(context.Background(), 20*time.Millisecond)
	}
}

func (f *function) current() *process.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.process
}

// begin starts a process; the caller holds the lock.
func (f *function) begin() (err error) {
	arguments := append(f.program.command[1:len(f.program.command):len(f.program.command)],
		f.port, f.sdk.Name, outTopic(f.sdk), f.deployment, f.marks, f.sdk.Mode)
	cmd := exec.Command(f.program.command[0], arguments...)
	cmd.Env = append(os.Environ(), f.program.env...)
	if f.process, err = launch(f.sdk.Name, cmd); err == nil && f.sdk.Restarts {
		f.watches.Add(1)
		go f.watch(f.process)
	}
	return err
}

// watch starts the program again when it ends by itself, as whatever runs a user's functions does.
func (f *function) watch(p *process.Process) {
	defer f.watches.Done()
	<-p.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wanted {
		_ = f.begin() // the calls that fail from here on tell
	}
}

// retire ends the process for good.
func (f *function) retire() {
	f.mu.Lock()
	p := f.process
	f.wanted = false
	f.mu.Unlock()
	if p != nil {
		p.Kill()
	}
	f.watches.Wait()
}

// fleet starts the programs of some SDKs; they end with the test.
func fleet(t *testing.T, sdks []SDK, programs map[string]program) map[string]*function {
	t.Helper()
	functions, marks := map[string]*function{}, t.TempDir()
	for _, sdk := range sdks {
		f := &function{sdk: sdk, program: programs[sdk.Name], port: freePort(t), marks: fmt.Sprintf("%s/%s", marks, sdk.Name)}
		if err := os.Mkdir(f.marks, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.retire)
		functions[sdk.Name] = f
	}
	return functions
}

// deployAll deploys all programs at once.
func deployAll(t *testing.T, functions map[string]*function, deployment string) {
	t.Helper()
	failures := make(chan error, len(functions))
	for _, f := range functions {
		go func() { failures <- f.deploy(deployment) }()
	}
	for range functions {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
