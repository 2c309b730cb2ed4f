package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/program"
	"github.com/statefun-kafka/statefun-kafka/test/process"
)

var (
	seedFlag      = flag.Uint64("seed", 0, "seed of the random load and of the kills; 0 takes one from the clock")
	killsFlag     = flag.Int("kills", 32, "how often the long crash test kills the worker")
	rateFlag      = flag.Int("rate", 250, "roots a second of the load of the crash test; each leads to some three inputs")
	brokersFlag   = flag.String("brokers", strings.Join([]string{embedded, kafka41, kafka39}, ","), "the brokers to run on")
	addressesFlag = flag.Int("addresses", 1_000_000, "how many addresses the restart test gives a state to")
)

// shared is what all tests of one run use.
var shared struct {
	seed    uint64
	folder  string // logs, binaries, broker data; removed after a good run
	mu      sync.Mutex
	brokers map[string]*cluster
}

func TestMain(m *testing.M) {
	program.RunIfAsked()
	flag.Parse()
	log.SetOutput(io.Discard) // the SDK logs every registration
	shared.seed = *seedFlag
	if shared.seed == 0 {
		shared.seed = uint64(time.Now().UnixNano())
	}
	folder, err := os.MkdirTemp("", "statefun-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a folder for the run:", err)
		os.Exit(1)
	}
	shared.folder, shared.brokers = folder, map[string]*cluster{}
	code := m.Run()
	for _, c := range shared.brokers {
		c.close()
	}
	if code == 0 {
		_ = os.RemoveAll(folder)
	} else {
		fmt.Fprintf(os.Stderr, "seed %d; the logs are kept in %s\n", shared.seed, folder)
	}
	os.Exit(code)
}

// random is a source of its own for one test; all follow from the seed of the run.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("seed %d (repeat with -args -seed %d)", shared.seed, shared.seed)
	return rand.New(rand.NewPCG(shared.seed, uint64(len(t.Name()))))
}

// needProgram skips a test under -short, and builds the program for it otherwise.
func needProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	path, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildProgram builds the program once a run, with the race detector when STATEFUN_E2E_RACE is set.
var buildProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared.folder, "statefun-kafka")
	if err := process.Build(context.Background(), path); err != nil {
		return "", err
	}
	return path, nil
})

// await asks met again and again until it says yes; it fails the test when limit has passed.
func await(t *testing.T, limit time.Duration, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", limit, what)
		}
		<-tick.C
	}
}
