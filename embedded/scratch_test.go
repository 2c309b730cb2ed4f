package embedded_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/embedded"
)

func TestWhatAKilledDevelopmentRunLeavesIsSweptAndWhatALivingOneHasIsNot(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nothing is swept where no lock ends with its process")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	folders := func() []string {
		found, err := filepath.Glob(filepath.Join(temporary, "statefun-dev-*", "counter-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	living, killed := devChild(t), devChild(t)
	if n := len(folders()); n != 2 {
		t.Fatalf("two processes have %d folders: %v", n, folders())
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	if n := len(folders()); n != 2 {
		t.Fatalf("a killed process cannot remove its folder, and there are %d", n)
	}
	app, _ := counterApp(embedded.Options{DevBroker: true, Logger: testLog()})
	stop := start(t, app)
	awaitReady(t, app)
	if n := len(folders()); n != 2 {
		t.Errorf("the living one and this one have %d folders: %v", n, folders())
	}
	stop()
	left := folders()
	if len(left) != 1 {
		t.Fatalf("the living one has %d folders: %v", len(left), left)
	}
	if _, err := os.Stat(filepath.Join(left[0], "state", "identity.json")); err != nil {
		t.Errorf("the state of the living one: %v", err)
	}
	if living.ProcessState != nil {
		t.Error("the living one has ended")
	}
}

// devChild is a process with an application on a development broker, that is killed at the end at the latest.
func devChild(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EMBEDDED_CHILD=dev")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the process says %q: %v", line, err)
	}
	return cmd
}

func TestManyDevelopmentRunsAtOnceHaveFoldersOfTheirOwnAndLeaveNothing(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var running []func()
	for range 6 {
		app, _ := counterApp(embedded.Options{DevBroker: true, Logger: testLog()})
		running = append(running, start(t, app))
	}
	var ending sync.WaitGroup
	for _, stop := range running {
		ending.Go(stop)
	}
	ending.Wait()
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAFolderThatAnotherUserHasMadeIsLeftAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a folder of another user")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	theirs := filepath.Join(temporary, fmt.Sprintf("statefun-dev-%d", os.Getuid()))
	if err := os.MkdirAll(filepath.Join(theirs, "trap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 54321, -1); err != nil {
		t.Fatal(err)
	}
	app, _ := counterApp(embedded.Options{DevBroker: true, Logger: testLog()})
	stop := start(t, app)
	awaitReady(t, app)
	if found, err := os.ReadDir(theirs); err != nil || len(found) != 1 || found[0].Name() != "trap" {
		t.Errorf("the folder of another user has %v, %v", found, err)
	}
	stop()
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
