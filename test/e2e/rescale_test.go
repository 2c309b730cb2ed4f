package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rescale runs the command of the built program and wants it to end with the code.
func (a *app) rescale(code int, args ...string) string {
	a.t.Helper()
	cmd := exec.Command(a.program, append([]string{"rescale", "--module", a.module, "--brokers", a.cluster.addr(), "--application-id", a.id}, args...)...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		a.t.Fatalf("rescale %v ended with %d, want %d:\n%s", args, got, code, out)
	}
	return string(out)
}

// TestRescale takes an application from four partitions to seven and to two, once through a killed rescale; its counts go on.
func TestRescale(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		a := newApp(t, c)
		c.createTopic(t, a.topic("names"), 4)
		c.createTopic(t, a.topic("greetings"), 2)
		a.setModule(
			endpoint("greeter.fns/*", serve(t, greeter(t, a.topic("greetings"))).url()),
			ingress("greeter.io/names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}}),
			egress("greeter.io/greetings"))
		greetings := c.read(t, a.topic("greetings"))
		var sent []*kgo.Record
		visit := func(prefix string) {
			records := visits(a.topic("names"), prefix)
			c.send(t, records...)
			sent = append(sent, records...)
		}
		w := a.startReady()
		visit("")
		checkGreetings(t, greetings, sent, greeting)
		if said := a.rescale(1, "--partitions", "7"); !strings.Contains(said, "runs, its group has the members") {
			t.Fatal(said)
		}
		w.stop()
		visit("")
		killed := exec.Command(a.program, "rescale", "--module", a.module, "--brokers", c.addr(), "--application-id", a.id, "--partitions", "3")
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(400*time.Millisecond, func() { _ = killed.Process.Kill() })
		_ = killed.Wait()
		if said := a.rescale(0, "--partitions", "7"); !strings.Contains(said, "partitions to 7") {
			t.Fatal(said)
		}
		a.rescale(0, "--verify-only")
		w = a.startReady()
		visit("")
		checkGreetings(t, greetings, sent, greeting)
		w.stop()
		a.rescale(0, "--delete-old")
		a.rescale(0, "--partitions", "2")
		w = a.startReady()
		visit("")
		checkGreetings(t, greetings, sent, greeting)
		w.stop()
	})
}

func greeting(name string, n int) string {
	return fmt.Sprintf("Hello %s, visit %d", name[strings.LastIndexByte(name, '-')+1:], n)
}
