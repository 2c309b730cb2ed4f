package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/invoker"
	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// errStatus makes a remote function answer with a status.
type errStatus int

func (e errStatus) Error() string { return http.StatusText(int(e)) }

// remote is a lab whose function is behind HTTP. The requests that reach it are counted.
type remote struct {
	*lab
	requests atomic.Int64
	status   atomic.Int64 // that every call is answered with; 0: as the function says
}

func newRemote(t *testing.T, spec string, f script, lines ...string) *remote {
	r := &remote{}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		r.requests.Add(1)
		body, err := io.ReadAll(in.Body)
		if err != nil {
			return
		}
		if status := r.status.Load(); status != 0 {
			out.WriteHeader(int(status))
			return
		}
		answer, err := r.invoke(in.Context(), functionAt("").Type, body)
		var status errStatus
		if errors.As(err, &status) {
			out.WriteHeader(int(status))
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		out.Header().Set("Content-Type", "application/octet-stream")
		_, _ = out.Write(answer)
	}))
	t.Cleanup(server.Close) // after the worker's end
	lines = append([]string{"http://localhost:1/", server.URL + "\n  " + spec}, lines...)
	r.lab = newLab(t, setting{partitions: 1, module: replaced(lines...)}, f)
	r.change = func(c *Config) { c.Functions = nil }
	return r
}

func (r *remote) circuit(state string) bool {
	return r.metric("statefun_invoker_circuit_state", "state", state) == 1
}

// The function is down for all of 2,000 ids. Their inputs go to disk, so that the source moves on and what is for others
// is read; what knocks at the endpoint are probes; and when it is back, everything is done in its order, though a call
// that fails for good would go to the dead-letter topic.
func TestAnEndpointThatIsDownKeepsItsInputsOnDisk(t *testing.T) {
	const ids = 2000
	r := newRemote(t, "maxAttempts: 3\n  onFailure: dead-letter", echo)
	r.status.Store(503)
	r.up()
	r.putMany("in", 0, 2*ids, func(i int) (string, string) { return fmt.Sprint("id", i%ids), fmt.Sprint("r", i/ids) })
	r.until("the circuit is open", func() bool { return r.circuit("open") })
	gone := 0
	r.until("all is on disk", func() bool {
		gone = len(r.read("app-dead-letter"))
		return r.metric("statefun_worker_pending_inputs") == float64(2*ids-gone)
	})
	r.until("nothing of it is in memory", func() bool { return r.metric("statefun_worker_read_budget_used_bytes") == 0 })
	r.until("the source has moved on", func() bool { return r.groupOffset("in", 0) == 2*ids })
	before := r.requests.Load()
	probes := before
	r.until("a probe comes", func() bool { probes = r.requests.Load(); return probes > before })
	if probes > 64+100 { // what was in flight when it went down, and probes
		t.Errorf("%d requests came to an endpoint that is down", probes)
	}
	if n := r.metric("statefun_worker_parked_addresses"); n > 0 {
		t.Errorf("%v addresses are parked for what is not their fault", n)
	}
	r.status.Store(0)
	r.until("all is done", func() bool { return len(r.outputs()) >= ids-gone && r.metric("statefun_worker_pending_inputs") == 0 })
	if !r.circuit("closed") {
		t.Error("the circuit is not closed")
	}
	for id, values := range r.outputs() {
		if got := strings.Join(values, " "); got != "1:r0 2:r1" && got != "1:r1" && got != "1:r0" {
			t.Errorf("%s has %s", id, got)
		}
	}
	if n := len(r.read("app-dead-letter")); n != gone || gone > failuresBefore {
		t.Errorf("%d inputs were given up before the circuit opened, %d in the end", gone, n)
	}
}

// failuresBefore bounds the inputs that may be given up before a circuit opens: those of the first addresses, each of
// which had up to two in its batch.
const failuresBefore = 2 * 64

// One poisoned address fails for ever with 500, beside others that come now and then. The circuit stays closed and
// nobody waits.
func TestAPoisonedAddressDoesNotOpenTheCircuit(t *testing.T) {
	r := newRemote(t, "maxAttempts: 1", func(ctx context.Context, call *callOf, out *reply) error {
		if call.target.ID == "poison" {
			return errStatus(500)
		}
		return echo(ctx, call, out)
	})
	r.up()
	r.put("in", 0, "poison", "r0")
	r.until("it is parked", func() bool { return r.metric("statefun_worker_parked_addresses") == 1 })
	for i := range 20 {
		r.put("in", 0, fmt.Sprint("good", i), "r")
		r.expect(fmt.Sprint("good", i), "1:r")
		if !r.circuit("closed") {
			t.Fatal("the circuit is open")
		}
	}
	if n := r.metric("statefun_worker_parked_addresses"); n != 1 {
		t.Errorf("%v addresses are parked", n)
	}
	r.become(echo)
	r.expect("poison", "1:r0")
	r.until("it is no longer parked", func() bool { return r.metric("statefun_worker_parked_addresses") == 0 })
}

// As many poisoned addresses as open a circuit fail with 500, and nothing else is called. The circuit opens wrongly, but
// an address that comes then does not wait until each of them has failed as a probe once more.
func TestAnAddressThatIsWellIsTheNextProbe(t *testing.T) {
	const poisoned = 16
	var mu sync.Mutex
	var called []string
	r := newRemote(t, "maxAttempts: 1", func(ctx context.Context, call *callOf, out *reply) error {
		mu.Lock()
		called = append(called, call.target.ID)
		mu.Unlock()
		if strings.HasPrefix(call.target.ID, "poison") {
			return errStatus(500)
		}
		return echo(ctx, call, out)
	})
	r.up()
	r.putMany("in", 0, poisoned, func(i int) (string, string) { return fmt.Sprint("poison", i), "r" })
	r.until("the circuit is open", func() bool { return r.circuit("open") })
	r.until("all of them wait to be a probe", func() (all bool) {
		r.loop(func(w *Worker) { all = w.endpoints[0].ready() == poisoned })
		return all
	})
	mu.Lock()
	before := len(called)
	mu.Unlock()
	r.put("in", 0, "good", "r")
	r.expect("good", "1:r")
	mu.Lock()
	defer mu.Unlock()
	if n := slices.Index(called[before:], "good"); n > 2 { // one may have begun before the other was read
		t.Errorf("%d poisoned addresses were called first", n)
	}
}

// A call that was let through as a probe may end before it is sent, here because its input cannot be translated. The
// others must not wait for what it does not find out.
func TestAProbeThatIsNeverSentIsFollowedAtOnce(t *testing.T) {
	spec := newWorldAt(t, moduleText, "localhost:1").module.Endpoints[0]
	spec.MaxAttempts, spec.Generation = 1, protocol.Generation2
	caller, err := invoker.New(&spec, invoker.Shared{})
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	for i := 0; !caller.Circuit().Open(); i++ {
		if _, err := caller.Call(t.Context(), functionAt(fmt.Sprint(i)), nil); err == nil || i > 100 {
			t.Fatalf("call %d of nobody: %v", i, err)
		}
	}
	var ready *task.Mailbox
	inputs := task.New(task.Config{Registry: task.NewRegistry(), Ready: func(m *task.Mailbox) { ready = m }, Held: func(int64) {}})
	inputs.Deliver(protocol.Envelope{Target: functionAt("probe"), Invocation: []byte{0xff}}, 1)
	began := time.Now()
	made, err := inputs.Take(ready, 1, 1, began)
	if err != nil {
		t.Fatal(err)
	}
	caller.Circuit().Began(began)
	c := &call{Call: made, task: inputs, endpoint: &endpoint{spec: &spec, call: caller.Call, circuit: caller.Circuit()}, ctx: t.Context()}
	var sent *invoker.Error
	if _, err := new(Worker).ask(c); err == nil || errors.As(err, &sent) {
		t.Fatalf("the call was sent: %v", err)
	}
	if !caller.Circuit().Allows(time.Now(), 0) {
		t.Error("the next probe waits for one that was never sent")
	}
}

// A parked address keeps what it has and what comes, in order, over a crash too, and resumes by itself.
func TestAParkedAddressKeepsItsOrderAndResumesByItself(t *testing.T) {
	bad := func(ctx context.Context, call *callOf, out *reply) error {
		if call.target.ID == "bad" {
			return errStatus(400)
		}
		return echo(ctx, call, out)
	}
	r := newRemote(t, "maxAttempts: 1", bad)
	r.up()
	var want []string
	for i := range 10 {
		r.put("in", 0, "bad", fmt.Sprint("r", i))
		want = append(want, fmt.Sprint(i+1, ":r", i))
	}
	r.until("they are kept", func() bool { return r.metric("statefun_worker_pending_inputs") == 10 })
	r.until("the source has moved on", func() bool { return r.groupOffset("in", 0) == 10 })
	r.kill()
	r.up()
	r.put("in", 0, "bad", "r10")
	r.put("in", 0, "good", "r")
	r.expect("good", "1:r")
	r.until("it is parked again", func() bool { return r.metric("statefun_worker_parked_addresses") == 1 })
	if n := r.metric("statefun_worker_waiting_addresses"); n != 1 {
		t.Errorf("%v addresses wait, it is the parked one", n)
	}
	r.become(echo)
	r.expect("bad", append(want, "11:r10")...)
}

// The dead-letter record of a function's input tells the address, why, and where the record lies that it came with. A
// message from another function has no record.
func TestADeadLetterTellsItsIngressRecord(t *testing.T) {
	r := newRemote(t, "maxAttempts: 1\n  onFailure: dead-letter", func(ctx context.Context, call *callOf, out *reply) error {
		if strings.HasPrefix(call.target.ID, "bad") {
			return errStatus(500)
		}
		out.send(functionAt("bad child"), "m")
		return nil
	})
	r.up()
	r.put("in", 0, "good", "r0")
	offset := r.put("in", 0, "bad", "r1")
	r.until("both are in the dead-letter topic", func() bool { return len(r.read("app-dead-letter")) == 2 })
	for _, record := range r.read("app-dead-letter") {
		headers := map[string]string{}
		for _, h := range record.Headers {
			headers[strings.TrimPrefix(h.Key, "statefun.dead-letter/")] = string(h.Value)
		}
		if headers["reason"] != "status" || headers["address"] != "test/f/"+string(record.Key) || headers["application"] != "app" {
			t.Errorf("%s has %v", record.Key, headers)
		}
		got := headers["topic"] + "/" + headers["partition"] + "/" + headers["offset"]
		want := map[string]string{"bad": fmt.Sprint("in/0/", offset), "bad child": "//"}[string(record.Key)]
		if got != want {
			t.Errorf("%s comes from %s, want %s", record.Key, got, want)
		}
	}
}

// Thousands of addresses of a function that hangs: no more calls are made than the worker may have, reading stays in its
// budget, and all goes on when the function does.
func TestCallsStayWithinTheWorkersLimit(t *testing.T) {
	const slots, ids = 100, 20_000
	const budget = 1 << 20
	g := newGate()
	l := newLab(t, setting{partitions: 1, module: limited(fmt.Sprintf("inFlight: %d, readBudget: %d bytes", slots, budget))},
		g.hanging(func(string) bool { return true }, echo))
	l.up()
	l.putMany("in", 0, ids, func(i int) (string, string) { return fmt.Sprint("id", i), strings.Repeat("v", 200) })
	l.until("all slots are used", func() bool { return g.held() == slots })
	l.until("reading waits", func() bool { return l.metric("statefun_worker_read_budget_used_bytes") >= budget })
	<-time.After(300 * time.Millisecond) // that no more is called and read has no event
	if n := g.held(); n != slots {
		t.Errorf("%d calls are in flight, the limit is %d", n, slots)
	}
	l.until("the metric says so", func() bool { return l.metric("statefun_worker_in_flight_calls") == slots })
	const batch = recordsPerPoll * (200 + 200 + 160)
	if held := l.metric("statefun_worker_read_budget_used_bytes"); held > budget+3*batch {
		t.Errorf("%v bytes are held, the budget is %d and a batch has %d", held, budget, batch)
	}
	if n := l.metric("statefun_worker_records_total", "topic", "in"); n >= ids {
		t.Errorf("all %v records were read, though their addresses wait", n)
	}
	g.open()
	l.until("it goes on", func() bool { return len(l.outputs()) >= 10*slots })
}

// Every call takes a little longer than what counts as hanging beside quick ones. More of them at once would help, so
// the limit has to grow beyond what it begins with.
func TestSlowFunctionsGetMoreCallsInFlight(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		select {
		case <-time.After(stalledAfter + 50*time.Millisecond):
			return echo(ctx, call, r)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	l.up()
	l.putMany("in", 0, 1000, func(i int) (string, string) { return fmt.Sprint("id", i), "r" })
	l.until("more calls are in flight than at first", func() bool {
		return l.metric("statefun_endpoint_in_flight_limit_calls") > fewestCalls
	})
}
