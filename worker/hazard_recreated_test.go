package worker

import (
	"context"
	"fmt"
	"testing"
)

// An egress topic is deleted and created anew while the worker runs: it goes on by itself, soon, and what the functions do
// meanwhile is neither lost nor doubled, in the topic or elsewhere.
func TestAnEgressTopicThatIsCreatedAnewGetsAllThatComes(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{partitions: 1, version: version}, func(ctx context.Context, call *callOf, r *reply) error {
			for _, value := range call.arguments {
				r.egress("test/out", "anew", call.target.ID, string(value))
			}
			return echo(ctx, call, r)
		})
		create := func() {
			if _, err := l.admin.CreateTopic(t.Context(), 1, 1, nil, "anew"); err != nil {
				t.Fatal(err)
			}
		}
		create()
		l.up()
		for i := range 2 * producerSlots { // each producer knows the topic
			l.put("in", 0, "X", fmt.Sprint("r", i))
			l.until("the topic has it", func() bool { return len(l.read("anew")) == i+1 })
			l.settled()
		}
		if _, err := l.admin.DeleteTopic(t.Context(), "anew"); err != nil {
			t.Fatal(err)
		}
		create()
		delete(l.logs, "anew")
		const inputs = 20
		for i := range inputs {
			l.put("in", 0, "Y", fmt.Sprint("r", i))
		}
		var there, out []string
		l.until("all is there", func() bool { return len(l.read("anew")) >= inputs })
		for i, r := range l.read("anew") {
			there, out = append(there, string(r.Value)), append(out, fmt.Sprintf("%d:r%d", i+1, i))
		}
		l.expect("Y", out...)
		for i, value := range there {
			if value != fmt.Sprint("r", i) || i >= inputs {
				t.Fatalf("the topic has %v", there)
			}
		}
		if n := l.metric("statefun_worker_transactions_aborted_total"); n > 1 {
			t.Errorf("%v transactions were aborted", n)
		}
		if l.said.has("address is parked") {
			t.Error("the topic was taken for missing")
		}
	})
}
