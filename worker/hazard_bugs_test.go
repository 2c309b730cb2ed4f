package worker

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/statefun-kafka/statefun-kafka/protocol"
	"github.com/statefun-kafka/statefun-kafka/state"
	"github.com/statefun-kafka/statefun-kafka/task"
)

// emptyStore has no rows.
type emptyStore struct{}

func (emptyStore) Get([]byte) ([]byte, error) { return nil, nil }

func (emptyStore) Scan(_, _ []byte, _ int, _ func(_, _ []byte) error) error { return nil }

// Offset 0 is not done and 1 to 20 are finished; the worker was killed. The first poll after the restart ends in the
// middle of the finished run, and a cut comes before the second: the progress row must be one that can be read.
func TestP1ACutBetweenTwoPollsOfFinishedOffsets(t *testing.T) {
	k := task.New(task.Config{Store: emptyStore{}, Registry: task.NewRegistry(), Ready: func(*task.Mailbox) {}, Held: func(int64) {}})
	s := task.NewSource("in", 0, [16]byte{1}, state.Progress{Finished: []state.Run{{From: 1, To: 20}}})
	k.AddSource(s)
	for offset := range int64(12) {
		k.Arrive(s, offset, []protocol.Envelope{{Target: functionAt("K"), Invocation: []byte("x")}}, 0)
	}
	k.Touch()
	for _, row := range k.Cut("tx", time.Unix(1, 0)).Rows {
		if p, err := state.ParseProgress(row.Value); err == nil {
			if got := fmt.Sprint(p.Position, p.Finished); got != "0 [{1 20}]" {
				t.Errorf("progress is %s, want 0 [{1 20}]", got)
			}
		}
	}
}

// A transaction runs when the worker finds that it has a new member id: the transaction's partitions are lost. Before
// it ends the group takes partitions away. When it has ended the revoke must be answered, or the callback, and with
// it the whole membership, hangs for ever while the worker says that it is ready.
func TestP3ARevokeAfterALossIsAnswered(t *testing.T) {
	for name, end := range map[string]*kerr.Error{"committed": nil, "aborted": kerr.TransactionAbortable} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, setting{partitions: 1}, echo)
			l.up()
			blocked, release := l.blockEndTxn(end)
			l.put("in", 0, "K", "r0")
			<-blocked
			r := &revocation{partitions: []int32{0}, handed: make(chan struct{})}
			l.loop(func(w *Worker) {
				w.onAssigned("another member id", nil)
				w.onRevoked("another member id", r)
			})
			release()
			select {
			case <-r.handed:
			case <-time.After(2 * time.Second):
				t.Error("the revoke is not answered")
			}
		})
	}
}

// A delayed message is due while a transaction's worth of effects waits for a commit that does not end. It has to
// wait too, and the loop with it: not to turn round at full speed.
func TestH10TheLoopRestsWhileItIsFull(t *testing.T) {
	text := replaced("  id: app", "  id: app\n  limits: {transactionEffects: 1}")
	l := newLab(t, setting{partitions: 1, module: text}, func(_ context.Context, call *callOf, r *reply) error {
		if string(call.arguments[0]) == "start" {
			r.delay(call.target, "due", int(time.Hour.Milliseconds()), "")
		}
		r.egress("test/out", "out", call.target.ID, "done")
		return nil
	})
	l.up()
	l.put("in", 0, "S", "start")
	l.until("the delayed message is scheduled", func() bool { return len(l.outputs()["S"]) == 1 })
	blocked, _ := l.blockEndTxn(nil)
	l.put("in", 0, "A", "x")
	<-blocked
	l.put("in", 0, "B", "x")
	l.until("it is full", func() (full bool) {
		l.loop(func(w *Worker) { full = w.full() })
		return full
	})
	l.loop(func(w *Worker) {
		w.now = time.Now().Add(2 * time.Hour)
		if next := w.partitions[0].task.NextMillis(); next == 0 || next > w.now.UnixMilli() {
			t.Errorf("no delayed message is due: the next is at %d", next)
		}
		if again := w.step(); !again.After(w.now) {
			t.Errorf("the loop looks again after %v", again.Sub(w.now))
		}
	})
}

// Each function asks once for its states, and the batch is sent again. What is in flight comes back to zero.
func TestP5TheGaugeOfCallsInFlightComesBackToZero(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	l.settled()
	if n := l.metric("statefun_function_in_flight_calls"); n != 0 {
		t.Errorf("%v calls are in flight on an idle worker", n)
	}
}

// Reading the state of an address from the disk fails once. That is no failure of the function: with onFailure: skip
// its input would be lost for a fault of this machine. The worker stops with the reason, and loses nothing.
func TestP1AFailedReadOfTheStoreIsNotTheFunctionsFault(t *testing.T) {
	var broken atomic.Bool
	text := replaced("  functions: test/*", "  functions: test/*\n  onFailure: skip", "  id: app", "  id: app\n  limits: {stateCache: 1 KB}")
	l := newLab(t, setting{partitions: 1, module: text}, echo)
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.change = func(c *Config) {
		c.FileSystem = errorfs.Wrap(l.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
				return errorfs.ErrInjected
			}
			return nil
		}))
	}
	l.up()
	broken.Store(true)
	l.put("in", 0, "K", "r1")
	select {
	case <-l.ended:
		l.dead()
	case <-time.After(time.Second): // it may as well wait and try again
		l.kill()
	}
	broken.Store(false)
	l.up()
	l.expect("K", "1:r0", "2:r1")
}

// The ingress topic is deleted and created anew while the worker runs. It reads nothing any more: that must end it
// with the reason, as it does at a start, and not leave it ready and silent.
func TestH8AnIngressTopicRecreatedUnderTheWorkerEndsIt(t *testing.T) {
	l := newLab(t, setting{partitions: 1}, echo)
	l.up()
	l.put("in", 0, "K", "r0")
	l.expect("K", "1:r0")
	if err := l.cluster.DeleteTopic("in"); err != nil {
		t.Fatal(err)
	}
	if err := l.cluster.CreateTopic("in", 1, nil); err != nil {
		t.Fatal(err)
	}
	l.reconnect()
	l.put("in", 0, "K", "new")
	if err := l.over(); err == nil || !strings.Contains(err.Error(), "in") {
		t.Errorf("the worker ended with %v", err)
	}
}
