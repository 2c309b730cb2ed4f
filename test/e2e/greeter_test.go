package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/test/reader"
	"github.com/statefun-kafka/statefun-kafka/test/sdks"
)

// visits are the records of the greeter tests: some names, some of them often.
func visits(topic, prefix string) []*kgo.Record {
	var records []*kgo.Record
	for round := range 20 {
		for _, name := range []string{"Ada", "Grace", "Edsger", "Barbara", "Tony"} {
			if round%2 == 0 || name < "C" {
				records = append(records, &kgo.Record{Topic: topic, Key: []byte(prefix + name), Value: fmt.Appendf(nil, `{"name":%q}`, name)})
			}
		}
	}
	return records
}

// TestGreeter runs functions on the official Go SDK: one counts the visits of a name, the other greets.
func TestGreeter(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		a := newApp(t, c)
		c.createTopic(t, a.topic("names"), 4)
		c.createTopic(t, a.topic("greetings"), 2)
		a.setModule(
			endpoint("greeter.fns/*", serve(t, greeter(t, a.topic("greetings"))).url()),
			ingress("greeter.io/names", ingressTopic{"names", "greeter.types/visit", []string{"greeter.fns/person"}}),
			egress("greeter.io/greetings"))
		greetings := c.read(t, a.topic("greetings"))
		w := a.startReady()
		sent := visits(a.topic("names"), "")
		c.send(t, sent...)
		checkGreetings(t, greetings, sent, func(name string, n int) string { return fmt.Sprintf("Hello %s, visit %d", name, n) })
		w.stop()
		w = a.startReady()
		c.send(t, &kgo.Record{Topic: a.topic("names"), Key: []byte("Ada"), Value: []byte(`{"name":"Ada"}`)})
		records := greetings.AwaitCount(t, 20*time.Second, len(sent)+1)
		if got, want := string(records[len(sent)].Value), "Hello Ada, visit 21"; got != want {
			t.Errorf("after a clean restart: %q, not %q", got, want)
		}
		w.stop()
	})
}

// checkGreetings waits for one greeting a visit; those of a name must count up from 1.
func checkGreetings(t *testing.T, greetings *reader.Reader, sent []*kgo.Record, text func(name string, n int) string) {
	t.Helper()
	records := greetings.AwaitCount(t, 30*time.Second, len(sent))
	greetings.Quiet(t, 300*time.Millisecond, len(sent))
	next := map[string]int{}
	for _, r := range records {
		name := string(r.Key)
		next[name]++
		if got, want := string(r.Value), text(name, next[name]); got != want {
			t.Errorf("greeting %d of %s is %q, not %q", next[name], name, got, want)
		}
	}
	want := map[string]int{}
	for _, r := range sent {
		want[string(r.Key)]++
	}
	for name, n := range want {
		if next[name] != n {
			t.Errorf("%s visited %d times and was greeted %d times", name, n, next[name])
		}
	}
}

// greeter serves the two functions, written as the SDK's own examples are.
func greeter(t *testing.T, topic string) http.Handler {
	t.Helper()
	visitType := statefun.MakeJsonType(statefun.TypeNameFrom("greeter.types/visit"))
	count := statefun.ValueSpec{Name: "visits", ValueType: statefun.Int32Type}
	person := func(ctx statefun.Context, message statefun.Message) error {
		var visit struct {
			Name string `json:"name"`
		}
		if err := message.As(visitType, &visit); err != nil {
			return err
		}
		var n int32
		ctx.Storage().Get(count, &n)
		n++
		ctx.Storage().Set(count, n)
		ctx.Send(statefun.MessageBuilder{
			Target: statefun.Address{FunctionType: statefun.TypeNameFrom("greeter.fns/greetings"), Id: ctx.Self().Id},
			Value:  fmt.Sprintf("Hello %s, visit %d", visit.Name, n),
		})
		return nil
	}
	greet := func(ctx statefun.Context, message statefun.Message) error {
		if ctx.Caller() == nil || ctx.Caller().FunctionType.String() != "greeter.fns/person" {
			return fmt.Errorf("called by %v, not by the person", ctx.Caller())
		}
		ctx.SendEgress(statefun.KafkaEgressBuilder{
			Target: statefun.TypeNameFrom("greeter.io/greetings"), Topic: topic,
			Key: ctx.Self().Id, Value: message.AsString(),
		})
		return nil
	}
	builder := statefun.StatefulFunctionsBuilder()
	for _, spec := range []statefun.StatefulFunctionSpec{
		{FunctionType: statefun.TypeNameFrom("greeter.fns/person"), States: []statefun.ValueSpec{count}, Function: statefun.StatefulFunctionPointer(person)},
		{FunctionType: statefun.TypeNameFrom("greeter.fns/greetings"), Function: statefun.StatefulFunctionPointer(greet)},
	} {
		if err := builder.WithSpec(spec); err != nil {
			t.Fatal(err)
		}
	}
	return builder.AsHandler()
}

// TestExamples runs the examples as they are: their module, and the functions on our Go SDK and on the official ones for Go and
// Python as processes of their own.
func TestExamples(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		root, err := filepath.Abs("../../examples")
		if err != nil {
			t.Fatal(err)
		}
		c.createTopic(t, "names", 4)
		c.createTopic(t, "greetings", 4)
		built := func(name string) func(t *testing.T, addr string) {
			return func(t *testing.T, addr string) {
				binary := filepath.Join(t.TempDir(), name)
				if out, err := exec.Command("go", "build", "-o", binary, filepath.Join(root, name, "main.go")).CombinedOutput(); err != nil {
					t.Fatalf("build %s: %v\n%s", name, err, out)
				}
				start(t, name, binary, "--addr", addr)
			}
		}
		functions := map[string]func(t *testing.T, addr string){
			"go":          built("greeter-go"),
			"official-go": built("greeter-official"),
			"python": func(t *testing.T, addr string) {
				interpreter, err := sdks.Python(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, port, _ := net.SplitHostPort(addr)
				start(t, "greeter-python", interpreter, filepath.Join(root, "greeter-python", "greeter.py"), "--port", port)
			},
		}
		for name, run := range functions {
			t.Run(name, func(t *testing.T) {
				addr := freeAddr(t)
				run(t, addr)
				a := newApp(t, c)
				a.module = filepath.Join(root, "greeter", "module.yaml")
				t.Setenv("GREETER_URL", "http://"+addr+"/statefun")
				t.Setenv("KAFKA_BROKERS", c.addr())
				w := a.startReady()
				sent := visits("names", name+"-")
				c.send(t, sent...)
				greetings := reader.Start(t, reader.Options{Brokers: c.addr(), Topics: []string{"greetings"}, KeyPrefix: name + "-"})
				checkGreetings(t, greetings, sent, func(name string, n int) string {
					return fmt.Sprintf("Hello %s, visit number %d", name, n)
				})
				w.stop()
			})
		}
	})
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
