package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const limit = 20 * time.Second

// shell starts a script and ends it with the test.
func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start("shell", filepath.Join(t.TempDir(), "shell.log"), exec.Command("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestALineIsAwaitedAndTheExitCodeIsKnown(t *testing.T) {
	p := shell(t, `echo one; echo '{"admin":"there","n":1}' >&2; read line; echo never; exit 3`)
	p2 := shell(t, `echo '{"admin":"there","n":1}'; echo other; sleep 60`)
	if line := p2.Await(t.Context(), limit, `"admin":`, `"n"`); Attribute(line, "admin") != "there" || Attribute(line, "n") != "" {
		t.Errorf("the line is %q", line)
	}
	if p2.Ended() || p2.AwaitEnd(time.Millisecond) {
		t.Error("a process that sleeps has ended")
	}
	// Its input is empty, so that read ends at once: the line must be found though the process is gone.
	if line := p.Await(t.Context(), limit, "never"); line != "never" {
		t.Errorf("the last line is %q", line)
	}
	if !p.AwaitEnd(limit) || p.Code() != 3 || p.Err() == nil {
		t.Errorf("ended: %v with code %d, %v", p.Ended(), p.Code(), p.Err())
	}
	if line := p.Await(t.Context(), limit, "nowhere"); line != "" {
		t.Errorf("found %q", line)
	}
	if n := p.Count("n"); n != 3 {
		t.Errorf("%d lines hold an n, want 3:\n%s", n, p.Tail(9))
	}
	if end := p.Tail(2); end != `{"admin":"there","n":1}`+"\nnever" {
		t.Errorf("the end of the log is %q", end)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to an ended process: %v", err)
	}
}

// A line that is half written is no line yet.
func TestAwaitGivesWholeLinesOnly(t *testing.T) {
	p := shell(t, `printf 'admin=1'; sleep 0.3; echo 27`)
	if line := p.Await(t.Context(), limit, "admin="); line != "admin=127" {
		t.Errorf("the line is %q", line)
	}
}

func TestKillEndsAStoppedProcess(t *testing.T) {
	p := shell(t, "sleep 60")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if !p.Ended() || p.Code() != -1 {
		t.Errorf("ended: %v with code %d", p.Ended(), p.Code())
	}
}

// The test runs itself as the parent, kills it with -9 and looks for the child.
func TestAProcessDiesWithItsParent(t *testing.T) {
	if file := os.Getenv("PROCESS_PARENT"); file != "" {
		p := shell(t, "sleep 60")
		if err := os.WriteFile(file+".part", []byte(strconv.Itoa(p.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".part", file); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		return
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("only Linux ties a child's life to its parent's")
	}
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestAProcessDiesWithItsParent$")
	cmd.Env = append(os.Environ(), "PROCESS_PARENT="+file)
	parent, err := Start("parent", filepath.Join(t.TempDir(), "parent.log"), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(parent.Kill)
	var text []byte
	eventually(t, "the child runs", func() bool {
		text, err = os.ReadFile(file)
		return err == nil
	})
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	parent.Kill()
	eventually(t, "the child is gone", func() bool {
		status, err := os.ReadFile("/proc/" + string(text) + "/stat") // nobody may wait for it: a zombie is gone too
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && strings.Contains(string(status), ") Z ")
	})
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !met(); {
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s", limit, what)
		}
		Pause(t.Context(), lookAgain)
	}
}

func TestThePeakOfMemoryIsRead(t *testing.T) {
	if got := ParsePeak("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"); got != 2<<20 {
		t.Errorf("peak %d", got)
	}
}
