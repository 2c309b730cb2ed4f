package conformance

import (
	"flag"
	"io"
	"log"
	"os"
	"testing"
)

var programFlag = flag.String("program", "", "run this statefun-kafka; default: build it")

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetOutput(io.Discard) // the SDK logs every registration
	// Cases mostly wait, so more of them run beside each other than there are processors.
	if flag.Lookup("test.parallel") != nil {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}

// TestConformance runs every case.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; not with -short")
	}
	cases := everyCase()
	b, err := newBench(*programFlag, cases)
	t.Cleanup(b.close)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && b.common != nil && b.common.process != nil {
			t.Logf("end of the log of the common worker:\n%s", b.common.tail())
		}
	})
	for _, s := range sections() {
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
