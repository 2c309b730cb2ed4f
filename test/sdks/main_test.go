package sdks

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// embedded is the program's own development broker.
const embedded = "embedded"

var (
	brokersFlag = flag.String("brokers", embedded+","+realkafka.Version4, "the brokers to run on")
	sdksFlag    = flag.String("sdks", "", "the SDKs to run, by name; all without it")
)

// folder holds the logs, binaries and broker data of this run; it is removed after a good one.
var folder string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if folder, err = os.MkdirTemp("", "statefun-sdks-"); err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the run:", err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		_ = os.RemoveAll(folder)
	} else {
		fmt.Fprintln(os.Stderr, "the logs are kept in", folder)
	}
	os.Exit(code)
}

// prepare gives the worker's program and those of the SDKs. A missing toolchain fails the test.
func prepare(t *testing.T) (worker string, programs map[string]program) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	worker, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if programs, err = installed(); err != nil {
		t.Fatal(err)
	}
	return worker, programs
}

var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "statefun-kafka")
	return path, process.Build(context.Background(), path)
})

// installed are the programs of all SDKs. That of this checkout is built for the run, as the worker is.
var installed = sync.OnceValues(func() (map[string]program, error) {
	programs, err := Install(context.Background(), "functions")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "own")
	if out, err := exec.Command("go", "build", "-o", path, "./functions/own").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the program on this project's SDK: %w\n%s", err, out)
	}
	programs[Own] = program{command: []string{path}}
	return programs, nil
})

// chosen are the SDKs that are to run.
func chosen() []SDK {
	return slices.DeleteFunc(All(), func(s SDK) bool {
		return *sdksFlag != "" && !strings.Contains(","+*sdksFlag+",", ","+s.Name+",")
	})
}
