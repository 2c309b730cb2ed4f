package statefuntest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

const (
	counterType statefun.TypeName = "test/counter"
	sinkType    statefun.TypeName = "test/sink"
)

var count = statefun.Value[int64]("count")

// counter counts its messages and tells the sink, which only some tests have.
var counter = statefun.Function{Type: counterType, States: []statefun.State{count},
	Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		n, err := count.Get(ctx)
		if err != nil {
			return err
		}
		count.Set(ctx, n+1)
		ctx.Send(sinkType.At("all"), statefun.Int64.Of(n+1))
		if text, err := statefun.String.From(m); err == nil && text == "fail" {
			return errFail
		}
		return nil
	}}

var errFail = errors.New("as told")

// fatal takes what a harness says of a failing test.
type fatal struct{ said []string }

func (f *fatal) Helper() {}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestOneFunctionAloneShowsItsStateAndItsMessages(t *testing.T) {
	h := statefuntest.New(t, counter)
	at := counterType.At("a")
	if _, present := statefuntest.State(h, at, count); present {
		t.Error("there is state before the first call")
	}
	statefuntest.SetState(h, at, count, 40)
	h.Send(at, statefun.String.Of("x"))
	h.SendFrom(sinkType.At("s"), at, statefun.String.Of("x"))
	if n, _ := statefuntest.State(h, at, count); n != 42 {
		t.Errorf("the state is %d", n)
	}
	if _, present := statefuntest.State(h, counterType.At("b"), count); present {
		t.Error("another instance has the state too")
	}
	sent := h.MessagesTo(sinkType.At("all"))
	if len(sent) != 2 || len(h.Messages()) != 0 {
		t.Fatalf("%d messages", len(sent))
	}
	if n, err := statefun.Int64.From(sent[1]); n != 42 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestAFailedCallHasNoEffect(t *testing.T) {
	h := statefuntest.New(t, counter)
	at := counterType.At("a")
	h.Send(at, statefun.String.Of("x"))
	h.Messages()
	if err := h.Try(at, statefun.String.Of("fail")); !errors.Is(err, errFail) {
		t.Errorf("the error is %v", err)
	}
	if n, _ := statefuntest.State(h, at, count); n != 1 || len(h.Messages()) != 0 {
		t.Errorf("the failed call left a state of %d", n)
	}
	h.Send(at, statefun.String.Of("x"))
	if n, _ := statefuntest.State(h, at, count); n != 2 {
		t.Errorf("after it the state is %d", n)
	}
}

func TestWhatFailsATest(t *testing.T) {
	at := counterType.At("a")
	loop := statefun.Function{Type: "test/loop", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Send(ctx.Self(), m.TypedValue())
		return nil
	}}
	twice := statefun.Function{Type: "test/twice", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.SendAfterWithToken(time.Hour, ctx.Self(), m.TypedValue(), "t")
		ctx.SendAfterWithToken(time.Hour, ctx.Self(), m.TypedValue(), "t")
		return nil
	}}
	for name, c := range map[string]struct {
		act  func(h *statefuntest.Harness)
		said string
	}{
		"a function that fails":     {func(h *statefuntest.Harness) { h.Send(at, statefun.String.Of("fail")) }, "as told"},
		"a function that is absent": {func(h *statefuntest.Harness) { h.Send(sinkType.At("a"), statefun.String.Of("x")) }, "no function"},
		"a value that is none":      {func(h *statefuntest.Harness) { h.Send(at, statefun.TypedValue{}) }, "empty TypedValue"},
		"a clock that goes back":    {func(h *statefuntest.Harness) { h.Advance(-1) }, "does not go back"},
		"functions without end": {func(h *statefuntest.Harness) { h.Send(statefun.TypeName("test/loop").At("a"), statefun.Bool.Of(true)) },
			"for ever"},
		"a token twice": {func(h *statefuntest.Harness) { h.Send(statefun.TypeName("test/twice").At("a"), statefun.Bool.Of(true)) },
			`token "t"`},
		"a state of another type": {func(h *statefuntest.Harness) {
			h.Send(at, statefun.String.Of("x"))
			statefuntest.State(h, at, statefun.Value[string]("count"))
		}, "of type io.statefun.types/long"},
		"a record that is none": {func(h *statefuntest.Harness) {
			h.Send(statefun.TypeName("test/out").At("a"), statefun.Bool.Of(true))
			h.Kafka("test/egress")
		}, "no Kafka record"},
	} {
		t.Run(name, func(t *testing.T) {
			failing := &fatal{}
			c.act(statefuntest.New(failing, counter, loop, twice, statefun.Function{Type: "test/out",
				Invoke: func(ctx *statefun.Context, m statefun.Message) error {
					ctx.Egress("test/egress", m.TypedValue())
					return nil
				}}))
			if len(failing.said) != 1 || !strings.Contains(failing.said[0], c.said) {
				t.Errorf("said %q, wanted one with %q", failing.said, c.said)
			}
		})
	}
	failing := &fatal{}
	statefuntest.New(failing, counter, counter)
	if len(failing.said) != 1 {
		t.Errorf("a function twice: %q", failing.said)
	}
}

// sleeper sends itself a message for each text it gets: "1h0m0s a" is the text a after an hour.
func sleeper(heard *[]string) statefun.Function {
	return statefun.Function{Type: "test/sleeper", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		text, err := statefun.String.From(m)
		if err != nil {
			return err
		}
		delay, rest, later := strings.Cut(text, " ")
		if !later {
			*heard = append(*heard, ctx.Now().Format("15:04:05 ")+text)
			return nil
		}
		if delay == "cancel" {
			ctx.Cancel(rest)
			return nil
		}
		d, err := time.ParseDuration(delay)
		if err != nil {
			return err
		}
		ctx.SendAfterWithToken(d, ctx.Self(), statefun.String.Of(rest), rest)
		return nil
	}}
}

func TestDelayedMessagesComeAtTheirTimeAndInOrder(t *testing.T) {
	var heard []string
	h := statefuntest.New(t, sleeper(&heard))
	at := statefun.TypeName("test/sleeper").At("s")
	for _, text := range []string{"2h c", "1h a", "1h b", "0s now", "30m cancelled", "cancel cancelled", "cancel unknown", "3h 1h d"} {
		h.Send(at, statefun.String.Of(text))
	}
	if d := h.Delayed(); len(d) != 4 || d[0].Token != "a" || !d[0].At.Equal(h.Now().Add(time.Hour)) || d[0].To != at || d[0].From != at {
		t.Errorf("waiting: %+v", d)
	}
	h.Advance(time.Hour - 1)
	if !slices.Equal(heard, []string{"00:00:00 now"}) {
		t.Errorf("just before an hour: %q", heard)
	}
	h.Advance(1)
	h.Advance(4 * time.Hour)
	if want := []string{"00:00:00 now", "01:00:00 a", "01:00:00 b", "02:00:00 c", "04:00:00 d"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q", heard)
	}
	if got := h.Now().Format("15:04"); got != "05:00" {
		t.Errorf("the clock shows %s", got)
	}
}

func TestAnErrorOfADelayedMessageIsReturnedAndTimeGoesOn(t *testing.T) {
	h := statefuntest.New(t, counter, statefun.Function{Type: "test/later", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.SendAfter(time.Minute, counterType.At("a"), statefun.String.Of("fail"))
		ctx.SendAfter(time.Hour, counterType.At("a"), statefun.String.Of("x"))
		return nil
	}})
	h.Send(statefun.TypeName("test/later").At("l"), statefun.Bool.Of(true))
	if err := h.TryAdvance(2 * time.Hour); !errors.Is(err, errFail) {
		t.Errorf("the error is %v", err)
	}
	if n, _ := statefuntest.State(h, counterType.At("a"), count); n != 1 {
		t.Errorf("the state is %d", n)
	}
}

func TestStateExpires(t *testing.T) {
	written := statefun.Value[string]("written", statefun.ExpireAfterWrite(time.Minute))
	invoked := statefun.Value[string]("invoked", statefun.ExpireAfterInvoke(time.Minute))
	h := statefuntest.New(t, statefun.Function{Type: "test/f", States: []statefun.State{written, invoked},
		Invoke: func(ctx *statefun.Context, m statefun.Message) error {
			if set, err := statefun.Bool.From(m); err != nil || !set {
				return err
			}
			written.Set(ctx, "w")
			invoked.Set(ctx, "i")
			return nil
		}})
	at := statefun.TypeName("test/f").At("a")
	present := func() [2]bool {
		_, w := statefuntest.State(h, at, written)
		_, i := statefuntest.State(h, at, invoked)
		return [2]bool{w, i}
	}
	h.Send(at, statefun.Bool.Of(true))
	h.Advance(40 * time.Second)
	h.Send(at, statefun.Bool.Of(false))
	if got := present(); got != [2]bool{true, true} {
		t.Errorf("after 40 s: %v", got)
	}
	h.Advance(40 * time.Second)
	if got := present(); got != [2]bool{false, true} {
		t.Errorf("80 s after it was written, 40 s after a call: %v", got)
	}
	h.Advance(20 * time.Second)
	if got := present(); got != [2]bool{false, false} {
		t.Errorf("60 s after a call: %v", got)
	}
}

// journal notes what it gets, and from whom; producers send it numbers.
func journalRun(t *testing.T, seed uint64) []string {
	var seen []string
	journal := statefun.Function{Type: "test/journal", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		n, err := statefun.Int64.From(m)
		caller, _ := ctx.Caller()
		seen = append(seen, fmt.Sprintf("%s %d", caller.ID, n))
		return err
	}}
	producer := statefun.Function{Type: "test/producer", States: []statefun.State{count}, Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		n, err := count.Get(ctx)
		if err != nil {
			return err
		}
		count.Set(ctx, n+1)
		ctx.Send(statefun.TypeName("test/journal").At("j"), statefun.Int64.Of(n))
		if n < 20 {
			ctx.Send(ctx.Self(), m.TypedValue())
		}
		return nil
	}}
	starter := statefun.Function{Type: "test/starter", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		for _, id := range []string{"a", "b", "c"} {
			ctx.Send(statefun.TypeName("test/producer").At(id), m.TypedValue())
		}
		return nil
	}}
	h := statefuntest.NewWith(t, []statefun.Function{journal, producer, starter}, statefuntest.Seed(seed))
	h.Send(statefun.TypeName("test/starter").At("s"), statefun.Bool.Of(true))
	return seen
}

func TestASeedGivesTheSameRunAgainAndAnotherSeedAnother(t *testing.T) {
	different := map[string]bool{}
	for seed := range uint64(20) {
		first, second := journalRun(t, seed), journalRun(t, seed)
		if !slices.Equal(first, second) {
			t.Fatalf("seed %d gives two runs", seed)
		}
		different[strings.Join(first, ",")] = true
		next := map[string]int{}
		for _, line := range first {
			var id string
			var n int
			if _, err := fmt.Sscan(line, &id, &n); err != nil || n != next[id] {
				t.Fatalf("seed %d: %q came where %d was next", seed, line, next[id])
			}
			next[id]++
		}
		if next["a"] != 21 || next["b"] != 21 || next["c"] != 21 {
			t.Fatalf("seed %d: %v", seed, next)
		}
	}
	if len(different) < 10 {
		t.Errorf("20 seeds give %d runs", len(different))
	}
}

func TestTheClockStartsWhereATestSays(t *testing.T) {
	start := time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)
	h := statefuntest.NewWith(t, nil, statefuntest.StartAt(start))
	if !h.Now().Equal(start) {
		t.Errorf("%s", h.Now())
	}
}

func TestKafkaAndKinesisRecordsComeBackAsTheyWereSent(t *testing.T) {
	kafka := statefun.KafkaRecord{Topic: "t", Key: "k", Value: []byte{}, Timestamp: time.UnixMilli(1700000000123),
		Headers: []statefun.Header{{Key: "h", Value: nil}, {Key: "h", Value: []byte("v")}}}
	kinesis := statefun.KinesisRecord{Stream: "s", PartitionKey: "p", ExplicitHashKey: "e", Value: []byte("v")}
	h := statefuntest.New(t, statefun.Function{Type: "test/out", Invoke: func(ctx *statefun.Context, m statefun.Message) error {
		ctx.Egress("test/kafka", kafka)
		ctx.Egress("test/kinesis", kinesis)
		return nil
	}})
	h.Send(statefun.TypeName("test/out").At("a"), statefun.Bool.Of(true))
	if got := h.Kafka("test/kafka"); len(got) != 1 || fmt.Sprintf("%#v", got[0]) != fmt.Sprintf("%#v", kafka) {
		t.Errorf("%#v", got)
	}
	if got := h.Kinesis("test/kinesis"); len(got) != 1 || fmt.Sprintf("%#v", got[0]) != fmt.Sprintf("%#v", kinesis) {
		t.Errorf("%#v", got)
	}
	if len(h.Kafka("test/kafka")) != 0 {
		t.Error("a second look shows it again")
	}
}
