package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/reader"
)

// TestTwoClusters reads from the application's cluster and from another one, and writes to the other one, through a
// kill -9: what is read counts once, what is written arrives in order, and a copy of a record has its id.
func TestTwoClusters(t *testing.T) {
	for _, kind := range []string{embedded, kafka41} {
		t.Run(kind, func(t *testing.T) {
			home := needBroker(t, kind)
			far := &cluster{kind: embedded}
			if err := far.start(needProgram(t)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(far.close)
			a := newApp(t, home)
			for _, c := range []*cluster{home, far} { // of one name
				c.createTopic(t, a.topic("names"), 4)
			}
			far.createTopic(t, a.topic("greetings"), 2)
			there := func(document string) string { return strings.ReplaceAll(document, "%[2]s", far.addr()) }
			a.setModule(
				"kind: statefun-kafka.v1/application\nspec:\n  brokers: \"%[2]s\"\n---\n",
				endpoint("greeter.fns/*", serve(t, greeter(t, a.topic("greetings"))).url()),
				ingress("greeter.io/names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}}),
				there(ingress("greeter.io/far-names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}})),
				there(egress("greeter.io/greetings")))
			check := start(t, "validate", a.program, "validate", "--application-id", a.id, a.module)
			check.awaitLine(t, 10*time.Second, "note: egress greeter.io/greetings writes to another cluster", "at least once")
			greetings := far.read(t, a.topic("greetings"))
			w := a.startReady()
			w.awaitLine(t, 5*time.Second, "egress writes to another cluster: at least once")
			sentHere, sentThere := visits(a.topic("names"), "here-"), visits(a.topic("names"), "there-")
			home.send(t, sentHere...)
			far.send(t, sentThere[:len(sentThere)/2]...)
			greetings.AwaitCount(t, 30*time.Second, 1)
			w.Kill()
			far.send(t, sentThere[len(sentThere)/2:]...)
			w = a.startReady()
			checkCopies(t, greetings, len(sentHere)+len(sentThere))
			w.stop()
		})
	}
}

// checkCopies waits for so many different greetings and checks that those of a name count up in the order of their first
// copies.
func checkCopies(t *testing.T, greetings *reader.Reader, want int) {
	t.Helper()
	var records []*kgo.Record
	first := func() (all []*kgo.Record) {
		known := map[string]bool{}
		for _, r := range records {
			id := ""
			for _, h := range r.Headers {
				if h.Key == "statefun-outbox-id" {
					id = string(h.Value)
				}
			}
			if id == "" {
				t.Fatalf("record %s has no id", r.Value)
			}
			if !known[id] {
				all = append(all, r)
			}
			known[id] = true
		}
		return all
	}
	for n := want; len(first()) < want; n = len(records) + want - len(first()) {
		records = greetings.AwaitCount(t, 30*time.Second, n)
	}
	next := map[string]int{}
	for _, r := range first() {
		next[string(r.Key)]++
		if got, want := string(r.Value), fmt.Sprintf(", visit %d", next[string(r.Key)]); !strings.HasSuffix(got, want) {
			t.Errorf("%s got %q, not visit %d", r.Key, got, next[string(r.Key)])
		}
	}
}
