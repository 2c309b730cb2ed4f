// Command own is the scripted function of the SDK suite on this project's Go SDK. The little language is told in the
// suite's package comment.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

const out statefun.TypeName = "sdks.io/out"

// function is one program: what it was started with, and how many calls it works on.
type function struct {
	namespace, topic, marks string
	states                  map[string]state

	mu             sync.Mutex
	inFlight, peak int
}

func main() {
	port, namespace, topic, deployment, marks := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	f := &function{namespace: namespace, topic: topic, marks: marks, states: states(deployment)}
	var declared []statefun.State
	for _, s := range f.states {
		declared = append(declared, s.spec)
	}
	var functions []statefun.Function
	for _, name := range []string{"/script", "/other"} {
		functions = append(functions, statefun.Function{Type: statefun.TypeName(namespace + name), States: declared, Invoke: f.invoke})
	}
	log.Fatal(statefun.Serve(context.Background(), "127.0.0.1:"+port, functions...))
}

func (f *function) invoke(ctx *statefun.Context, m statefun.Message) error {
	f.mu.Lock()
	f.inFlight++
	f.peak = max(f.peak, f.inFlight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	script, err := statefun.String.From(m)
	if err != nil {
		return err
	}
	for command := range strings.SplitSeq(script, ";") {
		words := append(strings.Split(command, " "), "", "")
		if err := f.run(ctx, m, words[0], words[1:]); err != nil {
			return err
		}
	}
	return nil
}

func (f *function) run(ctx *statefun.Context, m statefun.Message, command string, words []string) error {
	switch command {
	case "set", "del", "get", "count":
		return f.store(ctx, command, words)
	case "headers", "origin", "copy", "pass", "relay":
		return f.headers(ctx, m, command, words)
	case "send":
		to, script := f.message(ctx, words)
		ctx.Send(to, script)
	case "after":
		f.after(ctx, words)
	case "cancel":
		ctx.Cancel(words[0])
	case "ping":
		n, _ := strconv.Atoi(words[0])
		f.egress(ctx, fmt.Sprintf("ping %d", n))
		if n > 0 {
			ctx.Reply(statefun.String.Of(fmt.Sprintf("ping %d", n-1)))
		}
	case "ring":
		f.egress(ctx, "ring")
		if next, rest, _ := strings.Cut(words[0], ":"); next != "" {
			ctx.Send(statefun.TypeName(next+"/script").At(ctx.Self().ID), statefun.String.Of("ring "+rest))
		}
	case "egress":
		f.egress(ctx, words[0])
	case "typed":
		n, _ := strconv.ParseInt(words[0], 10, 32)
		value, err := statefun.Int32.Encode(int32(n))
		ctx.Egress(out, statefun.KafkaRecord{Topic: f.topic, Key: ctx.Self().ID, Value: value})
		return err
	case "lost":
		ctx.Egress("sdks.io/nowhere", statefun.KafkaRecord{Topic: f.topic, Key: ctx.Self().ID, Value: []byte("lost")})
	case "self":
		f.egress(ctx, "self="+short(ctx.Self()))
	case "caller":
		caller := "none"
		if c, present := ctx.Caller(); present {
			caller = short(c)
		}
		f.egress(ctx, "caller="+caller)
	case "sleep":
		n, _ := strconv.Atoi(words[0])
		time.Sleep(time.Duration(n) * time.Millisecond)
	case "peak":
		f.mu.Lock()
		defer f.mu.Unlock()
		f.egress(ctx, fmt.Sprintf("peak=%d", f.peak))
	case "fail":
		return f.fail(words[0], words[1])
	case "throw":
		return errors.New("the script throws")
	default:
		return fmt.Errorf("unknown command %q", command)
	}
	return nil
}

// store runs the commands of state.
func (f *function) store(ctx *statefun.Context, command string, words []string) error {
	if command == "count" {
		words = []string{"number"}
	}
	s, known := f.states[words[0]]
	if !known {
		return fmt.Errorf("unknown state %q", words[0])
	}
	switch command {
	case "set":
		return s.set(ctx, words[1])
	case "del":
		s.remove(ctx)
		return nil
	}
	text, err := s.get(ctx)
	if err != nil {
		return err
	}
	if command == "get" {
		f.egress(ctx, words[0]+"="+text)
		return nil
	}
	n, _ := strconv.Atoi(text) // absent reads as none
	text = strconv.Itoa(n + 1)
	f.egress(ctx, "count="+text)
	return s.set(ctx, text)
}

// short is an address without the namespace of its type.
func short(a statefun.Address) string {
	_, name, _ := a.Type.Split()
	return name + "/" + a.ID
}

// message is TYPE ID SCRIPT, where + stands for a space and a comma for a semicolon.
func (f *function) message(ctx *statefun.Context, words []string) (statefun.Address, statefun.TypedValue) {
	target, id := words[0], words[1]
	if !strings.Contains(target, "/") {
		target = f.namespace + "/" + target
	}
	if id == "self" {
		id = ctx.Self().ID
	}
	script := strings.NewReplacer("+", " ", ",", ";").Replace(words[2])
	return statefun.TypeName(target).At(id), statefun.String.Of(script)
}

func (f *function) after(ctx *statefun.Context, words []string) {
	ms, _ := strconv.Atoi(words[0])
	to, script := f.message(ctx, words[2:])
	delay := time.Duration(ms) * time.Millisecond
	if words[1] == "-" {
		ctx.SendAfter(delay, to, script)
		return
	}
	ctx.SendAfterWithToken(delay, to, script, words[1])
}

func (f *function) egress(ctx *statefun.Context, text string) {
	ctx.Egress(out, statefun.KafkaRecord{Topic: f.topic, Key: ctx.Self().ID, Value: []byte(text)})
}

// fail throws the first times that any process sees the token; the marks are files because a throw of other SDKs may end
// the process.
func (f *function) fail(token, times string) error {
	n, _ := strconv.Atoi(times)
	for i := range n {
		name := filepath.Join(f.marks, fmt.Sprintf("%s.%d", token, i))
		if file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = file.Close()
			return fmt.Errorf("the script fails, %d of %d", i+1, n)
		}
	}
	return nil
}
