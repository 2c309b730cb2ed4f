package statefun_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// body makes a ToFunction of its text form.
func body(t testing.TB, format string, args ...any) []byte {
	t.Helper()
	m := newMessage("ToFunction")
	if err := prototext.Unmarshal(fmt.Appendf(nil, format, args...), m.Interface()); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oneMessage is a call of example/f with one message.
func oneMessage(t testing.TB) []byte {
	return body(t, `invocation { target { namespace: "example" type: "f" id: "x" } invocations { argument { typename: "a/b" has_value: true } } }`)
}

func handler(t testing.TB, invoke func(*statefun.Context, statefun.Message) error, states ...statefun.State) *statefun.Handler {
	t.Helper()
	h, err := statefun.NewHandler(statefun.Function{Type: "example/f", States: states, Invoke: invoke})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func nothing(*statefun.Context, statefun.Message) error { return nil }

func TestTheStatusSaysWhatIsWrong(t *testing.T) {
	large := bytes.Repeat([]byte{0}, 2000)
	for name, c := range map[string]struct {
		method, contentType, encoding string
		body                          io.Reader
		status                        int
	}{
		"a call":                       {body: bytes.NewReader(oneMessage(t)), status: 200},
		"no content type":              {contentType: "-", body: bytes.NewReader(oneMessage(t)), status: 200},
		"a content type with a detail": {contentType: "application/octet-stream; charset=utf-8", body: bytes.NewReader(oneMessage(t)), status: 200},
		"a call of unknown length":     {body: io.MultiReader(bytes.NewReader(oneMessage(t))), status: 200},
		"GET":                          {method: "GET", status: 405},
		"JSON":                         {contentType: "application/json", body: strings.NewReader("{}"), status: 415},
		"gzip":                         {encoding: "gzip", body: bytes.NewReader(oneMessage(t)), status: 415},
		"nothing":                      {body: http.NoBody, status: 400},
		"nothing of unknown length":    {body: io.MultiReader(), status: 400},
		"no protobuf":                  {body: strings.NewReader("\xff\xff"), status: 400},
		"no invocation":                {body: strings.NewReader("\x0a\x00"), status: 400},
		"no target":                    {body: strings.NewReader("\xa2\x06\x00"), status: 400},
		"another function":             {body: bytes.NewReader(body(t, `invocation { target { namespace: "example" type: "g" id: "x" } }`)), status: 500},
		"too large":                    {body: bytes.NewReader(large), status: 413},
		"too large, unknown length":    {body: io.MultiReader(bytes.NewReader(large)), status: 413},
	} {
		t.Run(name, func(t *testing.T) {
			h := handler(t, nothing)
			h.MaxRequestBytes = 1000
			server := httptest.NewServer(h)
			defer server.Close()
			method := c.method
			if method == "" {
				method = http.MethodPost
			}
			r, err := http.NewRequest(method, server.URL, c.body)
			if err != nil {
				t.Fatal(err)
			}
			switch c.contentType {
			case "":
				r.Header.Set("Content-Type", "application/octet-stream")
			case "-":
			default:
				r.Header.Set("Content-Type", c.contentType)
			}
			if c.encoding != "" {
				r.Header.Set("Content-Encoding", c.encoding)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answer, _ := io.ReadAll(response.Body)
			if response.StatusCode != c.status {
				t.Fatalf("status %d, not %d: %s", response.StatusCode, c.status, answer)
			}
			if c.status == 200 && (response.Header.Get("Content-Type") != "application/octet-stream" || response.ContentLength != int64(len(answer)) || len(answer) == 0) {
				t.Errorf("a good answer has the headers %v and %d bytes", response.Header, len(answer))
			}
			if c.status == 405 && response.Header.Get("Allow") != "POST" {
				t.Error("405 does not say what is allowed")
			}
		})
	}
}

func TestAPanicFailsTheCallAndItsStackIsLogged(t *testing.T) {
	var lines bytes.Buffer
	h := handler(t, func(*statefun.Context, statefun.Message) error { panic("boom") })
	h.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest("POST", "/", bytes.NewReader(oneMessage(t))))
	if recorder.Code != 500 || !strings.Contains(recorder.Body.String(), "call example/f/x: panic: boom") {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
	if strings.Contains(recorder.Body.String(), "handler_test.go") || !strings.Contains(lines.String(), "handler_test.go") {
		t.Errorf("the stack belongs in the log, and only there: %s", lines.String())
	}
}

func TestAnErrorOfTheFunctionIsTheErrorOfTheCall(t *testing.T) {
	broken := errors.New("broken")
	for name, invoke := range map[string]func(*statefun.Context, statefun.Message) error{
		"returned": func(*statefun.Context, statefun.Message) error { return broken },
		"panicked": func(*statefun.Context, statefun.Message) error { panic(broken) },
	} {
		if _, err := handler(t, invoke).Invoke(context.Background(), oneMessage(t)); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheTimeoutIsTheDeadlineOfTheCall(t *testing.T) {
	h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
		if _, ok := ctx.Deadline(); !ok {
			return errors.New("there is no deadline")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	h.Timeout = time.Millisecond
	if _, err := h.Invoke(context.Background(), oneMessage(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestABatchStopsWhenTheCallerHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	h := handler(t, func(*statefun.Context, statefun.Message) error {
		calls++
		cancel()
		return nil
	})
	request := body(t, `invocation { target { namespace: "example" type: "f" id: "x" } invocations { argument {} } invocations { argument {} } }`)
	if _, err := h.Invoke(ctx, request); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

func TestStatesThatAreMissingAreAskedForBeforeTheFunctionIsCalled(t *testing.T) {
	calls := 0
	h := handler(t, func(*statefun.Context, statefun.Message) error { calls++; return nil }, statefun.Value[bool]("seen"))
	answer, err := h.Invoke(context.Background(), oneMessage(t))
	if err != nil || calls != 0 || !strings.Contains(string(answer), "seen") {
		t.Errorf("%d calls, answer %q, %v", calls, answer, err)
	}
}

func TestAStateThatWasNotSentIsAskedForEvenIfItsErrorIsIgnored(t *testing.T) {
	late := statefun.Value[int64]("late")
	for name, use := range map[string]func(*statefun.Context){
		"Get":    func(ctx *statefun.Context) { _, _ = late.Get(ctx) },
		"Set":    func(ctx *statefun.Context) { late.Set(ctx, 1) },
		"Remove": func(ctx *statefun.Context) { late.Remove(ctx) },
	} {
		h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error { use(ctx); panic("lost") })
		answer, err := h.Invoke(context.Background(), oneMessage(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		missing := each(get(parse(t, answer), "incomplete_invocation_context").Message(), "missing_values")
		if len(missing) != 1 || get(missing[0], "state_name").String() != "late" {
			t.Errorf("%s: missing %v", name, missing)
		}
	}
}

func TestAContextThatIsKeptHasNoEffectOnLaterCalls(t *testing.T) {
	count := statefun.Value[int64]("count")
	var kept *statefun.Context
	var lines bytes.Buffer
	h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
		if kept != nil {
			kept.Send(ctx.Self(), statefun.String.Of("too late"))
			kept.Egress("a/b", statefun.String.Of("too late"))
			count.Set(kept, 1)
			if _, err := count.Get(kept); !errors.Is(err, statefun.ErrOver) {
				return fmt.Errorf("Get: %w", err)
			}
			if kept.Self().ID != "x" {
				return errors.New("the kept Context is now for another")
			}
		}
		kept = ctx
		return nil
	}, count)
	h.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	request := `invocation { target { namespace: "example" type: "f" id: %q } state { state_name: "count" } invocations { argument {} } invocations { argument {} } }`
	for _, id := range []string{"x", "x"} {
		answer, err := h.Invoke(context.Background(), body(t, request, id))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer, []byte{0xa2, 0x06, 0x00}) {
			t.Errorf("the answer is %x", answer)
		}
	}
	if !strings.Contains(lines.String(), "after it had returned") {
		t.Error("nothing was logged")
	}
}

func TestCallsBesideEachOtherDoNotMix(t *testing.T) {
	state := statefun.Value[string]("s")
	h := handler(t, func(ctx *statefun.Context, m statefun.Message) error {
		before, err := state.Get(ctx)
		if err != nil {
			return err
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { ctx.Send(ctx.Self(), statefun.String.Of(ctx.Self().ID)) })
		}
		group.Wait()
		state.Set(ctx, before+ctx.Self().ID)
		return nil
	}, state)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			id := strings.Repeat(fmt.Sprint(i), 1+i*100)
			encoded, _ := statefun.String.Encode(id)
			request := body(t, `invocation { target { namespace: "example" type: "f" id: %q }
				state { state_name: "s" state_value { typename: "io.statefun.types/string" has_value: true value: "%s" } } invocations { argument {} } }`,
				id, escaped(encoded))
			for range 200 {
				answer, err := h.Invoke(context.Background(), request)
				if err != nil {
					t.Error(err)
					return
				}
				if n := strings.Count(string(answer), id); n != 4*2+2 || strings.Trim(string(answer), id) == "" {
					t.Errorf("the answer for %d has its id %d times", i, n)
					return
				}
			}
		})
	}
	group.Wait()
}

// escaped writes bytes for a text of prototext.
func escaped(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\%03o`, c)
	}
	return s.String()
}

func TestAnExactTypeGoesBeforeItsNamespace(t *testing.T) {
	var called []string
	function := func(name statefun.TypeName) statefun.Function {
		return statefun.Function{Type: name, Invoke: func(ctx *statefun.Context, _ statefun.Message) error {
			called = append(called, fmt.Sprint(name, " as ", ctx.Self().Type))
			return nil
		}}
	}
	h, err := statefun.NewHandler(function("example/*"), function("example/f"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "g", "*"} {
		if _, err := h.Invoke(context.Background(), body(t, `invocation { target { namespace: "example" type: %q id: "x" } invocations { argument {} } }`, name)); err != nil {
			t.Error(err)
		}
	}
	if want := "[example/f as example/f example/* as example/g example/* as example/*]"; fmt.Sprint(called) != want {
		t.Errorf("called %v", called)
	}
	if _, err := h.Invoke(context.Background(), body(t, `invocation { target { namespace: "other" type: "f" id: "x" } }`)); err == nil {
		t.Error("a function of another namespace was found")
	}
}

func TestAValueThatIsSentTwiceStaysAsItIs(t *testing.T) {
	raw := statefun.Bytes("test/raw")
	shared := raw.Of([]byte("shared"))
	h := handler(t, func(ctx *statefun.Context, _ statefun.Message) error {
		ctx.Egress("a/e", shared)
		ctx.Egress("a/e", statefun.KafkaRecord{Topic: "topic", Value: []byte("another")})
		ctx.Egress("a/e", shared)
		return nil
	})
	for range 3 {
		answer, err := h.Invoke(context.Background(), oneMessage(t))
		if err != nil || strings.Count(string(answer), "shared") != 2 {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	}
}
