package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// stopInTime tells a process to stop and holds it to the promise: it ends within the time for a clean stop, cleanly,
// whatever its brokers do. Whoever runs it allows a second more and takes a worker that is later for one that hangs.
func (l *lab) stopInTime() {
	l.t.Helper()
	began := time.Now()
	l.cancel()
	select {
	case err := <-l.ended:
		if err != nil {
			l.t.Errorf("the stop ended with an error: %v", err)
		}
	case <-time.After(2 * stopTimeout):
		l.t.Fatalf("the worker does not end")
	}
	l.worker = nil
	took := time.Since(began)
	l.t.Logf("stopped in %v", took)
	if took > stopTimeout {
		l.t.Errorf("the stop took %v", took)
	}
}

// The brokers are away when the worker is told to stop: they answer nothing more, at each step of a transaction, while the
// worker looks for the outcome of one, when it has nothing to do, or they are dead. It ends in time and cleanly, and the
// next process makes each effect once.
func TestAStopWhileTheBrokersAreAwayIsInTimeAndClean(t *testing.T) {
	behind := func(key kmsg.Key) func(*lab, *silence) {
		return func(l *lab, s *silence) {
			reached := s.before(key)
			l.put("in", 0, "X", "r1")
			<-reached
		}
	}
	for name, leave := range map[string]func(*lab, *silence){
		"idle": func(l *lab, s *silence) {
			l.put("in", 0, "X", "r1")
			l.expect("X", "1:r0", "2:r1")
			l.settled()
			s.fall()
		},
		"before its first record": behind(kmsg.Produce),
		"before its offsets":      behind(kmsg.TxnOffsetCommit),
		"before its EndTxn":       behind(kmsg.EndTxn),
		"before the answer to EndTxn": func(l *lab, s *silence) {
			reached := s.behind(kmsg.EndTxn)
			l.put("in", 0, "X", "r1")
			<-reached
		},
		"while it looks for the outcome": func(l *lab, s *silence) {
			l.loop(func(w *Worker) { w.TransactionTimeout = time.Second })
			reached := s.behind(kmsg.EndTxn)
			l.put("in", 0, "X", "r1")
			<-reached
			l.says("outcome of the transaction is unknown")
		},
		"dead": func(l *lab, s *silence) {
			reached := s.before(kmsg.EndTxn)
			l.put("in", 0, "X", "r1")
			<-reached
			s.die(l.network)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, setting{partitions: 1}, echo)
			l.change = patient
			s := l.silenced()
			l.up()
			l.put("in", 0, "X", "r0")
			l.expect("X", "1:r0")
			l.settled()
			leave(l, s)
			l.stopInTime()
			s.over(l)
			l.up()
			l.put("in", 0, "X", "r2")
			l.expect("X", "1:r0", "2:r1", "3:r2")
		})
	}
}

// patient has the time-outs of a real worker, whose transactions outlive a stop.
func patient(c *Config) {
	c.SessionTimeout, c.TransactionTimeout = 30*time.Second, defaultTransactionTimeout
}

// The brokers stop answering before the worker has its partitions: at its first question, while it opens its producers,
// joins, and takes over.
func TestAStopInAStartWhoseBrokersGoAwayIsInTimeAndClean(t *testing.T) {
	for name, key := range map[string]kmsg.Key{
		"its first question": kmsg.ApiVersions, "its topics": kmsg.Metadata, "its name": kmsg.DescribeGroups, "its producers": kmsg.InitProducerID,
		"its join": kmsg.JoinGroup, "its offsets": kmsg.OffsetFetch, "its barrier": kmsg.Produce, "its replay": kmsg.Fetch,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, setting{partitions: 1}, echo)
			l.change = patient
			l.up()
			l.put("in", 0, "X", "r0")
			l.expect("X", "1:r0")
			l.settled()
			l.kill()
			l.put("in", 0, "X", "r1")
			s := l.silenced()
			reached := s.before(key)
			l.start()
			<-reached
			l.stopInTime()
			s.over(l)
			l.up()
			l.expect("X", "1:r0", "2:r1")
		})
	}
}

// The brokers stop answering a worker that follows partitions of another one and whose outbox has rows for another cluster
// that is away too: what ends beside the transaction does not add up.
func TestAStopWithStandbysAndAnOutboxWhileTheBrokersAreAwayIsInTime(t *testing.T) {
	l, a := far(t, "", "  standbyReplicas: 1\n")
	between := l.change
	l.change = func(c *Config) {
		between(c)
		patient(c)
	}
	other := l.beside("w2")
	s := l.silenced()
	l.up()
	other.start()
	l.until("each has a partition and follows the other", func() (both bool) {
		for _, one := range []*lab{l, other} {
			both = false
			one.loop(func(w *Worker) { both = len(w.partitions) == 1 && len(w.following) == 1 })
			if !both || one.worker.Ready() != nil {
				return false
			}
		}
		return both
	})
	l.spread("k", 0, 10)
	l.doneExactly("k", 10)
	for p := range 2 {
		a.counted(l, fmt.Sprint("k", p), 10)
	}
	a.cutOff()
	l.spread("k", 10, 10)
	l.doneExactly("k", 20)
	reached := s.before(kmsg.EndTxn)
	l.spread("k", 20, 10)
	<-reached
	l.stopInTime()
	a.come()
	s.over(l)
	l.up()
	l.doneExactly("k", 30)
	for p := range 2 {
		a.counted(l, fmt.Sprint("k", p), 30)
	}
}

// A route that does not return holds up neither the stop nor a record: the next process reads it.
func TestARouteThatDoesNotReturnDoesNotKeepRun(t *testing.T) {
	l := newFilled(t, setting{partitions: 1}, echo)
	ended, called := make(chan struct{}), make(chan struct{}, 1)
	defer close(ended)
	usual := l.change
	l.change = func(c *Config) {
		c.Routes = map[protocol.TypeName]ingress.Route{fill: func(*kgo.Record, func(protocol.Address, []byte)) error {
			called <- struct{}{}
			<-ended
			return nil
		}}
	}
	l.up()
	l.put(filled, 0, "X", "r0")
	<-called
	l.stopInTime()
	l.change = usual
	l.up()
	l.expect("X", "1:r0")
}
