// Command go is the scripted function of the SDK suite on the official Go SDK. The little language is told in the
// suite's package comment.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
)

var out = statefun.TypeNameFrom("sdks.io/out")

// function is one program: what it was started with, and how many calls it works on.
type function struct {
	namespace, topic, marks string
	specs                   map[string]statefun.ValueSpec

	mu             sync.Mutex
	inFlight, peak int
}

func main() {
	port, namespace, topic, specs, marks := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	f := &function{namespace: namespace, topic: topic, marks: marks, specs: map[string]statefun.ValueSpec{}}
	var states []statefun.ValueSpec
	for _, spec := range valueSpecs(specs) {
		f.specs[spec.Name] = spec
		states = append(states, spec)
	}
	builder := statefun.StatefulFunctionsBuilder()
	for _, name := range []string{"script", "other"} {
		err := builder.WithSpec(statefun.StatefulFunctionSpec{
			FunctionType: statefun.TypeNameFrom(namespace + "/" + name),
			States:       states,
			Function:     statefun.StatefulFunctionPointer(f.invoke),
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	http.Handle("/statefun", builder.AsHandler())
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}

// valueSpecs are the states: 1 is the first deployment, 2 the one that adds, drops and changes, 3 has those that only the
// programs in Go have.
func valueSpecs(deployment string) []statefun.ValueSpec {
	custom := statefun.MakeJsonType(statefun.TypeNameFrom("sdks.types/custom"))
	specs := []statefun.ValueSpec{
		{Name: "text", ValueType: statefun.StringType},
		{Name: "number", ValueType: statefun.Int32Type},
		{Name: "flag", ValueType: statefun.BoolType},
		{Name: "ratio", ValueType: statefun.Float32Type},
		{Name: "large", ValueType: statefun.Int64Type},
		{Name: "custom", ValueType: custom},
		{Name: "written", ValueType: statefun.StringType, Expiration: statefun.ExpireAfterWrite(4 * time.Second)},
		{Name: "called", ValueType: statefun.StringType, Expiration: statefun.ExpireAfterCall(4 * time.Second)},
	}
	if deployment == "2" {
		specs = slices.DeleteFunc(specs, func(s statefun.ValueSpec) bool { return s.Name == "flag" })
		specs = append(specs, statefun.ValueSpec{Name: "fresh", ValueType: statefun.StringType})
		for i := range specs {
			if specs[i].Name == "written" {
				specs[i].Expiration = statefun.ExpireAfterWrite(time.Minute)
			}
		}
	}
	if deployment == "3" {
		specs = append(specs, typedSpecs()...)
	}
	return specs
}

func (f *function) invoke(ctx statefun.Context, message statefun.Message) error {
	f.mu.Lock()
	f.inFlight++
	f.peak = max(f.peak, f.inFlight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	for command := range strings.SplitSeq(message.AsString(), ";") {
		words := append(strings.Split(command, " "), "", "")
		if err := f.run(ctx, words[0], words[1:]); err != nil {
			return err
		}
	}
	return nil
}

func (f *function) run(ctx statefun.Context, command string, words []string) error {
	switch command {
	case "set":
		return f.set(ctx, words[0], words[1])
	case "del":
		ctx.Storage().Remove(f.specs[words[0]])
	case "get":
		f.egress(ctx, words[0]+"="+f.get(ctx, words[0]))
	case "count":
		var n int32
		ctx.Storage().Get(f.specs["number"], &n)
		ctx.Storage().Set(f.specs["number"], n+1)
		f.egress(ctx, fmt.Sprintf("count=%d", n+1))
	case "send":
		ctx.Send(f.message(ctx, words))
	case "after":
		return f.after(ctx, words)
	case "cancel":
		token, err := statefun.NewCancellationToken(words[0])
		if err != nil {
			return err
		}
		ctx.CancelDelayedMessage(token)
	case "ping":
		n, _ := strconv.Atoi(words[0])
		f.egress(ctx, fmt.Sprintf("ping %d", n))
		if n > 0 {
			ctx.Send(statefun.MessageBuilder{Target: *ctx.Caller(), Value: fmt.Sprintf("ping %d", n-1)})
		}
	case "ring":
		f.egress(ctx, "ring")
		if next, rest, _ := strings.Cut(words[0], ":"); next != "" {
			target := statefun.Address{FunctionType: statefun.TypeNameFrom(next + "/script"), Id: ctx.Self().Id}
			ctx.Send(statefun.MessageBuilder{Target: target, Value: "ring " + rest})
		}
	case "egress":
		f.egress(ctx, words[0])
	case "typed":
		n, _ := strconv.Atoi(words[0])
		ctx.SendEgress(statefun.KafkaEgressBuilder{Target: out, Topic: f.topic, Key: ctx.Self().Id, Value: int32(n), ValueType: statefun.Int32Type})
	case "lost":
		ctx.SendEgress(statefun.KafkaEgressBuilder{Target: statefun.TypeNameFrom("sdks.io/nowhere"), Topic: f.topic, Key: ctx.Self().Id, Value: "lost"})
	case "self":
		f.egress(ctx, "self="+ctx.Self().FunctionType.GetType()+"/"+ctx.Self().Id)
	case "caller":
		caller := "none"
		if c := ctx.Caller(); c != nil {
			caller = c.FunctionType.GetType() + "/" + c.Id
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

func (f *function) set(ctx statefun.Context, name, text string) (err error) {
	var value any = text
	switch name {
	case "number":
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		value = int32(n)
	case "flag":
		value = text == "true"
	case "ratio":
		var x float64
		x, err = strconv.ParseFloat(text, 32)
		value = float32(x)
	case "large":
		value, err = strconv.ParseInt(text, 10, 64)
	case "double", "card", "stamp":
		value, err = parseTyped(name, text)
	}
	if err == nil {
		ctx.Storage().Set(f.specs[name], value)
	}
	return err
}

// get is the text of a state, a dash when there is none.
func (f *function) get(ctx statefun.Context, name string) string {
	switch name {
	case "double", "card", "stamp":
		return f.getTyped(ctx, name)
	}
	var text string
	var number int32
	var flag bool
	var ratio float32
	var large int64
	receivers := map[string]any{"number": &number, "flag": &flag, "ratio": &ratio, "large": &large}
	receiver := receivers[name]
	if receiver == nil {
		receiver = &text
	}
	if !ctx.Storage().Get(f.specs[name], receiver) {
		return "-"
	}
	switch name {
	case "number":
		return strconv.Itoa(int(number))
	case "flag":
		return strconv.FormatBool(flag)
	case "ratio":
		return strconv.FormatFloat(float64(ratio), 'g', -1, 32)
	case "large":
		return strconv.FormatInt(large, 10)
	}
	return text
}

// message is TYPE ID SCRIPT, where + stands for a space and a comma for a semicolon.
func (f *function) message(ctx statefun.Context, words []string) statefun.MessageBuilder {
	target, id := words[0], words[1]
	if !strings.Contains(target, "/") {
		target = f.namespace + "/" + target
	}
	if id == "self" {
		id = ctx.Self().Id
	}
	return statefun.MessageBuilder{
		Target: statefun.Address{FunctionType: statefun.TypeNameFrom(target), Id: id},
		Value:  strings.NewReplacer("+", " ", ",", ";").Replace(words[2]),
	}
}

func (f *function) after(ctx statefun.Context, words []string) error {
	ms, _ := strconv.Atoi(words[0])
	delay, message := time.Duration(ms)*time.Millisecond, f.message(ctx, words[2:])
	if words[1] == "-" {
		ctx.SendAfter(delay, message)
		return nil
	}
	token, err := statefun.NewCancellationToken(words[1])
	if err == nil {
		ctx.SendAfterWithCancellationToken(delay, token, message)
	}
	return err
}

func (f *function) egress(ctx statefun.Context, text string) {
	ctx.SendEgress(statefun.KafkaEgressBuilder{Target: out, Topic: f.topic, Key: ctx.Self().Id, Value: text})
}

// fail throws the first times that any process sees the token; the marks are files because a throw may end the process.
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
