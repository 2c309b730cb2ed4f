package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// endpointWith is moduleText with keys added to its endpoint.
func endpointWith(keys ...string) string {
	return replaced("  functions: test/*", "  functions: test/*\n  "+strings.Join(keys, "\n  "))
}

// badOnes fails for ids that begin with bad, while it is to.
func badOnes(fails *atomic.Bool, calls *atomic.Int64) script {
	return func(ctx context.Context, call *callOf, r *reply) error {
		if strings.HasPrefix(call.target.ID, "bad") {
			calls.Add(1)
			if fails.Load() {
				return errors.New("not today")
			}
		}
		return echo(ctx, call, r)
	}
}

func TestAFunctionInProcessThatFailsParksItsAddressWhichResumes(t *testing.T) {
	var fails atomic.Bool
	var calls atomic.Int64
	fails.Store(true)
	l := newLab(t, setting{partitions: 1}, badOnes(&fails, &calls))
	l.up()
	l.put("in", 0, "bad", "r0")
	l.until("it is parked", func() bool { return l.metric("statefun_worker_parked_addresses") == 1 })
	l.put("in", 0, "bad", "r1")
	for i := range 20 {
		l.put("in", 0, fmt.Sprint("good", i), "r")
	}
	for i := range 20 {
		l.expect(fmt.Sprint("good", i), "1:r")
	}
	fails.Store(false)
	l.expect("bad", "1:r0", "2:r1")
	if n := l.metric("statefun_invoker_failures_total", "function", "test/f", "kind", "function"); n == 0 || n != float64(calls.Load()-1) && n != float64(calls.Load()-2) {
		t.Errorf("%v failures are counted, of %d calls", n, calls.Load())
	}
}

func TestAFunctionInProcessThatFailsForGoodGoesByItsPolicy(t *testing.T) {
	for policy, letters := range map[string]int{module.FailureDeadLetter: 1, module.FailureSkip: 0} {
		t.Run(policy, func(t *testing.T) {
			var fails atomic.Bool
			var calls atomic.Int64
			fails.Store(true)
			l := newLab(t, setting{partitions: 1, module: endpointWith("maxAttempts: 3", "onFailure: "+policy)}, badOnes(&fails, &calls))
			l.up()
			offset := l.put("in", 0, "bad", "r0")
			l.until("its three attempts are made", func() bool { return calls.Load() == 3 })
			l.until("it is done", func() bool { return l.groupOffset("in", 0) == offset+1 })
			fails.Store(false)
			l.put("in", 0, "bad", "r1")
			l.expect("bad", "1:r1")
			got := l.read("app-dead-letter")
			if len(got) != letters {
				t.Fatalf("%d dead letters", len(got))
			}
			for _, letter := range got {
				headers := map[string]string{}
				for _, h := range letter.Headers {
					headers[h.Key] = string(h.Value)
				}
				if headers[ingress.HeaderReason] != "function" || !strings.Contains(headers[ingress.HeaderDetail], "not today (3 attempts)") {
					t.Errorf("the dead letter says %v", headers)
				}
			}
		})
	}
}

func TestAPanicOrTheEndOfItsGoroutineParksAnAddressAndNothingElse(t *testing.T) {
	for how, end := range map[string]func(){"panicked": func() { panic("out of my mind") }, "runtime.Goexit": runtime.Goexit} {
		t.Run(how, func(t *testing.T) {
			var ended atomic.Bool
			l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
				if call.target.ID == "bad" && !ended.Swap(true) {
					end()
				}
				return echo(ctx, call, r)
			})
			l.up()
			l.put("in", 0, "bad", "r0")
			l.says("parked", "test/f/bad")
			l.put("in", 0, "good", "r")
			l.expect("good", "1:r")
			l.expect("bad", "1:r0")
			if !l.said.has(how) {
				t.Error("the log does not say what happened")
			}
			if how == "panicked" && !l.said.has("function panicked", "inprocess_test.go") {
				t.Error("the log has no stack")
			}
		})
	}
}

// Calls share goroutines: the labels that one function gives its own must not be on what the next one does.
func TestTheProfilerLabelsOfAFunctionEndWithItsCall(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		pprof.SetGoroutineLabels(pprof.WithLabels(ctx, pprof.Labels("function", "test-of-labels")))
		return echo(ctx, call, r)
	})
	l.up()
	l.put("in", 0, "X", "r0")
	l.expect("X", "1:r0")
	var profile strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(profile.String(), `"function":"test-of-labels"`) {
		t.Error("a goroutine has the labels of a function that has returned")
	}
}

func TestASlowFunctionInProcessHoldsItsAddressAlone(t *testing.T) {
	g := newGate("slow")
	l := newLab(t, setting{}, g.behind(echo))
	l.up()
	l.put("in", 0, "slow", "r0")
	l.until("it is at work", func() bool { return g.held() == 1 })
	l.spread("k", 0, 50)
	l.doneExactly("k", 50)
	if len(l.outputs()["slow"]) > 0 {
		t.Error("the slow one is done")
	}
	g.open()
	l.expect("slow", "1:r0")
}

// The same inputs come to a function in process and behind HTTP while its first call runs. Both get them in the same
// batches and in the same order.
func TestBatchesInProcessAreThoseOfARemoteFunction(t *testing.T) {
	const most, inputs = 7, 30
	batches := func(t *testing.T, make func(f script) *lab) (got []string) {
		g := newGate("k")
		var mu sync.Mutex
		l := make(func(ctx context.Context, call *callOf, r *reply) error {
			mu.Lock()
			var values []string
			for _, a := range call.arguments {
				values = append(values, string(a))
			}
			got = append(got, strings.Join(values, " "))
			mu.Unlock()
			return g.behind(echo)(ctx, call, r)
		})
		l.up()
		l.put("in", 0, "k", "first")
		l.until("the first is at work", func() bool { return g.held() == 1 })
		l.putMany("in", 0, inputs, func(i int) (string, string) { return "k", fmt.Sprint("r", i) })
		l.until("the others are read", func() bool { return l.metric("statefun_worker_records_total", "topic", "in") == inputs+1 })
		g.open()
		l.until("all are done", func() bool { return len(l.outputs()["k"]) == inputs+1 })
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
	limit := fmt.Sprint("maxNumBatchRequests: ", most)
	here := batches(t, func(f script) *lab { return newLab(t, setting{partitions: 1, module: endpointWith(limit)}, f) })
	there := batches(t, func(f script) *lab { return newRemote(t, limit, f).lab })
	want := []string{"first"}
	for i := 0; i < inputs; i += most {
		var values []string
		for j := i; j < min(i+most, inputs); j++ {
			values = append(values, fmt.Sprint("r", j))
		}
		want = append(want, strings.Join(values, " "))
	}
	if !slices.Equal(here, want) || !slices.Equal(there, want) {
		t.Errorf("in process:\n%q\nremote:\n%q\nwant:\n%q", here, there, want)
	}
}

// Run does not wait for ever for a function that takes no notice of its context. Its answer is dropped, and its input is
// called again by the next process.
func TestAFunctionThatIgnoresItsContextDoesNotKeepRun(t *testing.T) {
	var stuck atomic.Bool
	stuck.Store(true)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID == "stuck" && stuck.Load() {
			begun <- struct{}{}
			<-release
		}
		return echo(ctx, call, r)
	})
	l.up()
	l.put("in", 0, "stuck", "r0")
	l.put("in", 0, "good", "r0")
	<-begun
	l.expect("good", "1:r0")
	began := time.Now()
	l.cancel()
	select {
	case err := <-l.ended:
		if took := time.Since(began); err != nil || took > stopTimeout+2*time.Second {
			t.Errorf("Run ended after %v with %v", took, err)
		}
	case <-time.After(stopTimeout + patience):
		t.Fatal("Run does not end")
	}
	if !l.said.has("left to themselves") {
		t.Error("nothing is said of the function")
	}
	l.dead()
	stuck.Store(false)
	close(release)
	l.up()
	l.expect("stuck", "1:r0")
}

// A function that does end with its context ends Run at once.
func TestAFunctionThatHeedsItsContextDoesNotDelayRun(t *testing.T) {
	g := newGate("held")
	l := newLab(t, setting{partitions: 1}, g.behind(echo))
	l.up()
	l.put("in", 0, "held", "r0")
	l.until("it is at work", func() bool { return g.held() == 1 })
	began := time.Now()
	if err := l.stop(); err != nil || time.Since(began) > stopTimeout/2 {
		t.Errorf("Run ended after %v with %v", time.Since(began), err)
	}
}

// Functions in process and behind HTTP stand side by side in one module and send to each other.
func TestFunctionsInProcessAndRemoteOnesSendToEachOther(t *testing.T) {
	r := newRemote(t, "maxAttempts: 1", nil)
	r.module.Endpoints = append(slices.Clone(r.module.Endpoints), module.Endpoint{
		Functions: module.Pattern{Namespace: "test", Name: "here"}, OnFailure: module.FailureRetry, Transport: module.Transport{Kind: module.TransportInProcess}})
	here := protocol.TypeName{Namespace: "test", Name: "here"}
	r.become(func(ctx context.Context, call *callOf, out *reply) error {
		if strings.HasPrefix(string(call.arguments[0]), "back ") {
			return echo(ctx, call, out)
		}
		for _, a := range call.arguments {
			out.send(protocol.Address{Type: here, ID: call.target.ID}, string(a))
		}
		return nil
	})
	var mistaken atomic.Int64
	r.change = func(c *Config) {
		c.Functions = func(_ context.Context, fn protocol.TypeName, request []byte) ([]byte, error) {
			if fn != here {
				mistaken.Add(1)
			}
			call, err := parseCall(request)
			if err != nil {
				return nil, err
			}
			var out reply
			for _, a := range call.arguments {
				out.send(functionAt(call.target.ID), "back "+string(a))
			}
			return out.bytes(), nil
		}
	}
	r.up()
	r.put("in", 0, "k", "r0")
	r.expect("k", "1:back r0")
	if n := mistaken.Load(); n > 0 {
		t.Errorf("%d calls for the remote function came here", n)
	}
}

func TestAModuleWithFunctionsInProcessNeedsThem(t *testing.T) {
	w := newWorldAt(t, moduleText, "localhost:1")
	c := w.config(t.TempDir())
	c.Functions = counter
	c = inProcess(c)
	c.Functions = nil
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "test/*") || !strings.Contains(err.Error(), "Config.Functions") {
		t.Errorf("%v", err)
	}
}
