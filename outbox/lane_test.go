package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/state"
)

// rows is a store in memory.
type rows struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (s *rows) put(target string, seq uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[string(state.OutboxKey(target, seq))] = state.AppendOutbox(nil, state.Outbox{Since: time.Now(), ID: fmt.Sprint("id-", seq), Payload: []byte(text)})
}

// Scan is Store's.
func (s *rows) Scan(from, to []byte, limit int, visit func(key, value []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.rows {
		if key >= string(from) && key < string(to) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys[:min(len(keys), limit)] {
		if err := visit([]byte(key), bytes.Clone(s.rows[key])); err != nil {
			return err
		}
	}
	return nil
}

// scripted answers each delivery as its test says.
type scripted struct {
	mu     sync.Mutex
	handed []string
	answer func(text string, try int, done func(error))
	tries  map[string]int
}

// Begin is Target's.
func (s *scripted) Begin(context.Context) error { return nil }

// Send is Target's.
func (s *scripted) Send() {}

// Deliver is Target's.
func (s *scripted) Deliver(_ context.Context, item Item, done func(error)) {
	s.mu.Lock()
	text := string(item.Payload)
	s.handed = append(s.handed, text)
	s.tries[text]++
	try := s.tries[text]
	s.mu.Unlock()
	s.answer(text, try, done)
}

// play runs a lane over rows 1, 2, … of texts until all are settled, and gives what was handed on and what came of it.
func play(t *testing.T, answer func(text string, try int, done func(error)), texts ...string) (handed, settled string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &rows{rows: map[string][]byte{}}
		store.put("t/other", 1, "of another target")
		for i, text := range texts {
			store.put("t/out", uint64(i+1), text)
		}
		s := &scripted{answer: answer, tries: map[string]int{}}
		var list []string
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLane(Config{
			Target: "t/out", Store: store, Deliver: s, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
			Failed: func(err error) { t.Error(err) },
			Settled: func(_ context.Context, results []Result) {
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, r := range results {
					text := string(r.Payload)
					if r.Refusal != nil {
						text += "!" + r.Refusal.Reason
					}
					list = append(list, text)
				}
			},
		})
		over := make(chan struct{})
		go func() { l.Run(ctx); close(over) }()
		for range 100 {
			synctest.Wait()
			s.mu.Lock()
			over := len(list) >= len(texts)
			s.mu.Unlock()
			if over {
				break
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if _, waits := l.Oldest(); waits {
			t.Error("something waits still")
		}
		cancel()
		<-over
		handed, settled = strings.Join(s.handed, " "), strings.Join(list, " ")
	})
	return handed, settled
}

func TestALaneDeliversInOrderWhateverFails(t *testing.T) {
	away := errors.New("away")
	refuse := func(certain bool) error { return &Refusal{Reason: "bad", Certain: certain, Err: away} }
	for name, c := range map[string]struct {
		answer          func(text string, try int, done func(error))
		handed, settled string
	}{
		"all are taken": {func(_ string, _ int, done func(error)) { done(nil) }, "a b c d", "a b c d"},
		"what fails at once is tried again before what is behind it": {
			func(text string, try int, done func(error)) {
				if text == "b" && try < 3 {
					done(away)
					return
				}
				done(nil)
			}, "a b b b c d", "a b c d"},
		"one that is refused for certain holds nobody": {
			func(text string, _ int, done func(error)) {
				if text == "b" {
					done(refuse(true))
					return
				}
				done(nil)
			}, "a b c d", "a b!bad c d"},
		"a batch that is refused for one of it is tried one by one": {
			batch(func(texts []string) error {
				if slices.Contains(texts, "b") {
					return refuse(false)
				}
				return nil
			}), "a b c d a b c d", "a b!bad c d"},
	} {
		t.Run(name, func(t *testing.T) {
			if handed, settled := play(t, c.answer, "a", "b", "c", "d"); handed != c.handed || settled != c.settled {
				t.Errorf("handed %q, settled %q\nwant %q and %q", handed, settled, c.handed, c.settled)
			}
		})
	}
}

// batch answers all that is handed on within a second together, as a broker does that refuses batches as a whole.
func batch(judge func(texts []string) error) func(string, int, func(error)) {
	var mu sync.Mutex
	var texts []string
	var dones []func(error)
	return func(text string, _ int, done func(error)) {
		mu.Lock()
		defer mu.Unlock()
		texts, dones = append(texts, text), append(dones, done)
		if len(texts) > 1 {
			return
		}
		time.AfterFunc(time.Second, func() {
			mu.Lock()
			defer mu.Unlock()
			err := judge(texts)
			for _, done := range dones {
				done(err)
			}
			texts, dones = nil, nil
		})
	}
}

func TestALaneEndsWhileItsTargetIsSilentAndSaysHowLongItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &rows{rows: map[string][]byte{}}
		store.put("t/out", 7, "a")
		said := &bytes.Buffer{}
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLane(Config{
			Target: "t/out", Store: store, Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(said, nil)),
			Deliver: &scripted{answer: func(string, int, func(error)) {}, tries: map[string]int{}},
			Settled: func(context.Context, []Result) { t.Error("nothing was delivered") },
		})
		over := make(chan struct{})
		go func() { l.Run(ctx); close(over) }()
		time.Sleep(2 * slowAfter)
		if since, waits := l.Oldest(); !waits || time.Since(since) < slowAfter {
			t.Errorf("the oldest waits since %v, %v", since, waits)
		}
		cancel()
		<-over
		if n := strings.Count(said.String(), "does not answer"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, said)
		}
	})
}
