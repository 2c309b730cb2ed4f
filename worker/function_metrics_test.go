package worker

import (
	"context"
	"fmt"
	"testing"
)

func TestTheMetricsOfAFunctionFollowItsInputs(t *testing.T) {
	begun, open := make(chan struct{}, 10), make(chan struct{})
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID == "slow" {
			begun <- struct{}{}
			select {
			case <-open:
			case <-ctx.Done():
				return ctx.Err()
			}
			r.send(functionAt("other"), "v")
			r.send(functionAt("other"), "v")
			r.egress("test/out", "out", "slow", "done")
			return nil
		}
		return nil
	})
	l.up()
	l.settled()
	l.put("in", 0, "slow", "r0")
	<-begun
	for i := range 4 {
		l.put("in", 0, "slow", fmt.Sprint(i))
	}
	of := func(name string) float64 { return l.metric("statefun_function_"+name, "function", "test/f") }
	l.until("four inputs are the backlog and one call is in flight", func() bool {
		return of("backlog_inputs") == 4 && of("in_flight_calls") == 1 && l.metric("statefun_worker_in_flight_calls") == 1
	})
	close(open)
	l.until("nothing is left", func() bool { return of("backlog_inputs") == 0 && of("in_flight_calls") == 0 && of("inputs_total") == 9 })
	if records, messages := of("egress_records_total"), of("messages_sent_total"); records != 2 || messages != 4 {
		t.Errorf("two calls sent %v records and %v messages, want 2 and 4", records, messages)
	}
	above, all := l.above("statefun_function_invocation_duration_seconds", 120)
	if above != 0 || float64(all) != of("invocations_total") {
		t.Errorf("%d invocations took more than two minutes, of %d, want none of %v", above, all, of("invocations_total"))
	}
}
