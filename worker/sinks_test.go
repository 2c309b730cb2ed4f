package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/outbox"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

var testSink = protocol.TypeName{Namespace: "test", Name: "sink"}

// sunk is what a sink got, in the order in which it came.
type sunk struct {
	mu     sync.Mutex
	came   []string // values
	ids    map[string][]string
	decide func(ctx context.Context, value string) error // nil: takes all
}

func (s *sunk) take(ctx context.Context, item outbox.Item) error {
	r, err := outbox.ParseRecord(item.Payload)
	if err != nil {
		return err
	}
	value := string(r.Value)
	s.mu.Lock()
	decide := s.decide
	s.ids[value] = append(s.ids[value], item.ID)
	s.mu.Unlock()
	if decide != nil {
		if err := decide(ctx, value); err != nil {
			return err
		}
	}
	if string(r.Key) != "test/alarm" || r.Topic != "" {
		return fmt.Errorf("it has the type %s and the topic %s", r.Key, r.Topic)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came = append(s.came, value)
	return nil
}

func (s *sunk) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.came)
}

// tried gives the ids of the deliveries of a value, failed ones too.
func (s *sunk) tried(value string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids[value])
}

func (s *sunk) becomes(decide func(ctx context.Context, value string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide = decide
}

// sinking is a lab whose module has a sink, and what that got.
func sinking(t *testing.T, s setting, f script) (*lab, *sunk) {
	t.Helper()
	l, got := newLab(t, s, f), &sunk{ids: map[string][]string{}}
	l.module.Sinks = []module.Sink{{ID: testSink}}
	l.change = func(c *Config) { c.Sinks = map[protocol.TypeName]outbox.Target{testSink: outbox.Callback(got.take)} }
	return l, got
}

// alarm sends each input to the sink, counted, and to the egress.
func alarm(ctx context.Context, call *callOf, r *reply) error {
	n := 0
	fmt.Sscan(string(call.states["count"]), &n)
	for _, a := range call.arguments {
		n++
		r.value(testSink, "test/alarm", fmt.Sprint(call.target.ID, " ", n, ":", string(a)))
	}
	return echo(ctx, call, r)
}

// value sends a value to an egress as it is.
func (r *reply) value(id protocol.TypeName, typename, value string) {
	m := message(message(nil, 1, []byte(id.Namespace)), 2, []byte(id.Name))
	r.result = message(r.result, 4, message(m, 3, protocol.AppendTypedValue(nil, typename, []byte(value))))
}

func TestASinkGetsAllMessagesOfAPartitionOnceAndInOrder(t *testing.T) {
	l, s := sinking(t, setting{}, alarm)
	l.up()
	l.spread("k", 0, 100)
	l.until("it has all", func() bool { return len(s.got()) == 200 })
	of := map[string][]string{}
	for _, v := range s.got() {
		key, rest, _ := strings.Cut(v, " ")
		of[key] = append(of[key], rest)
	}
	for p := range 2 {
		for i, got := range of[fmt.Sprint("k", p)] {
			if want := fmt.Sprintf("%d:r%d", i+1, i); got != want {
				t.Fatalf("k%d: %s came in the place of %s", p, got, want)
			}
		}
	}
	l.until("nothing waits", func() bool { return l.waiting() == 0 })
	l.until("the metrics say so", func() bool {
		return l.metric("statefun_outbox_delivered_rows_total", "target", "test/sink") == 200 && l.metric("statefun_outbox_waiting_rows", "target", "test/sink") == 0
	})
	l.settled()
	l.kill()
	l.up()
	l.settled()
	if n := len(s.got()); n != 200 {
		t.Errorf("%d deliveries after a restart", n)
	}
}

// The state, the egress record and the message to the sink of an answer are one transaction: while that is not committed
// none of them is to be seen, and a process that dies before leaves none behind.
func TestASinkGetsNothingBeforeTheCommit(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l, s := sinking(t, setting{version: version}, alarm)
		l.up()
		l.settled()
		blocked, release := l.blockEndTxn(nil)
		l.put("in", 0, "K", "r0")
		<-blocked
		time.Sleep(soon)
		view, err := l.worker.View(t.Context(), functionAt("K"))
		if err != nil || view.Found || len(s.got()) > 0 || len(l.outputs()) > 0 {
			t.Errorf("before the commit: state %v (%v), sink %v, egress %v", view.Values, err, s.got(), l.outputs())
		}
		l.kill()
		release()
		l.up()
		l.until("it came", func() bool { return len(s.got()) > 0 })
		l.expect("K", "1:r0")
		l.settled()
		if got := s.got(); len(got) != 1 || got[0] != "K 1:r0" {
			t.Errorf("the sink got %v", got)
		}
		if view, err := l.worker.View(t.Context(), functionAt("K")); err != nil || string(view.Values["count"].Bytes) != "1" {
			t.Errorf("the state is %v, %v", view.Values, err)
		}
	})
}

// The message that a refused answer has for a sink goes with the rest of it.
func TestASinkGetsNothingOfARefusedAnswer(t *testing.T) {
	l, s := sinking(t, setting{partitions: 1, module: endpointWith("onFailure: skip")}, func(ctx context.Context, call *callOf, r *reply) error {
		if call.target.ID == "bad" {
			r.value(testSink, "test/alarm", "of a refused answer")
			r.egress("test/nowhere", "out", "k", "v")
			return nil
		}
		return alarm(ctx, call, r)
	})
	l.up()
	l.put("in", 0, "bad", "r0")
	l.says("call failed for good", "test/nowhere")
	l.put("in", 0, "good", "r0")
	l.until("what is behind it came", func() bool { return len(s.got()) > 0 })
	if got := s.got(); len(got) != 1 || got[0] != "good 1:r0" {
		t.Errorf("the sink got %v", got)
	}
}

// The process dies when the sink has a message and the removal of its row is not committed: it comes again under the same
// id, which no other message has.
func TestASinkGetsAMessageAgainUnderItsIDAfterACrash(t *testing.T) {
	bothProtocols(t, func(t *testing.T, version string) {
		l, s := sinking(t, setting{version: version, partitions: 1}, alarm)
		open := make(chan struct{})
		s.becomes(func(ctx context.Context, _ string) error {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		l.up()
		l.put("in", 0, "K", "r0")
		l.put("in", 0, "K", "r1")
		l.until("the rows are committed", func() bool { return l.waiting() == 2 && len(l.outputs()["K"]) == 2 })
		l.settled()
		blocked, release := l.blockEndTxn(kerr.CoordinatorNotAvailable) // it is not carried out
		close(open)
		<-blocked
		before := s.got()
		l.kill()
		release()
		l.up()
		l.until("nothing waits", func() bool { return l.waiting() == 0 })
		if got := s.got(); len(before) == 0 || len(got) <= 2 || got[len(got)-1] != "K 2:r1" {
			t.Errorf("the sink got %v, and %v before the crash", got, before)
		}
		first, second := s.tried("K 1:r0"), s.tried("K 2:r1")
		if first[0] == second[0] {
			t.Errorf("two messages have the id %s", first[0])
		}
		for _, ids := range [][]string{first, second} {
			if len(slices.Compact(slices.Clone(ids))) != 1 {
				t.Errorf("one message has the ids %v", ids)
			}
		}
		if len(first) < 2 {
			t.Errorf("the first came once: %v", first)
		}
	})
}

func TestWhatASinkRefusesIsADeadLetter(t *testing.T) {
	l, s := sinking(t, setting{partitions: 1}, alarm)
	s.becomes(func(_ context.Context, value string) error {
		if value == "K 2:r1" {
			return &outbox.Refusal{Reason: "useless", Certain: true, Err: errors.New("nobody wants it")}
		}
		return nil
	})
	l.up()
	for i := range 3 {
		l.put("in", 0, "K", fmt.Sprint("r", i))
	}
	l.until("it is a dead letter", func() bool { return len(l.read("app-dead-letter")) == 1 })
	l.until("nothing waits", func() bool { return l.waiting() == 0 })
	if got := s.got(); !slices.Equal(got, []string{"K 1:r0", "K 3:r2"}) {
		t.Errorf("the sink got %v", got)
	}
	letter := l.read("app-dead-letter")[0]
	headers := map[string]string{}
	for _, h := range letter.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(letter.Key) != "K" || string(letter.Value) != "K 2:r1" || headers[ingress.HeaderReason] != "useless" || headers[ingress.HeaderDetail] != "nobody wants it" ||
		headers[headerEgress] != "test/sink" || headers[headerType] != "test/alarm" || headers[ingress.HeaderApplication] != "app" ||
		headers[outbox.HeaderID] != s.tried("K 2:r1")[0] || len(headers) != 6 {
		t.Errorf("the dead letter has key %s, value %s and %v", letter.Key, letter.Value, headers)
	}
}

// Nothing overtakes a message that a sink fails with, in whatever way. Functions and other outputs go on.
func TestASinkThatFailsGetsTheSameMessageAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("not today") },
		"panic": func() error { panic("not today") },
	} {
		t.Run(name, func(t *testing.T) {
			l, s := sinking(t, setting{partitions: 1}, alarm)
			s.becomes(func(_ context.Context, value string) error {
				if value == "K 2:r1" && len(s.tried(value)) < 3 {
					return fail()
				}
				return nil
			})
			l.up()
			for i := range 5 {
				l.put("in", 0, "K", fmt.Sprint("r", i))
			}
			l.expect("K", "1:r0", "2:r1", "3:r2", "4:r3", "5:r4")
			l.until("it has all", func() bool { return len(s.got()) == 5 })
			if got := s.got(); !slices.Equal(got, []string{"K 1:r0", "K 2:r1", "K 3:r2", "K 4:r3", "K 5:r4"}) {
				t.Errorf("the sink got %v", got)
			}
			if ids := s.tried("K 2:r1"); len(ids) != 3 || ids[0] != ids[2] {
				t.Errorf("it was tried with the ids %v", ids)
			}
			if !l.said.has("cannot deliver", "not today") {
				t.Error("the log does not say why")
			}
		})
	}
}

// A sink that takes no notice of its context keeps neither Run nor, later, its partition.
func TestASinkThatIgnoresItsContextDoesNotKeepRun(t *testing.T) {
	l, s := sinking(t, setting{partitions: 1}, alarm)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	s.becomes(func(context.Context, string) error {
		begun <- struct{}{}
		<-release
		return errors.New("too late")
	})
	l.up()
	l.put("in", 0, "K", "r0")
	<-begun
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	s.becomes(nil)
	close(release)
	l.disk = l.crashed()
	l.up()
	l.until("it came", func() bool { return len(s.got()) == 1 })
}

func TestMessagesForASinkThatIsGoneAreKept(t *testing.T) {
	l, s := sinking(t, setting{partitions: 1}, alarm)
	s.becomes(func(context.Context, string) error { return errors.New("not today") })
	l.up()
	l.put("in", 0, "K", "r0")
	l.until("the row is committed", func() bool { return l.waiting() == 1 && len(l.outputs()["K"]) == 1 })
	l.settled()
	l.kill()
	change := l.change
	l.module, l.change = loadModule(t, moduleText), func(*Config) {}
	l.up()
	l.says("rows for an egress that the module has not")
	l.kill()
	l.module.Sinks, l.change = []module.Sink{{ID: testSink}}, change
	s.becomes(nil)
	l.up()
	l.until("it came", func() bool { return slices.Equal(s.got(), []string{"K 1:r0"}) })
}

// A record that was on its way to another cluster cannot be what a sink takes that has got the id of its egress. Its dead
// letter is that of a record for a topic.
func TestARecordOfAnEgressThatHasBecomeASinkIsADeadLetterThatNamesItsTopic(t *testing.T) {
	a := newAway(t)
	l := twoClusters(t, a, awayModule(a.address(), "", "startupPosition: {type: earliest}"), "", func(ctx context.Context, call *callOf, r *reply) error {
		r.egress("test/far", "out", "key", "value")
		return echo(ctx, call, r)
	})
	l.up()
	a.cutOff()
	l.put("in", 0, "K", "r0")
	l.until("the row is committed", func() bool { return l.waiting() == 1 && len(l.outputs()["K"]) == 1 })
	l.settled()
	l.kill()
	far := protocol.TypeName{Namespace: "test", Name: "far"}
	l.module = loadModule(t, moduleText)
	l.module.Sinks = []module.Sink{{ID: far}}
	l.change = func(c *Config) {
		c.Sinks = map[protocol.TypeName]outbox.Target{far: outbox.Callback(func(context.Context, outbox.Item) error {
			return &outbox.Refusal{Reason: "useless", Certain: true, Err: errors.New("it is not of my type")}
		})}
	}
	l.up()
	l.until("it is a dead letter", func() bool { return len(l.read("app-dead-letter")) == 1 })
	letter := l.read("app-dead-letter")[0]
	headers := shownHeaders(letter.Headers)
	if string(letter.Key) != "key" || string(letter.Value) != "value" || !strings.Contains(headers, ingress.HeaderTopic+"=out") ||
		strings.Contains(headers, headerType) || strings.Contains(headers, headerCluster) {
		t.Errorf("the dead letter has key %s, value %s and %s", letter.Key, letter.Value, headers)
	}
}

func TestSinksOfTheModuleAndOfTheProgramAreTheSame(t *testing.T) {
	w := newWorldAt(t, moduleText, "localhost:1")
	w.module.Sinks = []module.Sink{{ID: testSink, Position: module.Position{File: "main.go", Line: 42}}}
	c := w.config(t.TempDir())
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "main.go:42: sink test/sink") {
		t.Errorf("without a target: %v", err)
	}
	w.module.Sinks = nil
	c.Sinks = map[protocol.TypeName]outbox.Target{testSink: outbox.Callback(nil)}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "test/sink of Config.Sinks is not in the module") {
		t.Errorf("without a sink: %v", err)
	}
}

func TestAMessageThatTheChangelogCannotTakeIsRefused(t *testing.T) {
	l, _ := sinking(t, setting{partitions: 1, module: endpointWith("onFailure: skip")}, func(_ context.Context, _ *callOf, r *reply) error {
		r.value(testSink, "test/alarm", strings.Repeat("x", 2<<20))
		return nil
	})
	l.up()
	l.put("in", 0, "K", "r0")
	l.says("call failed for good", "sink test/sink", "test/alarm", "max.message.bytes")
}
