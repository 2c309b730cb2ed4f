package realkafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// process is one Java process that this program started and waits for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; read it after done
}

// spawn starts cmd so that it dies with this program.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = childAttr()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends a child when the *thread* that started it ends, so this goroutine keeps its thread
		// for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			if p.err == nil {
				p.err = fmt.Errorf("process %d ended by itself", cmd.Process.Pid)
			}
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !p.ended() {
		return fmt.Errorf("send %s: %w", sig, err)
	}
	return nil
}

// FreePort finds a port below the range from which the system gives ports to outgoing connections: a port from
// that range could be taken while the broker is down, and Restart needs the same one.
func FreePort() (int, error) {
	const first, last, attempts = 20000, 32000, 100
	var err error
	for range attempts {
		port := first + rand.IntN(last-first)
		if err = portIsFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port in %d attempts: %w", attempts, err)
}

func portIsFree(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("try port %d: %w", port, err)
	}
	return l.Close()
}

// tail is the last lines of a log, for error messages.
func tail(file string) []byte {
	const size = 3000
	text, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	if len(text) > size {
		text = text[len(text)-size:]
		if cut := bytes.IndexByte(text, '\n'); cut >= 0 {
			text = text[cut+1:]
		}
	}
	return text
}
