package worker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/task"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// blockEndTxn holds the next EndTxn until release is called, and answers it with err without doing it, unless err is
// nil. blocked is closed when it has come.
func (l *lab) blockEndTxn(err *kerr.Error) (blocked chan struct{}, release func()) {
	return l.blockKey(kmsg.EndTxn, nil, func(r kmsg.Request) (kmsg.Response, error, bool) {
		if err == nil {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.EndTxnResponse)
		response.ErrorCode = err.Code
		return response, nil, true
	})
}

// blockKey holds the next request of a kind, and of those that are meant, until release is called, and lets then
// decide. It is over with that one request.
func (l *lab) blockKey(key kmsg.Key, meant func(kmsg.Request) bool, then func(kmsg.Request) (kmsg.Response, error, bool)) (blocked chan struct{}, release func()) {
	blocked = make(chan struct{})
	released := make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	l.t.Cleanup(release) // a test that fails meanwhile must not leave the broker waiting
	var once atomic.Bool
	l.cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if meant != nil && !meant(r) || !once.CompareAndSwap(false, true) {
			return nil, nil, false
		}
		l.cluster.DropControl()
		close(blocked)
		l.cluster.SleepControl(func() { <-released })
		return then(r)
	})
	return blocked, release
}

// S's first record is in a transaction that is being ended. Above its cut S sends to X on another partition of the
// worker, and X has done the message. Then the transaction aborts: what was collected above it rests on it and must
// go as well, on both sides, or the message is lost or doubled.
func TestH13AnAbortTakesWhatWasCollectedAboveTheCut(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		var seen atomic.Int64
		s, x := idIn(0, 2, 0), idIn(1, 2, 0)
		l := newLab(t, setting{version: version}, func(ctx context.Context, call *callOf, r *reply) error {
			if call.target.ID == x {
				seen.Add(1)
			}
			return relay(ctx, call, r)
		})
		l.up()
		l.settled()
		blocked, release := l.blockEndTxn(kerr.TransactionAbortable)
		l.put("in", 0, s, "r0")
		<-blocked
		l.put("in", 0, s, ">"+x+":m")
		l.until("X was called for the message", func() bool { return seen.Load() == 1 })
		l.loop(func(*Worker) {}) // its answer has been taken, or will be when the abort comes
		release()
		l.expect(s, "1:r0", "2:>"+x+":m")
		l.expect(x, "1:m")
		if n := l.metric("statefun_worker_transactions_aborted_total"); n != 1 {
			t.Errorf("%v transactions were aborted, want 1", n)
		}
	})
}

// S's second call is in flight with a state that an aborted transaction wrote. Its answer comes late and must be
// dropped: another call of the same input has been made.
func TestH13CallsInFlightAtAnAbortAreDropped(t *testing.T) {
	var held, calls atomic.Int64
	late := make(chan struct{})
	l := newLab(t, setting{partitions: 1}, func(ctx context.Context, call *callOf, r *reply) error {
		calls.Add(1)
		if string(call.arguments[0]) == "r1" && held.CompareAndSwap(0, 1) {
			<-late // though its context ends
		}
		return echo(ctx, call, r)
	})
	l.up()
	blocked, release := l.blockEndTxn(kerr.TransactionAbortable)
	l.put("in", 0, "S", "r0")
	<-blocked
	l.put("in", 0, "S", "r1")
	l.until("the second call is in flight", func() bool { return held.Load() == 1 })
	release()
	l.expect("S", "1:r0", "2:r1")
	close(late)
	l.until("the late answer came", func() (none bool) {
		l.loop(func(w *Worker) { none = w.flight.count == 0 && !w.dirty() && w.running == nil })
		return none
	})
	l.expect("S", "1:r0", "2:r1")
}

// The answer to EndTxn is lost, and when the client asks again the broker's error tells nothing. The transaction is
// committed: to process its inputs again would double them.
func TestUnknownOutcomeThatWasACommit(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, relay)
		s, x := idIn(0, 2, 0), idIn(1, 2, 0)
		l.up()
		l.settled()
		var asked atomic.Int64
		l.network.loseEnd.Store(true)
		l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError,
			When: func(kmsg.Request) bool { return asked.Add(1) > 1 }})
		l.put("in", 0, s, ">"+x+":m")
		l.expect(s, "1:>"+x+":m")
		l.expect(x, "1:m")
		l.put("in", 0, s, "r1")
		l.expect(s, "1:>"+x+":m", "2:r1")
		if n := l.metric("statefun_worker_transactions_unknown_total"); n != 1 {
			t.Errorf("%v outcomes were unknown, want 1", n)
		}
	})
}

// EndTxn is answered with an error that tells nothing, and was not done: to go on would lose its inputs.
func TestUnknownOutcomeThatWasNoCommit(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, relay)
		s, x := idIn(0, 2, 0), idIn(1, 2, 0)
		l.up()
		l.settled()
		l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError})
		l.put("in", 0, s, ">"+x+":m")
		l.expect(s, "1:>"+x+":m")
		l.expect(x, "1:m")
		if n := l.metric("statefun_worker_transactions_unknown_total"); n != 1 {
			t.Errorf("%v outcomes were unknown, want 1", n)
		}
		if n := l.metric("statefun_worker_transactions_aborted_total"); n != 1 {
			t.Errorf("%v transactions were aborted, want 1", n)
		}
	})
}

// The broker has the records and its answer is lost: they are sent again and must be there once.
func TestALostAnswerToProduceDoublesNothing(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{partitions: 1, version: version}, echo)
		l.up()
		lost := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "out", Err: kerr.RequestTimedOut, Count: 2})
		l.put("in", 0, "K", "r0")
		l.expect("K", "1:r0")
		if lost.Hits() == 0 {
			t.Error("no answer was lost")
		}
		l.put("in", 0, "K", "r1")
		l.expect("K", "1:r0", "2:r1")
	})
}

// A second member joins. The worker has joined again and waits for the group when it cuts a transaction; the group is
// at the next generation when the offsets arrive, and the client runs its revoke callback, which waits for this very
// transaction. The member id is the same, so nobody else can own what the transaction touches: the offsets are sent
// again with the generation that the client holds now. To wait for a callback instead would wait for ever.
func TestH2OffsetsAreSentAgainWithTheNewGeneration(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, echo)
		zero, one := idIn(0, 2, 0), idIn(1, 2, 0)
		l.up()
		l.settled()
		generation := l.cluster.GroupInfo("app").Epoch
		pass := func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false }
		ofWorker := func(r kmsg.Request) bool { return r.(*kmsg.JoinGroupRequest).InstanceID != nil }
		joining, join := l.blockKey(kmsg.JoinGroup, ofWorker, pass)
		other, err := kgo.NewClient(kgo.SeedBrokers(l.brokers...), kgo.ConsumerGroup("app"), kgo.ConsumeTopics("app-mailbox"),
			kgo.Balancers(bystander()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		<-joining
		blocked, release := l.blockKey(kmsg.TxnOffsetCommit, nil, pass)
		l.put("in", 0, zero, "r0")
		l.put("in", 1, one, "r0")
		<-blocked
		join()
		l.until("the generation is another one", func() bool { return l.cluster.GroupInfo("app").Epoch > generation })
		release()
		l.until("the records are committed", func() bool { return len(l.outputs()) == 2 })
		if n := l.metric("statefun_worker_transactions_aborted_total"); n > 0 {
			t.Errorf("%v transactions were aborted", n)
		}
		other.Close()
		l.until("all partitions are back", func() (all bool) {
			l.loop(func(w *Worker) { all = len(w.partitions) == 2 && w.Ready() == nil })
			return all
		})
		l.put("in", 0, zero, "r1")
		l.put("in", 1, one, "r1")
		l.expect(zero, "1:r0", "2:r1")
		l.expect(one, "1:r0", "2:r1")
	})
}

// bystander balances a member of the group that is no worker.
func bystander() *balance.Balancer {
	return balance.New(balance.Options{
		Topic: "app-mailbox", Local: func() balance.Local { return balance.Local{} }, Follow: func([]balance.Follow) {},
	})
}

// clock gives a worker that has effects since a moment, for the rule of when to cut.
func clock(t *testing.T, lines ...string) (w *Worker, at func(time.Duration) time.Time) {
	w = &Worker{Config: Config{Module: loadModule(t, replaced(lines...))}}
	began := time.Unix(1000, 0)
	w.now, w.firstEffect = began, began
	return w, func(d time.Duration) time.Time { return began.Add(d) }
}

// fly adds a call that began at a moment.
func (w *Worker) fly(at time.Time) *call {
	c := &call{Call: &task.Call{Started: at}}
	w.flight.add(c)
	return c
}

// An idle line commits at once; young calls in flight delay a cut by max(4 ms, 2 × the last commit); old ones, which
// may hang, do not delay it; commitInterval is a lower bound.
func TestH12WhenToCut(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		inFlight   []time.Duration // began so long before the effect
		lastCommit time.Duration
		interval   string
		lastCut    time.Duration // before the effect
		want       time.Duration // after the effect
	}{
		"an idle line commits at once":                  {lastCommit: 30 * ms, want: 0},
		"a young call delays":                           {inFlight: []time.Duration{ms}, lastCommit: ms, want: 4 * ms},
		"by twice the last commit":                      {inFlight: []time.Duration{0}, lastCommit: 2 * ms, want: 4 * ms},
		"an old call does not":                          {inFlight: []time.Duration{6 * ms}, lastCommit: 30 * ms, want: 0},
		"an old call beside a young one does not count": {inFlight: []time.Duration{time.Minute, ms}, want: 4 * ms},
		"the interval is a lower bound":                 {interval: "100ms", lastCut: 30 * ms, want: 70 * ms},
		"and has passed":                                {interval: "100ms", lastCut: 200 * ms, want: 0},
		"with a young call the later of both":           {inFlight: []time.Duration{ms}, interval: "100ms", lastCut: 99 * ms, want: 4 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			lines := []string{}
			if c.interval != "" {
				lines = []string{"  id: app", "  id: app\n  commitInterval: " + c.interval}
			}
			w, at := clock(t, lines...)
			w.lastCommit, w.lastCut = c.lastCommit, at(-c.lastCut)
			for _, before := range c.inFlight {
				w.fly(at(-before))
			}
			if got := max(w.cutTime().Sub(at(0)), 0); got != c.want {
				t.Errorf("cut after %v, want %v", got, c.want)
			}
		})
	}
}

// The only call in flight is young and hangs, and commits are slow: twice the last one are 60 ms. The call is old
// after 5 ms, and then nothing young is in flight: the effects must not wait for the rest of the 60 ms.
func TestH12ACallThatHasGrownOldDelaysNoLonger(t *testing.T) {
	w, at := clock(t)
	w.lastCommit = 30 * time.Millisecond
	w.fly(at(-time.Millisecond))
	if got := w.cutTime().Sub(at(0)); got > youngCall {
		t.Errorf("cut after %v, the call in flight is old after %v", got, youngCall-time.Millisecond)
	}
}

// Nothing to commit, no transaction: an idle worker sends no EndTxn, nor one that is being cut already.
func TestH12NothingToCommitIsNoTransaction(t *testing.T) {
	l := newLab(t, setting{}, echo)
	l.up()
	l.put("in", 0, idIn(0, 2, 0), "r0")
	l.expect(idIn(0, 2, 0), "1:r0")
	l.settled()
	ended := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn, kmsg.InitProducerID, kmsg.TxnOffsetCommit}, Count: -1, Observe: true})
	<-time.After(1500 * time.Millisecond) // an idle time, longer than the loop sleeps, is what is looked at
	if n := ended.Hits(); n > 0 {
		t.Errorf("%d requests of transactions in an idle time", n)
	}
}

// An address is parked and its input is copied. A retry that fails changes nothing that is not in the changelog.
func TestH12ARetryThatFailsIsNoTransaction(t *testing.T) {
	var calls atomic.Int64
	l := newLab(t, setting{partitions: 1}, func(context.Context, *callOf, *reply) error {
		calls.Add(1)
		return errors.New("not today")
	})
	l.up()
	l.put("in", 0, "X", "r0")
	l.until("X is copied", func() bool { return l.groupOffset("in", 0) == 1 })
	ended := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Count: -1, Observe: true})
	before := calls.Load()
	l.until("X was tried again", func() bool { return calls.Load() >= before+2 })
	l.settled()
	if n := ended.Hits(); n > 0 {
		t.Errorf("%d transactions for retries that failed", n)
	}
}

// Killed and started again under its name with a session that lasts 30 s: the group gives the partitions back at
// once, since the name is the member's instance id.
func TestH15ARestartUnderTheSameNameHasItsPartitionsBackAtOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l := newLab(t, setting{version: version}, echo)
		l.change = func(c *Config) { c.SessionTimeout = 30 * time.Second }
		l.up()
		id := idIn(0, 2, 0)
		l.put("in", 0, id, "r0")
		l.expect(id, "1:r0")
		blocked, release := l.blockEndTxn(nil) // it dies with a transaction open
		l.put("in", 0, id, "r1")
		<-blocked
		l.kill()
		release()
		began := time.Now()
		l.up()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("running %v after the restart", took)
		}
		l.until("all is done", func() bool { return len(l.outputs()[id]) >= 2 })
		if got := strings.Join(l.outputs()[id], " "); got != "1:r0 2:r1" {
			t.Errorf("outputs are %s", got)
		}
	})
}

// A function hangs, a transaction runs, and another's effects are applied above it. A clean stop waits for the
// transaction, commits what is applied in one more, does not wait for the function, and loses nothing.
func TestACleanStopCommitsWhatIsAppliedAndWaitsForNoFunction(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		g := newGate("X")
		l := newLab(t, setting{partitions: 1, version: version}, g.behind(echo))
		l.up()
		l.put("in", 0, "X", "x0")
		l.until("X is called", func() bool { return g.held() == 1 })
		blocked, release := l.blockEndTxn(nil)
		l.put("in", 0, "Y", "y0")
		<-blocked
		l.put("in", 0, "Y", "y1")
		l.until("its effects are applied", func() (applied bool) {
			l.loop(func(w *Worker) { applied = len(w.collected) == 1 })
			return applied
		})
		began := time.Now()
		l.cancel()
		l.until("the worker stops", func() bool { return strings.Contains(l.said.tail(20), "stopping") })
		release()
		if err := l.over(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if got := strings.Join(l.outputs()["Y"], " "); got != "1:y0 2:y1" {
			t.Errorf("what was applied is not committed: %s", got)
		}
		if info := l.cluster.GroupInfo("app"); len(info.Members) > 0 {
			t.Error("the worker is still a member of the group")
		}
		l.become(echo)
		l.up()
		l.expect("X", "1:x0")
		l.expect("Y", "1:y0", "2:y1")
	})
}
