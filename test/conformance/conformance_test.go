package conformance

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

var programFlag = flag.String("program", "", "run this statefun-kafka; default: build it")

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetOutput(io.Discard) // the SDK logs every registration
	// Cases mostly wait, so more of them run beside each other than there are processors.
	if flag.Lookup("test.parallel") != nil {
		_ = flag.Set("test.parallel", "16")
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// builtIn is the folder of the program, when it was built here.
var builtIn string

// program is the path of the program, which is built when none is given.
var program = sync.OnceValues(func() (path string, err error) {
	if *programFlag != "" {
		return *programFlag, nil
	}
	if builtIn, err = os.MkdirTemp("", "statefun-conformance-program-"); err != nil {
		return "", fmt.Errorf("make a folder for the program: %w", err)
	}
	path = filepath.Join(builtIn, "statefun-kafka")
	build := exec.Command("go", "build", "-o", path, "github.com/statefun-kafka/statefun-kafka/cmd/statefun-kafka")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// TestConformance runs every case.
func TestConformance(t *testing.T) { conform(t, embedded, sections()) }

// TestOnKafka runs every case again, on Kafka.
func TestOnKafka(t *testing.T) { conform(t, realkafka.Version4, sections()) }

// conform runs cases on a broker.
func conform(t *testing.T, broker string, sections []section) {
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var cases []Case
	for _, s := range sections {
		cases = append(cases, s.cases...)
	}
	b, err := newBench(path, broker)
	t.Cleanup(b.close)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && b.common != nil && b.common.process != nil {
			t.Logf("end of the log of the common worker:\n%s", b.common.tail())
		}
	})
	for _, s := range sections {
		t.Run(s.letter, func(t *testing.T) {
			for i := range s.cases {
				t.Run(s.cases[i].ID, func(t *testing.T) { b.run(t, &s.cases[i], cases) })
			}
		})
	}
}

// run gives a case its lab and runs it.
func (b *bench) run(t *testing.T, c *Case, cases []Case) {
	t.Parallel()
	if c.Run == nil {
		return // shown by another suite alone
	}
	ns := c.namespace()
	l := &lab{T: t, bench: b, c: c, ns: ns, functions: b.host.of(ns)}
	// Not before: Kafka takes half a minute over the topics of all cases at once, and gives no transactions meanwhile.
	topics := []string{c.out()}
	if c.Alone {
		topics = append(topics, c.in())
	}
	if err := b.createTopics(topics...); err != nil {
		t.Fatal(err)
	}
	b.out.client.ForceMetadataRefresh() // so that it sees the first record at once: some cases look at the clock
	if !c.Alone {
		w, err := b.startCommon(cases)
		if err != nil {
			t.Fatal(err)
		}
		l.worker = w
	}
	t.Cleanup(func() {
		if t.Failed() && c.Alone && l.worker != nil && l.worker.process != nil {
			t.Logf("end of the log of the worker:\n%s", l.worker.tail())
		}
		if t.Failed() {
			t.Logf("%s shows: %s", c.ID, c.Shows)
		}
	})
	c.Run(l)
}
